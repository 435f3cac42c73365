//! `--follow-fork`: forked processes record themselves from their first allocation, into one
//! capture, and nothing is left in any of them.

use crate::dsl::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the processes of `prefork.py` say that they allocated: by pid, blocks and bytes.
type Counts = BTreeMap<u64, (u64, u64)>;

fn attach(target: &Target, more: &[&str]) -> Recording {
    let pid = target.pid();
    let file = target.scratch().join("capture.prof");
    prof(&[&["attach", &pid, "--follow-fork", "--force", "-q"], more, &["-o"]].concat()).arg(file).recording()
}

/// Each process's own counters.
fn counted(target: &Target) -> Counts {
    let text = std::fs::read_to_string(target.scratch().join("counts")).expect("somebody has counted");
    let mut counts = Counts::new();
    for line in text.lines() {
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [pid, count, bytes] = numbers[..] else { panic!("{line:?}") };
        let sums = counts.entry(pid).or_default();
        *sums = (sums.0 + count, sums.1 + bytes);
    }
    counts
}

/// Blocks of the sizes that `prefork.py` marks, as `prof parse` prints them.
fn recorded(path: &PathBuf) -> Counts {
    let text = prof(&["parse", "--json"]).arg(path).run().success().stdout;
    let mut counts = Counts::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("every line is one JSON object");
        let size = event["size"].as_u64().unwrap_or(0);
        if event["kind"] != "munmap" && (300_000..400_000).contains(&size) {
            let sums = counts.entry(event["pid"].as_u64().expect("several processes")).or_default();
            *sums = (sums.0 + 1, sums.1 + size);
        }
    }
    counts
}

/// Panics unless each process's own counters are what was recorded of it, and nothing is
/// known to be missing.
#[track_caller]
fn agrees(target: &Target, finished: Finished) -> Capture {
    let capture = finished.capture();
    capture.is_complete();
    assert_eq!(recorded(&capture.path), counted(target));
    capture
}

/// Whether the process carries anything of ours.
fn carries(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains("/memfd:prof-"))
}

python_tests! { all:
    /// Workers at once, one generation after the other, beside busy threads, and children of
    /// children.
    fn every_process_is_recorded(python) {
        for mode in [&[][..], &["--trace-python-allocators"]] {
            let mut target = target("prefork.py").python(python).ready();
            let recording = attach(&target, mode);
            for command in ["workers 8 50", "recycled 4 5", "busy 5", "deep 5"] {
                target.ask(command);
            }
            agrees(&target, recording.interrupt());
            target.finish();
        }
    }
}

/// Whatever starts them; those that execute another program are recorded up to there.
#[test]
fn multiprocessing() {
    let mut target = target("prefork.py").ready();
    let recording = attach(&target, &[]);
    target.ask("pool fork");
    agrees(&target, recording.interrupt());
    for method in ["spawn", "forkserver"] {
        let recording = attach(&target, &[]);
        target.ask(&format!("pool {method}"));
        recording.interrupt().capture().is_complete();
    }
    target.finish();
}

/// Workers of a socket that end after 100 requests each, in a small ring.
#[test]
fn recycled_workers_of_a_server() {
    let mut target = target("prefork.py").ready();
    let recording = attach(&target, &["--ring-size", "8MiB"]);
    target.ask("serve 8");
    let capture = agrees(&target, recording.interrupt());
    let processes = capture.records("process");
    assert_eq!(processes.len(), 16);
    assert!(processes.iter().all(|process| process["ended_ns"].is_u64()), "{processes:?}");
    target.finish();
}

/// What each process did is told apart, and sums up.
#[test]
fn reports_tell_processes_apart() {
    let mut target = target("prefork.py").ready();
    let recording = attach(&target, &[]);
    target.ask("workers 3 20");
    let pids: Vec<u64> = target.ask("keep 2").split(' ').map(|pid| pid.parse().expect("a pid")).collect();
    // They have allocated once they have answered to nobody else.
    target.ask("workers 1 20");
    let capture = recording.interrupt().capture();
    let processes = capture.stats["processes"].as_array().expect("a list");
    assert_eq!(processes.len(), 1 + 3 + 2 + 1);
    let sum =
        |key: &str| processes.iter().map(|process| process[key].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(sum("bytes"), capture.stats["total_bytes_allocated"]);
    assert_eq!(sum("allocations"), capture.stats["total_num_allocations"]);
    assert_eq!(sum("held_bytes"), capture.stats["live_bytes"]);
    assert_eq!(sum("peak_bytes"), capture.stats["metadata"]["peak_memory"]);
    for process in processes {
        let pid = process["pid"].as_u64().expect("a pid");
        let is_root = pid.to_string() == target.pid();
        assert_eq!(process["ended_ns"].is_null(), is_root || pids.contains(&pid), "{process}");
        let one =
            prof(&["stats", "--json", "--process", &pid.to_string()]).arg(&capture.path).run().success();
        let one: Value = serde_json::from_str(&one.stdout).expect("one JSON object");
        assert_eq!(one["total_bytes_allocated"], process["bytes"]);
        assert!(process["held_bytes"].as_u64() <= one["live_bytes"].as_u64(), "{process}");
    }
    let text = prof(&["stats"]).arg(&capture.path).run().success().stdout;
    assert!(text.contains("Processes: 7"), "{text}");
    let summary =
        prof(&["summary", "--by", "process", "--allocations"]).arg(&capture.path).run().success().stdout;
    assert!(summary.contains(&format!("pid {}", pids[0])), "{summary}");
    prof(&["stats", "--process", "1"]).arg(&capture.path).run().refuses(FAILURE, &["no such process"]);
    target.ask("let_go");
    target.finish();
}

/// Nothing stays in any process, and all live on, whoever dies meanwhile.
#[test]
fn leaves_nothing_in_any_process() {
    let mut target = target("prefork.py").ready();
    let recording = attach(&target, &[]);
    let pids = target.ask("keep 6");
    let pids: Vec<&str> = pids.split(' ').collect();
    target.ask(&format!("kill {}", pids[0]));
    target.ask("burst 10");
    let finished = recording.interrupt();
    assert!(!finished.stderr.contains("children carry"), "{finished}");
    for pid in &pids[1..] {
        assert!(!carries(pid), "process {pid} carries hooks");
    }
    assert!(!carries(&target.pid()));
    finished.capture().is_complete();
    target.ask("let_go");
    target.finish();
}

/// A `prof` that is killed: all processes live on, unrecorded, and `prof detach` cleans them.
#[test]
fn killed_with_many_children() {
    let mut target = target("prefork.py").ready();
    let recording = attach(&target, &[]);
    let pids = target.ask("keep 8");
    target.ask("workers 2 10");
    recording.kill();
    target.ask("workers 2 10");
    for pid in pids.split(' ') {
        assert!(carries(pid), "process {pid} was not followed");
    }
    prof(&["detach", &target.pid()]).run().success();
    prof(&["detach", "--children", &target.pid()]).run().success();
    for pid in pids.split(' ') {
        assert!(!carries(pid), "process {pid} carries hooks");
    }
    target.ask("let_go");
    target.finish();
}

/// Forked by a signal handler in the middle of whatever the thread does, hooks included: the
/// parent's record is exact, and what each child does is recorded or counted as lost.
#[test]
fn forked_by_signal_handlers() {
    const FORKS: u64 = 300;
    let library = forks_library().display().to_string();
    let mut target = target("prefork.py").env("FORKS", &library).ready();
    let recording = attach(&target, &[]);
    let blocks = target.ask(&format!("handlers {FORKS}"));
    let capture = recording.interrupt().capture();
    assert_eq!(capture.stats["damaged_chunks"], 0);
    let text = prof(&["parse", "--json"]).arg(&capture.path).run().success().stdout;
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let count = |size: u64| events.iter().filter(|event| event["size"] == size).count() as u64;
    assert_eq!(count(310_001).to_string(), blocks);
    let lost = capture.stats["losses"]["nested"].as_u64().expect("a number");
    assert_eq!(capture.stats["lost_events"], lost, "{:#}", capture.stats);
    assert_eq!(count(331_776) + lost, 2 * FORKS, "a mapping and its end for each");
    assert!(lost > 0 && lost < 2 * FORKS, "{lost} of {FORKS} forks were in a hook");
    target.finish();
}

/// A recorded child is nobody else's.
#[test]
fn a_followed_child_is_in_use() {
    let mut target = target("prefork.py").ready();
    let recording = attach(&target, &[]);
    let pids = target.ask("keep 1");
    // It has allocated by the time that another one has begun and ended.
    target.ask("workers 1 10");
    until("it records itself", || {
        let refused = prof(&["attach", &pids, "--dry-run"]).run();
        refused.stderr.contains("being recorded by another prof").then_some(())
    });
    recording.interrupt();
    target.ask("let_go");
    target.finish();
}

/// The first process ends and what it forked goes on: so does the recording.
#[test]
fn the_first_process_ends_first() {
    let mut target = target("prefork.py").ready();
    let mut recording = attach(&target, &[]);
    let pids = target.ask("keep 2");
    target.signal(rustix::process::Signal::KILL);
    target.wait();
    // The pipe is closed with it: its children write their counts, and end.
    let counts = until("the children end", || {
        let text = std::fs::read_to_string(target.scratch().join("counts")).unwrap_or_default();
        (text.lines().count() == 2).then_some(text)
    });
    assert!(pids.split(' ').all(|pid| counts.contains(pid)), "{counts}");
    until("the recording ends", || (!recording.is_alive()).then_some(()));
    let finished = recording.wait().success();
    agrees(&target, finished);
}

/// Without it a forked process is not recorded, and `prof run` has it, too.
#[test]
fn only_if_asked() {
    let mut target = target("prefork.py").ready();
    let pid = target.pid();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &pid, "-q", "-o"]).arg(&file).recording();
    target.ask("workers 2 10");
    let capture = recording.interrupt().capture();
    assert!(capture.records("process").is_empty() && capture.stats.get("processes").is_none());
    assert!(!capture.events.iter().any(|event| (300_000..400_000).contains(&event.size)));
    target.finish();
}

#[test]
fn from_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = dir.path().join("capture.prof").display().to_string();
    let script = "import os\nfor n in range(3):\n  if os.fork() == 0:\n    kept = bytearray(500000 + n)\n    os._exit(0)\n  os.wait()\n";
    let mut running = prof(&["run", "--follow-fork", "-o", &file, "-c", script]).spawn();
    running.started();
    let capture = running.wait().success().capture();
    assert_eq!(capture.records("process").len(), 3);
    for size in 500_001..500_004 {
        capture.one(size);
    }
}
