//! Protections that only a constructed case shows: each test here was seen to fail when
//! its protection was taken out.

use crate::dsl::*;
use std::os::unix::fs::FileExt;

fn attach(target: &Target) -> Recording {
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), "--force", "-q", "-o"]).arg(&file).recording()
}

/// The bytes of the mappings of `name` in a target.
fn bytes_of(target: &Target, name: &str) -> Vec<u8> {
    let maps = std::fs::read_to_string(target.proc_dir().join("maps")).expect("the target runs");
    let memory = std::fs::File::open(target.proc_dir().join("mem")).expect("its memory can be read");
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(name)) {
        let (start, rest) = line.split_once('-').expect("a range");
        let end = rest.split(' ').next().expect("its end");
        let [start, end] = [start, end].map(|digits| u64::from_str_radix(digits, 16).expect("an address"));
        let mut bytes = vec![0; (end - start) as usize];
        memory.read_exact_at(&mut bytes, start).expect("it is mapped");
        all.extend(bytes);
    }
    assert!(!all.is_empty(), "no {name} in\n{maps}");
    all
}

/// The gate: a child has the detours and shares the ring, and its gate is shut.
#[test]
fn children_record_nothing() {
    let mut target = target("forking.py").ready();
    let recording = attach(&target);
    assert_eq!(target.ask("child"), "0");
    target.ask("allocate");
    let capture = recording.interrupt().capture();
    capture.is_complete();
    capture.one(47103);
    let of_child = capture.events.iter().filter(|event| event.size == 47101).count();
    assert_eq!(of_child, 0, "allocations of a child were recorded");
    target.finish();
}

/// The owner word: once the attacher is dead, hooks leave the ring alone, its counters
/// of losses too.
#[test]
fn the_ring_of_a_dead_attacher_is_left_alone() {
    let mut target = target("forking.py").ready();
    let recording = attach(&target);
    target.ask("allocate");
    recording.kill();
    let before = bytes_of(&target, "/memfd:prof-ring");
    for _ in 0..1000 {
        target.ask("allocate");
    }
    assert!(before == bytes_of(&target, "/memfd:prof-ring"), "the ring has changed");
    prof(&["detach", &target.pid()]).run().success();
    target.finish();
}

python_tests! { all:
    /// The finalizing word: once the interpreter ends, thread states are not looked at.
    fn no_stacks_while_the_interpreter_ends(python) {
        let mut target = target("finalizing.py").python(python).ready();
        let scratch = tempfile::tempdir().expect("a temporary directory can be made");
        let file = scratch.path().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file).recording();
        target.ask("allocate");
        target.finish();
        let capture = recording.wait().success().capture();
        assert_eq!(capture.one(47001).stack[0].2, Source::read("finalizing.py").line("47001"));
        assert_eq!(capture.one(47003).stack, []);
    }
}

fn slow() -> Target {
    target("slow.py").env("LD_PRELOAD", &slow_library().display().to_string()).ready()
}

/// A free counts from before its call: while that call has not returned, another thread
/// has the block already.
#[test]
fn a_free_precedes_the_next_allocation() {
    let mut target = slow();
    let recording = attach(&target);
    target.ask("exchange 500");
    let capture = recording.interrupt().capture();
    capture.is_complete();
    let addr = capture.events.iter().find(|event| event.size == 48123).expect("it was recorded").addr;
    let events: Vec<_> = capture.events.iter().filter(|event| event.addr == addr).collect();
    let changes = events.windows(2).filter(|pair| pair[1].kind == "malloc" && pair[0].tid != pair[1].tid);
    assert!(changes.count() > 100, "the threads hardly took turns");
    for (at, event) in events.iter().enumerate() {
        let expected = if at % 2 == 0 { "malloc" } else { "free" };
        assert_eq!(event.kind, expected, "event {at} of {}: {event:?}", events.len());
    }
    target.finish();
}

/// What a signal handler allocates while its thread is inside the allocator is not recorded,
/// and counted, on whichever stack it runs; what the allocator calls itself (here libc's) is
/// not.
#[test]
fn a_handler_inside_the_allocator_is_counted() {
    for (command, lost) in [("exchange 20", 0), ("interrupt 0", 6), ("interrupt 1", 6)] {
        let mut target = slow();
        let recording = attach(&target);
        target.ask(command);
        let capture = recording.interrupt().capture();
        let losses = &capture.stats["losses"];
        assert_eq!(losses["nested"], lost, "{command}: {losses}");
        assert_eq!(capture.stats["lost_events"], lost, "{command}");
        assert!(capture.events.iter().all(|event| event.size != 48125), "the handler's were recorded");
        target.finish();
    }
}

/// Whether an address is in the payload, or in anonymous code: an island.
fn is_ours(target: &Target, addr: u64) -> bool {
    let maps = std::fs::read_to_string(target.proc_dir().join("maps")).expect("the target runs");
    maps.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (start, end) = words[0].split_once('-').expect("a range");
        let [start, end] = [start, end].map(|digits| u64::from_str_radix(digits, 16).expect("an address"));
        let is_anonymous = words.len() == 5 && words[1].contains('x');
        (start..end).contains(&addr) && (is_anonymous || line.contains("/memfd:prof-payload"))
    })
}

/// The look at stacks before anything is unmapped: a signal came while a thread was in
/// code of ours, before or after the word that says so, and its handler waits. Only the
/// stack shows that it will come back.
#[test]
fn a_thread_inside_keeps_everything_in_place() {
    let mut target = target("caught.py").ready();
    let before = Snapshot::of(&target);
    attach(&target).kill();
    until("a signal meets it in code of ours", || {
        let pc = u64::from_str_radix(&target.ask("catch"), 16).expect("an address");
        let is_inside = is_ours(&target, pc);
        if !is_inside {
            target.ask("release");
        }
        is_inside.then_some(())
    });
    prof(&["detach", &target.pid()]).run().refuses(FAILURE, &["thread"]).hints("prof detach");
    assert_eq!(target.ask("release"), "0");
    prof(&["detach", &target.pid()]).run().success();
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
}

/// A pointer to one of our functions that a thread has loaded, and not called yet, shows in
/// its registers only, or in those that a signal handler returns to.
#[test]
fn a_loaded_function_pointer_keeps_everything_in_place() {
    for is_caught in [false, true] {
        let mut target = target("loaded.py").ready();
        let before = Snapshot::of(&target);
        let recording = attach(&target);
        assert_eq!(target.ask("load"), "0");
        recording.kill();
        if is_caught {
            assert_eq!(target.ask("catch"), "True");
        }
        prof(&["detach", &target.pid()]).run().refuses(FAILURE, &["thread"]).hints("prof detach");
        if is_caught {
            assert_eq!(target.ask("release"), "0");
        }
        assert_eq!(target.ask("drop"), "0");
        prof(&["detach", &target.pid()]).run().success();
        before.same_text_as(&Snapshot::of(&target));
        target.finish();
    }
}
