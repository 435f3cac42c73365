//! `prof transform`: every form of a real capture, with the figures of `prof stats`.

use crate::dsl::*;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Formats and what their files' names end with.
const FORMATS: [(&str, &str); 7] = [
    ("pprof", "pb.gz"),
    ("speedscope", "speedscope.json"),
    ("collapsed", "collapsed.txt"),
    ("csv", "csv"),
    ("json", "json"),
    ("gprof2dot", "gprof2dot.json"),
    ("firefox", "firefox.json"),
];

fn capture() -> (Capture, Target) {
    let mut target = target("sequences.py").ready();
    let (_, capture) = crate::exactness::record_in(&mut target, &["functions", "storm 300"]);
    (capture, target)
}

fn on_stdout(format: &str, capture: &Path, options: &[&str]) -> String {
    let args = [&["transform", format], options, &["-o", "-"]].concat();
    prof(&args).arg(capture).run().success().stdout
}

#[test]
fn files_lie_beside_the_capture_and_are_not_overwritten() {
    let (capture, target) = capture();
    for (format, suffix) in FORMATS {
        let file = capture.path.with_extension(suffix);
        let finished = prof(&["transform", format]).arg(&capture.path).run().success();
        assert!(finished.stdout.is_empty());
        finished.says(&format!("wrote {}", file.display()));
        let metadata = fs::metadata(&file).expect("it is there");
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len() > 0), (0o600, true), "{format}");
        prof(&["transform", format]).arg(&capture.path).run().refuses(1, &["exists"]).hints("--force");
        prof(&["transform", format, "--force"]).arg(&capture.path).run().success();
    }
    prof(&["transform", "excel"]).arg(&capture.path).run().refuses(2, &["excel"]);
    target.finish();
}

#[test]
fn figures_are_those_of_stats() {
    let (capture, target) = capture();
    let (stats, path) = (&capture.stats, &capture.path);
    let bytes = |key: &str| stats[key].as_u64().expect("a number");
    let peak = stats["metadata"]["peak_memory"].as_u64().expect("a number");
    for (options, wanted) in [
        ([].as_slice(), peak),
        (&["--leaks"], bytes("live_bytes")),
        (&["--allocations"], bytes("total_bytes_allocated")),
        (&["--leaks", "--blocks"], bytes("live_blocks")),
        (&["--allocations", "--blocks"], bytes("total_num_allocations")),
    ] {
        let figures = on_stdout("collapsed", path, options);
        let figures = figures.lines().map(|line| line.rsplit(' ').next().expect("a figure"));
        assert_eq!(
            figures.map(|figure| figure.parse::<u64>().expect("a number")).sum::<u64>(),
            wanted,
            "{options:?}"
        );
        let profiles: Value = serde_json::from_str(&on_stdout("speedscope", path, options)).expect("JSON");
        assert_eq!(
            profiles["profiles"][usize::from(options.contains(&"--blocks"))]["endValue"],
            wanted,
            "{options:?}"
        );
    }
    let nothing = on_stdout("collapsed", path, &["--allocations", "--from", "1h"]);
    assert_eq!(nothing, "", "nothing was allocated in that part of the recording");
    target.finish();
}

/// Python's own reader makes the table that was meant of it.
#[test]
fn python_reads_the_table() {
    let (capture, target) = capture();
    let file = target.scratch().join("table.csv");
    prof(&["transform", "csv", "--allocations", "-o"]).arg(&file).arg(&capture.path).run().success();
    let script = "import csv, sys\n\
        rows = list(csv.DictReader(open(sys.argv[1], newline=''), strict=True))\n\
        assert all(len(frame.split(';')) == 3 for row in rows for frame in row['stack_trace'].split('|') if frame)\n\
        print(sum(int(row['size']) for row in rows), sum(int(row['num_allocations']) for row in rows))";
    let output =
        Command::new("python3").args(["-c", script]).arg(&file).output().expect("Python can be started");
    let shown = String::from_utf8_lossy(&output.stdout);
    let wanted =
        format!("{} {}\n", capture.stats["total_bytes_allocated"], capture.stats["total_num_allocations"]);
    assert_eq!(shown, wanted, "{}", String::from_utf8_lossy(&output.stderr));
    target.finish();
}
