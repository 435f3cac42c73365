//! Fail points: after every step that changes the target, `prof` dies or fails
//! there. The target runs on; after a failure, or a detach, it is byte for byte as
//! before.
//!
//! Needs a `prof` with the feature `failpoints`, as `scripts/test` builds it.

use crate::detach::settle;
use crate::dsl::*;
use prof_shared::region::{HEADER, Region};
use rustix::process::Signal;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;

/// More fail points than there are.
const MANY: usize = 1000;

/// An attach that does `action` at the n-th fail point that it passes.
fn attach(target: &Target, number: usize, action: &str) -> Finished {
    begin(target, number, action).wait()
}

fn begin(target: &Target, number: usize, action: &str) -> Recording {
    let file = target.scratch().join("capture.prof");
    let everything = ["--trace-python-allocators", "--native", "--force", "-q", "--duration", "50ms", "-o"];
    let pid = target.pid();
    let args = [&["attach", &pid], &everything[..]].concat();
    prof(&args).arg(&file).env("PROF_FAIL_AT", &format!("{number}:{action}")).spawn()
}

/// Whether the attach was killed, as it was told.
fn was_killed(finished: &Finished) -> bool {
    finished.status.is_some_and(|status| status.code().is_none())
}

/// Goes through all fail points: `round` tries the n-th and says whether there is
/// one.
fn at_every_point(mut round: impl FnMut(usize) -> bool) {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    let end = (1..MANY).find(|&number| !round(number)).expect("an attach has an end");
    assert!(end > 10, "only {} fail points were passed", end - 1);
}

/// Killed at a point, then attached again over what that left.
#[test]
fn killed_everywhere() {
    let mut target = target("load.py").arg("3").ready();
    let before = Snapshot::of(&target);
    at_every_point(|number| {
        let finished = attach(&target, number, "kill");
        assert!(target.is_alive(), "the target died of fail point {number}\n{finished}");
        target.ask("rounds");
        let was_killed = was_killed(&finished);
        if !was_killed {
            finished.success();
        }
        was_killed
    });
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
}

/// Killed at a point: `prof detach` cleans up what that left. Then failed at the same
/// point: that is got over, or undoes all before it and says so in one line, or, on
/// the way out, leaves the rest to `prof detach`.
#[test]
fn undone_everywhere() {
    let mut target = target("sequences.py").ready();
    settle(&mut target);
    let before = Snapshot::of(&target);
    at_every_point(|number| {
        let killed = attach(&target, number, "kill");
        if !was_killed(&killed) {
            killed.success();
            return false;
        }
        // A thread that was let go just now may have to make calls before it answers.
        target.ask("functions");
        let cleaned = prof(&["detach", &target.pid()]).run();
        assert!(cleaned.status.is_some_and(|status| status.success()), "point {number}\n{cleaned}");
        before.same_as(&Snapshot::of(&target));

        let failed = attach(&target, number, "error");
        if failed.stderr.contains("not everything could be removed") {
            failed.says("recording is complete").hints("prof detach");
            prof(&["detach", &target.pid()]).run().success();
        } else if !failed.status.is_some_and(|status| status.success()) {
            failed.refuses(FAILURE, &[&target.pid(), "undone"]);
        }
        before.same_as(&Snapshot::of(&target));
        true
    });
    target.finish();
}

/// Stopped at a point, as by SIGSTOP: all threads of the target run on meanwhile, and
/// all goes on afterwards.
#[test]
fn stopped_everywhere() {
    let mut target = target("load.py").arg("3").ready();
    let before = Snapshot::of(&target);
    at_every_point(|number| {
        let mut attach = begin(&target, number, "stop");
        // One that holds a thread is made to go on, and may end by itself.
        until("prof is stopped or ends", || (attach.is_stopped() || !attach.is_alive()).then_some(()));
        target.ask("rounds");
        if attach.is_alive() {
            attach.signal(Signal::CONT);
        }
        attach.wait().success().stderr.contains("stopping after")
    });
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
}

/// How many slots and entries there are is the target's word: however many it says on the
/// way out, that leads nowhere.
#[test]
fn numbers_that_lie() {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    for field in [offset_of!(Region, slot_count), offset_of!(Region, entry_count)] {
        let mut target = target("sequences.py").ready();
        settle(&mut target);
        let before = Snapshot::of(&target);
        let file = target.scratch().join("capture.prof");
        let args = ["attach", &target.pid(), "-q", "--duration", "50ms", "-o"];
        let attach = prof(&args).arg(&file).env("PROF_FAIL_AT", "gate-closed:stop").spawn();
        until("prof is stopped", || attach.is_stopped().then_some(()));
        let maps = std::fs::read_to_string(target.proc_dir().join("maps")).expect("it runs");
        let start =
            maps.lines().find_map(|line| line.split_once('-').filter(|(at, _)| at.ends_with("50520000")));
        let region = start.and_then(|(digits, _)| u64::from_str_radix(digits, 16).ok()).expect("a region");
        let memory = std::fs::File::options().write(true).open(target.proc_dir().join("mem"));
        let memory = memory.expect("its memory can be written");
        memory.write_all_at(&u32::MAX.to_ne_bytes(), region + HEADER + field as u64).expect("it is mapped");
        attach.signal(Signal::CONT);
        attach.wait().success();
        before.same_as(&Snapshot::of(&target));
        target.finish();
    }
}
