//! `prof stats` and `prof parse`: figures that are true, and JSON as an interface.

use crate::dsl::*;
use serde_json::Value;
use std::collections::HashMap;

fn capture() -> (OpLog, Capture, Target) {
    let mut target = target("sequences.py").ready();
    let (log, capture) = crate::exactness::record_in(&mut target, &["functions", "storm 300"]);
    (log, capture, target)
}

/// Memray's keys, and in the shapes that Memray gives them; then ours.
#[test]
fn stats_have_their_keys() {
    let (_, capture, target) = capture();
    let stats = &capture.stats;
    for key in [
        "total_num_allocations",
        "total_bytes_allocated",
        "allocator_type_distribution",
        "metadata",
        "lost_events",
        "gaps",
        "longest_pause_us",
        "end_reason",
        "entries",
    ] {
        assert!(!stats[key].is_null(), "no {key}: {stats:#}");
    }
    for (key, members) in [
        ("allocation_size_histogram", ["min_bytes", "max_bytes", "count"].as_slice()),
        ("top_allocations_by_size", &["location", "size"]),
        ("top_allocations_by_count", &["location", "count"]),
        ("entries", &["name", "module", "way"]),
    ] {
        let list = stats[key].as_array().unwrap_or_else(|| panic!("{key} is no list: {stats:#}"));
        assert!(!list.is_empty(), "{key} is empty");
        let lacks = |member: &&Value| members.iter().any(|key| member[key].is_null());
        assert_eq!(list.iter().find(lacks), None, "{key}");
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
    let stats = &capture.stats;
    let heap = |event: &&Event| !matches!(event.kind.as_str(), "free" | "munmap" | "thread_stack");
    let allocations: Vec<_> = capture.events.iter().filter(heap).collect();
    assert_eq!(stats["total_num_allocations"], allocations.len());
    assert_eq!(stats["total_bytes_allocated"], allocations.iter().map(|event| event.size).sum::<u64>());
    let count = |kind: &str| capture.events.iter().filter(|event| event.kind == kind).count();
    let distribution = stats["allocator_type_distribution"].as_object().expect("counts by kind");
    for (kind, value) in distribution {
        assert_eq!(*value, count(kind), "{kind}");
    }
    assert_eq!(distribution.get("valloc"), Some(&Value::from(1)));
    let bins = stats["allocation_size_histogram"].as_array().expect("bins");
    let binned: u64 = bins.iter().map(|bin| bin["count"].as_u64().expect("a count")).sum();
    assert_eq!(binned, allocations.iter().filter(|event| event.size > 0).count() as u64);
    target.finish();
}

/// What is live at the end, against a model of its own. The peak is `corpus`'s: here the
/// old block of a `realloc` would end too late for what other threads do meanwhile.
#[test]
fn live_bytes_are_those_of_the_events() {
    let (_, capture, target) = capture();
    let (mut live, mut now) = (HashMap::new(), 0);
    for event in capture.events.iter().filter(|event| event.kind != "thread_stack") {
        let is_end = matches!(event.kind.as_str(), "free" | "munmap");
        now -= live.remove(if is_end { &event.addr } else { &event.old_addr }).unwrap_or(0);
        if !is_end {
            // Mappings have whole pages.
            let size = if event.kind == "mmap" { event.size.next_multiple_of(4096) } else { event.size };
            now += size;
            assert_eq!(live.insert(event.addr, size), None, "on top of a live block: {event:?}");
        }
    }
    assert_eq!(capture.stats["live_bytes"], now);
    assert_eq!(capture.stats["live_blocks"], live.len());
    target.finish();
}

/// The largest call sites, by bytes and by number, with file and line; as many as
/// wanted.
#[test]
fn top_locations() {
    let (_, capture, target) = capture();
    let line = |size: &str| {
        format!("functions:{}:{}", program("sequences.py").display(), Source::read("sequences.py").line(size))
    };
    let output = prof(&["stats", "--json", "-n", "1000"]).arg(&capture.path).run().success();
    let stats: Value = serde_json::from_str(&output.stdout).expect("an object");
    let by = |list: &str, key: &str, location: &str| {
        let list = stats[list].as_array().expect("a list");
        let values: Vec<_> = list.iter().map(|entry| entry[key].as_u64().expect("a number")).collect();
        assert!(values.is_sorted_by(|one, next| one >= next), "{values:?}");
        let entry = list.iter().find(|entry| entry["location"] == location);
        entry.unwrap_or_else(|| panic!("no {location} in {list:#?}"))[key].as_u64()
    };
    assert_eq!(by("top_allocations_by_size", "size", &line("40001")), Some(40001));
    assert_eq!(by("top_allocations_by_size", "size", &line("40007")), Some(40007 + 40009), "two on one line");
    assert_eq!(by("top_allocations_by_count", "count", &line("40007")), Some(2));
    for count in [1, 3] {
        let output = prof(&["stats", "--json", "-n", &count.to_string()]).arg(&capture.path).run().success();
        let stats: Value = serde_json::from_str(&output.stdout).expect("an object");
        assert_eq!(stats["top_allocations_by_size"].as_array().map(Vec::len), Some(count));
        assert_eq!(stats["top_allocations_by_count"].as_array().map(Vec::len), Some(count));
    }
    target.finish();
}

/// Readable output: the same things, for people.
#[test]
fn stats_and_parse_are_readable() {
    let (log, capture, target) = capture();
    let text = prof(&["stats", "-n", "3"]).arg(&capture.path).run().success().stdout;
    assert!(text.contains("sequences.py") || text.contains("threading.py"), "{text}");
    for word in
        ["Allocations", "Bytes allocated", "Peak", "Sizes", "By allocator", "Top locations by size", "lost"]
    {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    let lines = prof(&["parse"]).arg(&capture.path).run().success().stdout;
    assert_eq!(
        lines.lines().count(),
        capture.events.len() + capture.others.len(),
        "every record, one a line"
    );
    assert!(capture.of(&log).len() < lines.lines().count());
    target.finish();
}

/// `prof parse … | head` is no failure.
#[test]
fn a_closed_pipe_is_success() {
    let (_, capture, target) = capture();
    let script = "\"$1\" parse --json \"$2\" | head -n 1; exit \"${PIPESTATUS[0]}\"";
    let mut command = std::process::Command::new("bash");
    command.args(["-c", script, "bash"]).arg(binary()).arg(&capture.path);
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
        let events = Capture::parse(&file, &output.stdout).events.len();
        assert!(events >= seen && events <= whole, "{events} of {whole} events in {part}/8");
        seen = events;
        assert!(output.stdout.contains("note"), "it does not say that it was cut: {}", output.stderr);
    }
    target.finish();
}
