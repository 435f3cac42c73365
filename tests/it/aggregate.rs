//! Recordings that keep figures only: exact, small, readable at every moment.

use crate::dsl::*;
use crate::lifecycle::SmallDisk;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes and blocks.
type Sum = (u64, u64);

/// The sites of a function by `malloc`, as `prof parse` tells them.
fn sites(file: &Path, function: &str) -> Vec<Value> {
    let lines = prof(&["parse", "--json"]).arg(file).run().success().stdout;
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("one JSON object"));
    let is_wanted = |site: &Value| {
        site["kind"] == "site" && site["function"] == "malloc" && site["stack"][0][0] == function
    };
    lines.filter(is_wanted).collect()
}

/// Made, temporary, at the peak and live, of the one site of a function; zeros if it has none.
fn figures(file: &Path, function: &str) -> [Sum; 4] {
    let sites = sites(file, function);
    assert!(sites.len() <= 1, "{sites:?}");
    ["made", "temporary", "peak", "live"].map(|name| {
        let number =
            |what| sites.first().map_or(0, |site| site[format!("{name}_{what}")].as_u64().expect("a number"));
        (number("bytes"), number("blocks"))
    })
}

fn recording(target: &Target, options: &[&str]) -> (PathBuf, Recording) {
    let file = target.scratch().join("capture.prof");
    let pid = target.pid();
    let recording = prof(&[&["attach", &pid], options, &["-o"]].concat()).arg(&file).recording();
    (file, recording)
}

/// What `leak` makes of so many blocks, a multiple of 100.
fn leaked(blocks: u64) -> Sum {
    (blocks * 7000 + blocks / 100 * 4950, blocks)
}

/// Has all figures of the program differ.
fn work(target: &mut Target) {
    target.ask("leak 1000");
    target.ask("churn 70000");
    target.ask("wave 300");
    target.ask("leak 200");
}

#[track_caller]
fn is_exact(file: &Path) {
    const NONE: Sum = (0, 0);
    let (all, early) = ((leaked(1000).0 + leaked(200).0, 1200), leaked(1000));
    assert_eq!(figures(file, "leak"), [all, NONE, early, all]);
    let churned = (70_000 * 3003, 70_000);
    assert_eq!(figures(file, "churn"), [churned, churned, NONE, NONE]);
    let wave = (30_000_000, 300);
    // Behind the last two no more than one allocation comes.
    assert_eq!(figures(file, "wave"), [wave, (200_000, 2), wave, NONE]);
}

#[test]
fn figures_are_exact() {
    let mut target = target("aggregated.py").ready();
    let (file, recording) = recording(&target, &["--aggregate"]);
    work(&mut target);
    recording.interrupt();
    is_exact(&file);
    let stats = Capture::stats_of(&file);
    assert_eq!((&stats["end_reason"], &stats["lost_events"]), (&"interrupted".into(), &0.into()));
    assert!(stats["resident_set"]["explained"]["recorded_bytes"].as_u64() > Some(0), "{stats:#}");
    // Every report that needs no single events can be made.
    for report in ["summary", "report", "stats", "flamegraph", "table", "transform csv", "transform pprof"] {
        prof(&report.split(' ').collect::<Vec<_>>()).arg(&file).dir(target.scratch()).run().success();
    }
    assert_eq!(
        fs::read_dir(target.scratch())
            .expect("it is there")
            .filter(|entry| {
                entry.as_ref().expect("it is there").file_name().to_string_lossy().contains(".next")
            })
            .count(),
        0
    );
    target.finish();
}

/// Its size does not depend on how much happens.
#[test]
fn it_stays_small() {
    let mut target = target("aggregated.py").ready();
    let (file, recording) = recording(&target, &["--aggregate"]);
    let mut sizes = Vec::new();
    for rounds in [1, 20] {
        (0..rounds).for_each(|_| drop(target.ask("churn 20000")));
        let made = sizes.iter().map(|&(rounds, _)| rounds).sum::<u64>() + rounds;
        until("it is in the capture", || (figures(&file, "churn")[0].1 == made * 20_000).then_some(()));
        sizes.push((rounds, file.metadata().expect("it is there").len()));
    }
    recording.interrupt();
    assert!(sizes[1].1 < sizes[0].1 + (16 << 10), "{sizes:?}");
    target.finish();
}

#[test]
fn a_killed_recorder_leaves_the_last_checkpoint() {
    let mut target = target("aggregated.py").ready();
    let (file, recording) = recording(&target, &["--aggregate"]);
    work(&mut target);
    let is_there = || (figures(&file, "leak")[0].1 == 1200).then_some(());
    until("it is in the capture", is_there);
    recording.kill();
    is_exact(&file);
    assert_eq!(Capture::stats_of(&file)["end_reason"], "unfinished");
    prof(&["detach", &target.pid()]).run().success();
    target.finish();
}

/// What was recorded before is in the figures, and what comes while it is turned.
#[test]
fn a_full_capture_becomes_one_of_figures() {
    let mut target = target("aggregated.py").ready();
    let options = ["--max-size", "64KiB", "--on-full", "aggregate"];
    let (file, recording) = recording(&target, &options);
    target.ask("leak 1000");
    target.ask("churn 70000");
    until("it was turned", || (!sites(&file, "leak").is_empty()).then_some(()));
    target.ask("wave 300");
    target.ask("leak 200");
    recording.interrupt();
    is_exact(&file);
    let stats = prof(&["stats"]).arg(&file).run().success().stdout;
    assert!(stats.contains("the capture had the size asked for"), "{stats}");
    target.finish();
}

/// The last one that could be written stays; later ones are written when there is room again.
#[test]
fn full_disk() {
    let Some(disk) = SmallDisk::new() else { return skip("no right to mount a file system") };
    let mut target = target("aggregated.py").ready();
    let (file, rest) = (disk.path().join("capture.prof"), disk.path().join("rest"));
    let recording = prof(&["attach", &target.pid(), "--aggregate", "-o"]).arg(&file).recording();
    target.ask("leak 1000");
    let has_blocks = |blocks| (figures(&file, "leak")[0].1 == blocks).then_some(());
    until("it is in the capture", || has_blocks(1000));
    let fill = || {
        let mut filling = fs::File::create(&rest).expect("there is room for a name");
        while filling.write_all(&[1; 4096]).is_ok() {}
        let changed = || fs::metadata(disk.path()).expect("it is there").modified().expect("it has a time");
        let before = changed();
        until("another try", || (changed() > before).then_some(()));
    };
    fill();
    target.ask("leak 200");
    has_blocks(1000).expect("the last one stays");
    fs::remove_file(&rest).expect("it is there");
    until("it is in the capture", || has_blocks(1200));
    fill();
    recording.signal(Signal::INT);
    let ended = recording.wait();
    assert_eq!(ended.status.and_then(|status| status.code()), Some(FAILURE), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("no room for more of") && !ended.stderr.contains(".next"),
        "{}",
        ended.stderr
    );
    has_blocks(1200).expect("the last one stays");
    let stats = prof(&["stats"]).arg(&file).run().success().stdout;
    assert!(stats.contains("could not be written for a time"), "{stats}");
    target.finish();
}

#[test]
fn forked_processes_have_their_own_figures() {
    let mut target = target("aggregated.py").ready();
    let (file, recording) = recording(&target, &["--aggregate", "--follow-fork"]);
    target.ask("leak 100");
    let pids = target.ask("fork 3");
    recording.interrupt();
    let found: Vec<_> = sites(&file, "leak")
        .iter()
        .map(|site| {
            [&site["pid"], &site["made_blocks"], &site["live_blocks"]].map(|n| n.as_u64().expect("a number"))
        })
        .collect();
    let pid = |n: usize| pids.split(' ').nth(n).and_then(|pid| pid.parse().ok()).expect("a pid");
    let root = target.pid().parse().expect("a pid");
    // What a process held that ended is gone.
    assert_eq!(found, [[root, 100, 100], [pid(0), 10, 0], [pid(1), 20, 0], [pid(2), 30, 0]]);
    target.finish();
}

#[test]
fn other_questions_are_refused() {
    let target = target("aggregated.py").ready();
    let (file, recording) = recording(&target, &["--aggregate"]);
    recording.interrupt();
    let file = file.display().to_string();
    for question in [["--from", "1"], ["--to", "1"], ["--within", "2"], ["--process", "#0"]] {
        let refused = prof(&["stats", &file, question[0], question[1]]).run();
        refused.refuses(FAILURE, &["its events were not kept"]).hints("leave out --from");
    }
    for options in [&["--aggregate", "--on-full", "aggregate"][..], &["--on-full", "aggregate"]] {
        let pid = target.pid();
        prof(&[&["attach", &pid], options].concat()).run().refuses(USAGE, &[]);
    }
    target.finish();
}
