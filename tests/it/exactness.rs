//! What is recorded is what was done: count, size, kind, addresses, order, thread,
//! and the Python stack with its lines. Nothing unmatched, nothing lost.

use crate::dsl::*;
use std::collections::BTreeSet;

/// Has `sequences.py` do `command` while recorded; what it did, what was seen.
fn record(python: &str, command: &str) -> (OpLog, Capture) {
    let mut target = target("sequences.py").python(python).ready();
    let answers = record_in(&mut target, &[command]);
    target.finish();
    answers
}

/// The same for several commands on a target that the caller prepared.
pub fn record_in(target: &mut Target, commands: &[&str]) -> (OpLog, Capture) {
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    for command in commands {
        let failures = target.ask(command);
        assert!(failures.is_empty() || failures == "0", "{command}: {failures} calls did not behave");
    }
    let capture = recording.interrupt().capture();
    capture.is_complete();
    (OpLog::read(&target.scratch().join("ops")), capture)
}

/// Every marked size was allocated on its line, in `function`.
fn stands_at(capture: &Capture, function: &str, sizes: &[u64]) {
    let source = Source::read("sequences.py");
    for &size in sizes {
        let stack = &capture.one(size).stack;
        let names: Vec<_> = stack.iter().map(|frame| frame.0.as_str()).collect();
        assert_eq!(names, [function, "serve", "<module>"], "{size} bytes");
        assert_eq!(stack[0].2, source.line(&size.to_string()), "the line of {size} bytes");
        assert!(stack[0].1.ends_with("sequences.py") && stack[1].1.ends_with("harness.py"), "{stack:?}");
    }
}

python_tests! { all:
    /// Each allocator entry once.
    fn every_function(python) {
        let (log, capture) = record(python, "functions");
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        let sizes = [40001, 40003, 40005, 40007, 40009, 40011, 40017, 40019, 40021, 40023, 40025, 40027];
        stands_at(&capture, "functions", &sizes);
    }

    /// What failed is no event; `realloc(p, 0)` is a free; errno is left alone.
    fn failures_and_oddities(python) {
        let (log, capture) = record(python, "oddities");
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        stands_at(&capture, "oddities", &[40101]);
    }

    /// Whole, grown, shrunk, cut, covered by another, and of a thread's kind.
    fn mappings(python) {
        let (log, capture) = record(python, "mappings");
        capture.holds_exactly(&log);
        stands_at(&capture, "mappings", &[167936, 16789504, 192512, 53248]);
    }

    /// ctypes pointers and a C table of `&malloc` and `&free`, from before the attach.
    fn pointers_from_before(python) {
        let (log, capture) = record(python, "pointers");
        capture.holds_exactly(&log);
        let block = capture.one(40203);
        assert!(capture.events.iter().any(|event| event.kind == "free" && event.addr == block.addr));
        stands_at(&capture, "pointers", &[40201, 40203]);
    }

    /// Threads that Python knows nothing of have no Python stack.
    fn c_threads(python) {
        let (log, capture) = record(python, "c_threads");
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        assert_eq!(capture.one(40301).stack, []);
        assert_eq!(capture.one(40303).stack, []);
        assert_ne!(capture.one(40301).tid, capture.one(40303).tid);
    }

    /// Eight threads, blocks freed by others than those who made them.
    fn eight_threads(python) {
        let (log, capture) = record(python, "storm");
        assert!(log.lanes.iter().filter(|lane| lane.len() > 1000).count() == 8);
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        let leaves: BTreeSet<_> = capture.of(&log).into_iter().filter_map(|event| event.stack.first()).collect();
        let [leaf] = *leaves.iter().collect::<Vec<_>>() else { panic!("one call site: {leaves:?}") };
        assert!(leaf.0.ends_with("run") && leaf.1.ends_with("threading.py"), "{leaf:?}");
    }
}

/// A ring of the smallest size, too slow a reader or not: what is lost is counted,
/// and what is there is true.
#[test]
fn losses_are_counted() {
    let mut target = target("sequences.py").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "--ring-size", "256KiB", "-o"]).arg(&file).recording();
    recording.signal(rustix::process::Signal::STOP);
    target.ask("storm 1900");
    recording.signal(rustix::process::Signal::CONT);
    let capture = recording.interrupt().capture();
    let log = OpLog::read(&target.scratch().join("ops"));
    let recorded = capture.events.len() as u64;
    let done = log.lanes.iter().flatten().count() as u64;
    let lost = capture.stats()["lost_events"].as_u64().expect("a count");
    assert!(lost > 0, "a stopped reader of a small ring loses events");
    assert!(recorded + lost >= done, "{done} done, {recorded} recorded, {lost} lost");
    target.finish();
}
