//! Python's own allocators: each call counts once, under its own name, and the tables
//! through which they are called are left as they were found.

use crate::dsl::*;

const FLAG: &str = "--trace-python-allocators";

/// Records `target` with its allocators traced.
fn recording(target: &Target) -> Recording {
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), FLAG, "--force", "-o"]).arg(&file).recording()
}

fn start(python: &str) -> Target {
    target("domains.py").python(python).ready()
}

/// What `functions` in `domains.py` does, as it must have been recorded.
fn expected(addresses: &str) -> Vec<(String, u64, u64, u64)> {
    let addresses: Vec<u64> =
        addresses.split(',').map(|word| u64::from_str_radix(word, 16).expect("an address")).collect();
    let domains = ["PyMem_Raw", "PyMem_", "PyObject_"].into_iter().zip((0..).step_by(20));
    let rounds = domains.flat_map(|(domain, mark)| [(domain, 421 + mark), (domain, 40421 + mark)]);
    let mut expected = Vec::new();
    for ((domain, size), blocks) in rounds.zip(addresses.chunks_exact(4)) {
        let mut call = |name: &str, addr, old_addr, size| {
            expected.push((format!("{domain}{name}"), addr, old_addr, size));
        };
        call("Malloc", blocks[0], 0, size);
        call("Calloc", blocks[1], 0, size + 2);
        call("Realloc", blocks[2], blocks[0], size + 4);
        call("Realloc", blocks[3], 0, size + 6);
        for block in &blocks[1..] {
            call("Free", *block, 0, 0);
        }
    }
    expected
}

/// Panics unless the capture holds the calls of `functions`, each once, under the
/// name of the function that was called, from its line.
#[track_caller]
fn holds_functions(capture: &Capture, addresses: &str) {
    let expected = expected(addresses);
    let sizes: Vec<u64> = expected.iter().map(|call| call.3).filter(|&size| size > 0).collect();
    let mut live = Vec::new();
    let mut recorded = Vec::new();
    for event in &capture.events {
        let is_free = event.kind.ends_with("Free") || event.kind == "free";
        if is_free && live.contains(&event.addr) || sizes.contains(&event.size) {
            live.retain(|&addr| addr != event.addr && (addr != event.old_addr || event.old_addr == 0));
            if !is_free {
                live.push(event.addr);
                let leaf = event.stack.first().expect("called from Python");
                assert_eq!(leaf.0, "functions", "{event:?}");
            }
            recorded.push((event.kind.clone(), event.addr, event.old_addr, event.size));
        }
    }
    assert_eq!(recorded, expected);
}

python_tests! { all:
    /// Each of the twelve functions once, whatever it calls in turn.
    fn every_function(python) {
        let mut target = start(python);
        let tables = target.ask("tables");
        let recording = recording(&target);
        assert_ne!(target.ask("tables"), tables, "the tables lead to the hooks meanwhile");
        let addresses = target.ask("functions");
        let capture = recording.interrupt().capture();
        capture.is_complete();
        holds_functions(&capture, &addresses);
        assert_eq!(target.ask("tables"), tables);
        target.finish();
    }

    /// Small objects of several threads are all seen, paired, and no arena counts.
    fn small_objects(python) {
        let mut target = start(python);
        let recording = recording(&target);
        assert_eq!(target.ask("churn"), "0");
        let capture = recording.interrupt().capture();
        capture.is_complete();
        assert_eq!(capture.stats["proven_lost_frees"], 0, "{:#}", capture.stats);
        let dicts = capture.events.iter().filter(|event| event.stack.iter().any(|frame| frame.0.ends_with("work")));
        assert!(dicts.count() > 4 * 5000 * 2, "a dict, its keys and a text each");
        assert!(capture.events.iter().all(|event| event.kind != "pymalloc_arena"), "arenas are no objects");
        target.finish();
    }

    /// Without the flag small objects show as arenas, told apart from other mappings.
    fn arenas(python) {
        let mut target = start(python);
        let file = target.scratch().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
        target.ask("leak 50000");
        let capture = recording.interrupt().capture();
        let arenas: Vec<_> = capture.events.iter().filter(|event| event.kind == "pymalloc_arena").collect();
        let bytes: u64 = arenas.iter().map(|event| event.size).sum();
        assert!(bytes > 8 << 20, "{bytes} bytes of arenas for 50,000 dicts");
        assert!(arenas.iter().all(|event| event.size == arenas[0].size), "arenas have one size");
        assert!(arenas.iter().all(|event| event.stack.iter().any(|frame| frame.0 == "leak")), "{arenas:?}");
        target.finish();
    }
}

python_tests! { named:
    /// A killed attacher leaves tables that still work, and `prof detach` sets them back.
    fn killed(python) {
        let mut target = start(python);
        let tables = target.ask("tables");
        recording(&target).kill();
        assert_eq!(target.ask("churn"), "0");
        assert_ne!(target.ask("tables"), tables);
        prof(&["detach", &target.pid()]).run().success();
        assert_eq!(target.ask("tables"), tables);
        assert_eq!(target.ask("churn"), "0");
        target.finish();
    }

    /// tracemalloc runs before: it goes on, and what it counts is what it counted.
    fn tracemalloc_before(python) {
        let mut target = start(python);
        let plain = target.ask("tables");
        target.ask("trace");
        let tables = target.ask("tables");
        let recording = recording(&target);
        assert_eq!(target.ask("traced"), "1");
        let addresses = target.ask("functions");
        let capture = recording.interrupt().capture();
        holds_functions(&capture, &addresses);
        assert_eq!(target.ask("tables"), tables);
        assert_eq!(target.ask("traced"), "1");
        target.ask("untrace");
        assert_eq!(target.ask("tables"), plain);
        assert_eq!(target.ask("churn"), "0");
        target.finish();
    }

    /// tracemalloc starts meanwhile and outlasts the recording: it keeps copies of what
    /// it replaced, and must not be left with ours.
    fn tracemalloc_outlasts(python) {
        let mut target = start(python);
        let plain = target.ask("tables");
        let recording = recording(&target);
        target.ask("trace");
        assert_eq!(target.ask("traced"), "1");
        let addresses = target.ask("functions");
        let capture = recording.interrupt().capture();
        holds_functions(&capture, &addresses);
        assert_eq!(target.ask("traced"), "1");
        target.ask("untrace");
        assert_eq!(target.ask("tables"), plain);
        assert_eq!(target.ask("churn"), "0");
        target.finish();
    }

    /// tracemalloc comes and goes meanwhile.
    fn tracemalloc_meanwhile(python) {
        let mut target = start(python);
        let plain = target.ask("tables");
        let recording = recording(&target);
        target.ask("trace");
        assert_eq!(target.ask("traced"), "1");
        target.ask("untrace");
        let addresses = target.ask("functions");
        let capture = recording.interrupt().capture();
        holds_functions(&capture, &addresses);
        assert!(capture.records("note").iter().all(|note| note["note"] != "loss"), "nothing was lost");
        assert_eq!(target.ask("tables"), plain);
        assert_eq!(target.ask("churn"), "0");
        target.finish();
    }

    /// tracemalloc, started before, stops meanwhile and takes our hooks out with its
    /// own: that is noted.
    fn tracemalloc_stops(python) {
        let mut target = start(python);
        let plain = target.ask("tables");
        target.ask("trace");
        let recording = recording(&target);
        target.ask("untrace");
        let file = target.scratch().join("capture.prof");
        until("the loss is noted", || {
            let parsed = prof(&["parse", "--json"]).arg(&file).run().stdout;
            parsed.contains("the process replaced PyMem_RawMalloc").then_some(())
        });
        recording.interrupt();
        assert_eq!(target.ask("tables"), plain);
        assert_eq!(target.ask("churn"), "0");
        target.finish();
    }
}

python_tests! { all:
    /// Whatever serves the domains.
    fn variants(python) {
        let variants = ["malloc", "pymalloc", "debug", "malloc_debug", "pymalloc_debug", "mimalloc"];
        for variant in variants.into_iter().filter(|&variant| variant != "mimalloc" || python == "3.13") {
            let mut target = target("domains.py").python(python).env("PYTHONMALLOC", variant).ready();
            let tables = target.ask("tables");
            let recording = recording(&target);
            let addresses = target.ask("functions");
            let capture = recording.interrupt().capture();
            capture.is_complete();
            holds_functions(&capture, &addresses);
            assert_eq!(target.ask("tables"), tables, "{python} {variant}");
            assert_eq!(target.ask("churn"), "0");
            target.finish();
        }
    }
}
