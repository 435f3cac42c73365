//! `prof stats` and `prof parse`: JSON is an interface.

use crate::dsl::*;
use serde_json::Value;

fn capture() -> (OpLog, Capture, Target) {
    let mut target = target("sequences.py").ready();
    let (log, capture) = crate::exactness::record_in(&mut target, &["functions", "storm 300"]);
    (log, capture, target)
}

#[test]
fn stats_have_their_keys() {
    let (_, capture, target) = capture();
    let stats = capture.stats();
    for key in [
        "total_num_allocations",
        "total_bytes_allocated",
        "allocation_size_histogram",
        "allocator_type_distribution",
        "top_allocations_by_size",
        "top_allocations_by_count",
        "metadata",
        "lost_events",
        "gaps",
        "longest_pause_us",
        "end_reason",
        "entries",
    ] {
        assert!(!stats[key].is_null(), "no {key}: {stats:#}");
    }
    let metadata = &stats["metadata"];
    for key in ["peak_memory", "command_line", "start_time", "end_time", "python_allocator"] {
        assert!(!metadata[key].is_null(), "no metadata.{key}: {metadata:#}");
    }
    assert_eq!(metadata["pid"].as_u64().map(|pid| pid.to_string()), Some(target.pid()));
    assert!(metadata["command_line"].as_str().is_some_and(|line| line.contains("sequences.py")));
    target.finish();
}

/// The totals are those of the events.
#[test]
fn stats_add_up() {
    let (_, capture, target) = capture();
    let stats = capture.stats();
    let heap = |event: &&Event| !matches!(event.kind.as_str(), "free" | "munmap" | "thread_stack");
    let allocations: Vec<_> = capture.events.iter().filter(heap).collect();
    assert_eq!(stats["total_num_allocations"], allocations.len());
    assert_eq!(stats["total_bytes_allocated"], allocations.iter().map(|event| event.size).sum::<u64>());
    let count = |kind: &str| capture.events.iter().filter(|event| event.kind == kind).count();
    let distribution = stats["allocator_type_distribution"].as_object().expect("counts by kind");
    for (kind, value) in distribution {
        assert_eq!(*value, count(&kind.to_lowercase()), "{kind}");
    }
    assert_eq!(distribution.get("valloc").or(distribution.get("VALLOC")), Some(&Value::from(1)));
    target.finish();
}

/// Readable output: the same things, for people.
#[test]
fn stats_and_parse_are_readable() {
    let (log, capture, target) = capture();
    let text = prof(&["stats", "-n", "3"]).arg(&capture.path).run().success().stdout;
    assert!(text.contains("sequences.py") || text.contains("threading.py"), "{text}");
    let lines = prof(&["parse"]).arg(&capture.path).run().success().stdout;
    assert_eq!(
        lines.lines().count(),
        capture.events.len() + capture.records.len(),
        "every record, one a line"
    );
    assert!(capture.of(&log).len() < lines.lines().count());
    target.finish();
}

/// Every code object, thread and mapped module is described.
#[test]
fn other_records_are_there() {
    let (_, capture, target) = capture();
    let of_kind = |kind: &str| capture.records.iter().filter(|record| record["kind"] == kind).count();
    assert!(of_kind("code") > 2);
    assert!(of_kind("thread") > 8);
    assert!(of_kind("rss") > 0);
    target.finish();
}

/// `prof parse … | head` is no failure.
#[test]
fn a_closed_pipe_is_success() {
    let (_, capture, target) = capture();
    let script = "\"$1\" parse --json \"$2\" | head -n 1; exit \"${PIPESTATUS[0]}\"";
    let mut command = std::process::Command::new("bash");
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_prof")]).arg(&capture.path);
    let output = command.output().expect("bash can be started");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), 1);
    target.finish();
}

/// A capture cut anywhere opens up to there, and says that it was cut.
#[test]
fn a_cut_capture_opens() {
    let (_, capture, target) = capture();
    let bytes = std::fs::read(&capture.path).expect("the capture can be read");
    let whole = capture.events.len();
    let mut seen = 0;
    for part in 1..8 {
        let file = target.scratch().join(format!("{part}.prof"));
        std::fs::write(&file, &bytes[..bytes.len() * part / 8]).expect("the file can be written");
        let output = prof(&["parse", "--json"]).arg(&file).run().success();
        let events = output.stdout.lines().filter(|line| line.contains("\"t_ns\"")).count();
        assert!(events >= seen && events <= whole, "{events} of {whole} events in {part}/8");
        seen = events;
        assert!(output.stdout.contains("note"), "it does not say that it was cut: {}", output.stderr);
    }
    target.finish();
}
