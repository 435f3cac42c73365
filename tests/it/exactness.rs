//! What is recorded is what was done: count, size, kind, addresses, order, thread,
//! and the Python stack with its lines. Nothing unmatched, nothing lost.

use crate::dsl::*;
use std::collections::BTreeSet;
use std::path::Path;

/// Libc's functions alone, and Python's own allocators too.
const MODES: [&[&str]; 2] = [&[], &["--trace-python-allocators"]];

/// Has `sequences.py` do `command` while recorded; what it did, what was seen.
fn record(python: &str, mode: &[&str], command: &str) -> (OpLog, Capture) {
    let mut target = target("sequences.py").python(python).ready();
    let answers = record_as(&mut target, mode, &[command]);
    target.finish();
    answers
}

/// The same for several commands on a target that the caller prepared.
pub fn record_in(target: &mut Target, commands: &[&str]) -> (OpLog, Capture) {
    record_as(target, MODES[0], commands)
}

fn record_as(target: &mut Target, mode: &[&str], commands: &[&str]) -> (OpLog, Capture) {
    let recording = attach(target, mode);
    for command in commands {
        let failures = target.ask(command);
        assert!(failures.is_empty() || failures == "0", "{command}: {failures} calls did not behave");
    }
    let capture = recording.interrupt().capture();
    capture.is_complete();
    (OpLog::read(&target.scratch().join("ops")), capture)
}

fn attach(target: &Target, mode: &[&str]) -> Recording {
    let file = target.scratch().join("capture.prof");
    let pid = target.pid();
    prof(&[&["attach", &pid], mode, &["-o"]].concat()).arg(&file).recording()
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
        for mode in MODES {
            let (log, capture) = record(python, mode, "functions");
            capture.holds_exactly(&log);
            capture.pairs_up(&log);
            let sizes = [40001, 40003, 40005, 40007, 40009, 40011, 40017, 40019, 40021, 40023, 40025, 40027];
            stands_at(&capture, "functions", &sizes);
        }
    }

    /// What failed is no event; `realloc(p, 0)` is a free; errno is left alone.
    fn failures_and_oddities(python) {
        for mode in MODES {
            let (log, capture) = record(python, mode, "oddities");
            capture.holds_exactly(&log);
            capture.pairs_up(&log);
            stands_at(&capture, "oddities", &[40101]);
        }
    }

    /// Whole, grown, shrunk, cut, covered by another, and of a thread's kind.
    fn mappings(python) {
        for mode in MODES {
            let (log, capture) = record(python, mode, "mappings");
            capture.holds_exactly(&log);
            stands_at(&capture, "mappings", &[167936, 16789504, 192512, 53248]);
        }
    }

    /// ctypes pointers and a C table of `&malloc` and `&free`, from before the attach.
    fn pointers_from_before(python) {
        for mode in MODES {
            let (log, capture) = record(python, mode, "pointers");
            capture.holds_exactly(&log);
            let block = capture.one(40203);
            assert!(capture.events.iter().any(|event| event.kind == "free" && event.addr == block.addr));
            stands_at(&capture, "pointers", &[40201, 40203]);
        }
    }

    /// Threads that Python knows nothing of have no Python stack.
    fn c_threads(python) {
        for mode in MODES {
            let (log, capture) = record(python, mode, "c_threads");
            capture.holds_exactly(&log);
            capture.pairs_up(&log);
            assert_eq!(capture.one(40301).stack, []);
            assert_eq!(capture.one(40303).stack, []);
            assert_ne!(capture.one(40301).tid, capture.one(40303).tid);
            // The first thread's stack is fresh, as the worker sits on its own.
            assert!(capture.events.iter().any(|event| event.kind == "thread_stack" && event.size > 1 << 20));
        }
    }

    /// A thread pointer that is used again is another thread.
    fn recycled_thread_pointers(python) {
        for mode in MODES {
            let mut target = target("sequences.py").python(python).ready();
            let recording = attach(&target, mode);
            let recycled: u32 = target.ask("recycled").parse().expect("a count");
            assert!(recycled > 40, "only {recycled} thread pointers were used again");
            let capture = recording.interrupt().capture();
            let log = OpLog::read(&target.scratch().join("ops"));
            capture.is_complete();
            capture.holds_exactly(&log);
            capture.pairs_up(&log);
            let serials: BTreeSet<_> = capture.of(&log).into_iter().map(|event| event.thread).collect();
            assert_eq!(serials.len(), 50, "threads told apart");
            target.finish();
        }
    }

    /// The clock of the records is that of the world.
    fn moments(python) {
        for mode in MODES {
            let mut target = target("sequences.py").python(python).ready();
            let recording = attach(&target, mode);
            let limits = target.ask("moments");
            let limits: Vec<f64> = limits.split(' ').map(|number| number.parse().expect("a number")).collect();
            let capture = recording.interrupt().capture();
            let between = (capture.one(40403).t_ns - capture.one(40401).t_ns) as f64;
            assert!(between * 1.002 > limits[0] && between * 0.998 < limits[1], "{between} is not in {limits:?}");
            target.finish();
        }
    }

    /// Eight threads, blocks freed by others than those who made them.
    fn eight_threads(python) {
        for mode in MODES {
            let (log, capture) = record(python, mode, "storm");
            assert!(log.lanes.iter().filter(|lane| lane.len() > 1000).count() == 8);
            capture.holds_exactly(&log);
            capture.pairs_up(&log);
            let leaves: BTreeSet<_> = capture.of(&log).into_iter().filter_map(|event| event.stack.first()).collect();
            let [leaf] = *leaves.iter().collect::<Vec<_>>() else { panic!("one call site: {leaves:?}") };
            assert!(leaf.0.ends_with("run") && leaf.1.ends_with("threading.py"), "{leaf:?}");
        }
    }
}

/// Runs known sequences on a target with a preloaded library.
fn record_with(python: &str, library: &Path, commands: &[&str]) -> (OpLog, Capture) {
    let library = library.display().to_string();
    let mut target = target("sequences.py").env("LD_PRELOAD", &library).python(python).ready();
    let answers = record_in(&mut target, commands);
    target.finish();
    answers
}

python_tests! { named:
    /// Sized frees are frees, once, whoever defines them.
    fn sized_frees(python) {
        let (log, capture) = record_with(python, c23_library(), &["sized_frees"]);
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        stands_at(&capture, "sized_frees", &[40151, 40192]);
    }

    /// Whoever defines the entries: they are recorded there too.
    fn another_allocator(python) {
        let (log, capture) = record_with(python, arena_library(), &["functions", "oddities", "storm 100"]);
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        assert_eq!(capture.one(40023).kind, "memalign", "it is no aligned_alloc there");
        let stats = &capture.stats;
        let entries = stats["entries"].as_array().expect("a list");
        let is_arena = |entry: &&serde_json::Value| entry["module"].as_str().is_some_and(|module| module.ends_with("arena.so"));
        assert_eq!(entries.iter().filter(is_arena).count(), 10, "{stats:#}");
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
    let lost = capture.stats["lost_events"].as_u64().expect("a count");
    assert!(lost > 0, "a stopped reader of a small ring loses events");
    assert!(capture.stats["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()));
    let told = capture
        .records("lost")
        .into_iter()
        .map(|lost| lost["allocations"].as_u64().zip(lost["frees"].as_u64()));
    let told: u64 = told.map(|counts| counts.map_or(0, |(allocations, frees)| allocations + frees)).sum();
    assert!(told > 0 && told <= lost, "{told} told where they were lost, {lost} in all");
    assert!(recorded + lost >= done, "{done} done, {recorded} recorded, {lost} lost");
    target.finish();
}
