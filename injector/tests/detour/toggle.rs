//! Detours that go in and out of a running process under load.
//!
//! `DETOUR_TOGGLES` sets how many times each entry is changed in all; a long run
//! is started by hand.

use crate::target::{Counting, Target};
use prof_injector::Pid;
use prof_injector::detour::{arm, arm_all_stopped, disarm, disarm_all_stopped};
use prof_injector::process::Maps;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const TOGGLES: usize = 100_000;
/// How often five bytes are changed, each time with all threads stopped.
const STOPS: usize = 100;

fn toggles() -> usize {
    std::env::var("DETOUR_TOGGLES").map_or(TOGGLES, |count| count.parse().expect("a number"))
}

/// The code of all entries as it stands.
fn texts(target: &Target, counting: &Counting) -> Vec<Vec<u8>> {
    counting.entries.iter().map(|entry| target.read(entry.function, 64)).collect()
}

#[test]
fn toggled_under_load_nothing_breaks_and_nothing_stays() {
    let mut target = Target::start("\"$0\"");
    let mut plans = target.plans();
    plans.retain(|plan| !plan.way.needs_all_stopped());
    assert!(plans.len() >= 11, "{} of 12 by one byte", plans.len());
    let counting = Counting::install(&mut target, plans);
    let before = texts(&target, &counting);
    target.tell("load");
    let started = Instant::now();
    for _ in 0..toggles() / (2 * counting.entries.len()) {
        counting.entries.iter().for_each(|entry| arm(&target.memory, entry).expect("as planned"));
        counting.entries.iter().for_each(|entry| disarm(&target.memory, entry).expect("as armed"));
    }
    let elapsed = started.elapsed();
    let counts = counting.counts(&target);
    println!("{} toggles in {elapsed:?}, {} rounds: {counts:?}", toggles(), target.tell("ready"));
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
    assert_eq!(texts(&target, &counting), before);
    target.finish();
}

#[test]
fn every_call_is_counted_once() {
    check_counts(Target::start("\"$0\""));
}

#[test]
fn a_plt_slot_that_stands_for_a_function_is_no_function() {
    let target = Target::start_fixed();
    assert_eq!(target.functions().iter().filter(|function| function.name == "malloc").count(), 1);
    check_counts(target);
}

/// Has the target call each function a known number of times.
fn check_counts(mut target: Target) {
    const ROUNDS: u64 = 100;
    let mut plans = target.plans();
    plans.retain(|plan| !plan.way.needs_all_stopped());
    let counting = Counting::install(&mut target, plans);
    counting.entries.iter().for_each(|entry| arm(&target.memory, entry).expect("as planned"));
    // The first answer may still let stdio allocate.
    target.tell("ready");
    let before: HashMap<_, _> = counting.counts(&target).into_iter().collect();
    target.tell("sequence");
    let after = counting.counts(&target);
    let expected = [
        ("malloc", 1),
        ("calloc", 1),
        ("realloc", 1),
        ("free", 2),
        ("mmap", 1),
        ("mremap", 1),
        ("munmap", 2),
    ];
    let expected: HashMap<_, _> = expected.into_iter().collect();
    for (name, count) in after {
        let calls = expected.get(name).copied().unwrap_or(0);
        assert_eq!(count - before[name], calls * ROUNDS, "{name}");
    }
    counting.entries.iter().for_each(|entry| disarm(&target.memory, entry).expect("as armed"));
}

#[test]
fn five_bytes_go_in_and_out_while_all_threads_are_stopped() {
    let mut target = Target::start("setarch -R \"$0\"");
    target.tell("reserve 1000");
    let mut plans = target.plans();
    plans.retain(|plan| plan.way.needs_all_stopped());
    assert!(plans.len() >= 4, "{} by five bytes", plans.len());
    let counting = Counting::install(&mut target, plans);
    let before = texts(&target, &counting);
    target.tell("load");
    for _ in 0..STOPS {
        change_while_stopped(&target, |pcs| {
            counting.entries.iter().all(|entry| arm_all_stopped(&target.memory, entry, pcs).is_ok())
        });
        change_while_stopped(&target, |pcs| {
            counting.entries.iter().all(|entry| disarm_all_stopped(&target.memory, entry, pcs).is_ok())
        });
    }
    let counts = counting.counts(&target);
    println!("{STOPS} times in and out: {counts:?}");
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
    assert_eq!(texts(&target, &counting), before);
    target.finish();
}

/// Stops the target's threads until a change is possible. A change that was half
/// possible is completed by the next attempt: what is in is left in.
fn change_while_stopped(target: &Target, mut change: impl FnMut(&[u64]) -> bool) {
    let pid = target.process.pid();
    loop {
        signal(pid, nix::sys::signal::Signal::SIGSTOP);
        let pcs = pcs_once_stopped(pid);
        let changed = change(&pcs);
        signal(pid, nix::sys::signal::Signal::SIGCONT);
        if changed {
            return;
        }
    }
}

fn signal(pid: Pid, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(pid, signal).expect("our own child");
}

/// The pc of every thread, as soon as all are stopped.
fn pcs_once_stopped(pid: Pid) -> Vec<u64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("running").flatten();
        let pcs: Option<Vec<u64>> = tasks.map(|task| pc_if_stopped(&task.path())).collect();
        match pcs {
            Some(pcs) => return pcs,
            None => assert!(Instant::now() < deadline, "a thread does not stop"),
        }
        std::thread::yield_now();
    }
}

fn pc_if_stopped(task: &std::path::Path) -> Option<u64> {
    let status = std::fs::read_to_string(task.join("stat")).ok()?;
    let state = status.rsplit(") ").next()?.chars().next()?;
    let syscall = std::fs::read_to_string(task.join("syscall")).ok()?;
    let pc = u64::from_str_radix(syscall.split_whitespace().last()?.trim_start_matches("0x"), 16).ok()?;
    (state == 'T').then_some(pc)
}

#[test]
fn foreign_text_is_left_alone() {
    let target = Target::start("\"$0\"");
    let functions = target.functions();
    let malloc = functions.iter().find(|function| function.name == "malloc").expect("in libc");
    // As a uprobe would: somewhere in the function, on a path that this idle
    // process does not take.
    let at = malloc.addr + malloc.size as u64 - 1;
    let original = target.read(at, 1);
    target.write(at, &[original[0] ^ 0xff]);
    let refused = target.planner().plan(malloc, &target.text(malloc)).expect_err("changed");
    assert!(refused.to_string().ends_with(&format!("changed by somebody else, at {at:#x}")), "{refused}");
    target.write(at, &original);
    target.planner().plan(malloc, &target.text(malloc)).expect("as in the file");
}

#[test]
fn islands_lie_where_nothing_is_mapped() {
    let target = Target::start("\"$0\"");
    let maps: Maps = target.process.maps().expect("readable");
    for plan in target.plans() {
        assert!(maps.is_free(&plan.pages()), "{}", plan.name);
    }
}
