//! The recorded Python stack is the one Python itself saw at that moment.

use crate::dsl::*;
use std::collections::BTreeMap;

/// Has `stacks.py` play `scenario`; compares every stack, and gives them back by
/// size.
fn play(python: &str, scenario: &str) -> BTreeMap<u64, Vec<Frame>> {
    let mut target = target("stacks.py").python(python).ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    target.ask(scenario);
    let capture = recording.interrupt().capture();
    capture.is_complete();
    target.ask("write");
    let seen = witnessed(&target);
    target.finish();
    for (size, stack) in &seen {
        let recorded = &capture.one(*size).stack;
        match recorded.split_last() {
            Some((root, cut)) if root.0 == "<truncated>" => {
                assert!(stack.len() > 4096 && cut.len() > 1000, "cut at {}", cut.len());
                assert!(stack.starts_with(cut), "the stack of {size} bytes");
            }
            _ => assert_eq!(recorded, stack, "the stack of {size} bytes"),
        }
    }
    assert!(!seen.is_empty());
    seen
}

/// What Python saw, by size. The line of the leaf is that of the marker: Python
/// was asked a moment before, which may have been on another line.
fn witnessed(target: &Target) -> BTreeMap<u64, Vec<Frame>> {
    let text = std::fs::read(target.scratch().join("stacks")).expect("the witness wrote");
    let mut stacks: BTreeMap<u64, Vec<Frame>> =
        serde_json::from_slice(&text).expect("the witness wrote JSON");
    for (site, line) in Source::read("stacks.py").sites() {
        let size = site.parse().expect("a site is a size");
        if let Some(leaf) = stacks.get_mut(&size).and_then(|stack| stack.first_mut()) {
            leaf.2 = line;
        }
    }
    stacks
}

python_tests! { all:
    fn plain_calls(python) {
        let seen = play(python, "plain");
        assert_eq!(seen[&40003].len(), seen[&40001].len() - 1);
    }

    fn recursion_1000_deep(python) {
        let seen = play(python, "recursion");
        assert_eq!(seen[&40007].iter().filter(|frame| frame.0 == "recursion").count(), 1001);
    }

    /// The leaf side is right, and where fewer frames are left, all of them.
    fn recursion_5000_deep(python) {
        let seen = play(python, "abyss");
        assert_eq!(seen.values().filter(|stack| stack.len() > 4096).count(), 3);
        assert_eq!(seen.len(), 6);
    }

    fn generators(python) {
        let seen = play(python, "generators");
        assert!(seen[&40009][1].0.ends_with("outer"), "{:?}", seen[&40009]);
    }

    fn coroutines_and_asyncio(python) {
        let seen = play(python, "coroutines");
        assert!(seen[&40017].iter().any(|frame| frame.1.contains("asyncio")));
    }

    /// On the same thread, and on a C thread that enters by PyGILState_Ensure.
    fn callbacks_from_c(python) {
        let seen = play(python, "callbacks");
        assert_eq!(seen[&40027].len(), 1, "only the callback: {:?}", seen[&40027]);
        assert!(seen[&40025].len() > 1);
    }

    /// Started after the attach, and waiting since before it.
    fn threads(python) {
        let seen = play(python, "threads");
        assert!(seen[&40031].last().is_some_and(|root| root.1.ends_with("threading.py")));
        assert!(seen[&40033].last().is_some_and(|root| root.1.ends_with("threading.py")));
    }

    fn exceptions(python) {
        play(python, "exceptions");
    }

    fn class_bodies_methods_and_lambdas(python) {
        let seen = play(python, "classes");
        assert!(seen[&40041][0].0.ends_with("Made"));
        assert!(seen[&40049][0].0.ends_with("<lambda>"));
    }

    /// A call over several lines stands where the call begins.
    fn calls_over_lines(python) {
        if matches!(python, "3.6" | "3.7") {
            return skip("before 3.8 the line of a call is that of its last argument");
        }
        play(python, "spread");
    }

    /// 2000 functions, each dead before the next is made, nearly all at addresses
    /// that were used before.
    fn reused_code_addresses(python) {
        let seen = play(python, "compiled");
        assert_eq!(seen.len(), 2000);
        for (size, stack) in seen {
            assert_eq!(stack[0].0, format!("made_{}", (size - 50001) / 2));
        }
    }

    /// Nothing is allocated between the death of the one and the call of the other.
    fn successors_of_dead_codes(python) {
        let seen = play(python, "reborn");
        assert_eq!(seen.len(), 100);
        for (size, stack) in seen {
            assert_eq!(stack[0].0, format!("born_{}", (size - 60001) / 2));
        }
    }

    fn generators_with_another_caller(python) {
        let seen = play(python, "resumed");
        let further = |stack: &[Frame]| stack[2].0.ends_with("further");
        assert_eq!(seen.values().filter(|stack| further(stack)).count(), 12);
    }

    fn names_of_every_kind(python) {
        let seen = play(python, "names");
        assert_eq!(seen[&40063][0].0, "名前");
        assert_eq!(seen[&40065][0].0.len(), 3000);
    }

    /// The interpreter ends below threads that allocate: no stack is made up.
    fn daemon_threads_at_exit(python) {
        let mut target = target("daemons.py").python(python).ready();
        let scratch = tempfile::tempdir().expect("a temporary directory can be made");
        let file = scratch.path().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
        let rounds = |target: &mut Target| target.ask("rounds").parse::<u64>().expect("a number");
        let before = rounds(&mut target);
        until("they have allocated", || (rounds(&mut target) > before + 100).then_some(()));
        target.finish();
        let capture = recording.wait().success().capture();
        let line = Source::read("daemons.py").line("40001");
        let stacks = capture.events.iter().filter(|event| event.size == 40001).map(|event| &event.stack);
        let (full, none): (Vec<_>, Vec<_>) = stacks.partition(|stack| !stack.is_empty());
        assert!(full.len() > none.len(), "{} with a stack, {} without", full.len(), none.len());
        for stack in full {
            assert_eq!((stack[0].0.as_str(), stack[0].2), ("work", line));
        }
    }
}
