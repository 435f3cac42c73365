//! Raw calls: the target does them and notices nothing.

use crate::target::{BUDGET, Target};
use prof_injector::call::{CallError, Caller, RawCall, Unsuitable};
use prof_injector::process::Tid;
use prof_injector::tracee::{Seized, Tracer};
use std::sync::atomic::{AtomicBool, Ordering};

/// An address where nothing else is.
const PLACE: u64 = 0x3210_0000_0000;
const FIXED_NOREPLACE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;

fn map() -> RawCall {
    let args = [PLACE, 4096, libc::PROT_READ as u64, FIXED_NOREPLACE as u64, u64::MAX, 0];
    RawCall { number: libc::SYS_mmap as u64, args }
}

fn unmap() -> RawCall {
    RawCall { number: libc::SYS_munmap as u64, args: [PLACE, 4096, 0, 0, 0, 0] }
}

/// Makes `calls` on one thread, again while the moment does not suit.
fn call_on(caller: &Caller, tid: Tid, calls: &[RawCall]) {
    let maps = caller.process().maps().unwrap();
    let flight = loop {
        let once = Tracer::run(|tracer| {
            let stopped = Seized::new(tracer, tid)?.stop(BUDGET)?;
            caller.run_raw(stopped, &maps, calls)
        });
        match once {
            Err(CallError::Unsuitable { why: Unsuitable::SignalPending, .. }) => {}
            Err(error @ CallError::Memory { .. }) if error.is_worth_another_try() => {}
            other => break other.unwrap(),
        }
    };
    caller.land(flight, BUDGET).unwrap();
}

fn map_and_unmap(target: &Target, rounds: usize) {
    let (caller, before) = target.caller();
    for _ in 0..rounds {
        call_on(&caller, target.main_thread(), &[map()]);
        assert!(target.process.maps().unwrap().at(PLACE).is_some_and(|m| m.range.start == PLACE));
        call_on(&caller, target.main_thread(), &[unmap()]);
        assert!(target.process.maps().unwrap().at(PLACE).is_none());
        // Several in one flight leave what the last one left.
        call_on(&caller, target.main_thread(), &[map(), unmap(), map(), unmap()]);
    }
    target.assert_untouched(&before);
}

/// Looks at a thread that waits and lets it go, which a call that it makes next is not to notice.
fn look_and_use(target: &Target, number: i64) {
    for _ in 0..20 {
        Tracer::run(|tracer| drop(Seized::new(tracer, target.main_thread()).unwrap().stop(BUDGET).unwrap()));
        assert_eq!(target.blocked(), number, "it goes on by another system call");
        map_and_unmap(target, 1);
    }
}

#[test]
fn a_computing_thread_keeps_every_register() {
    let has_pku = std::fs::read_to_string("/proc/cpuinfo").unwrap().contains(" ospke");
    let target = Target::victim(if has_pku { "compute-pku" } else { "compute" });
    map_and_unmap(&target, 150);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn waits_without_a_limit_go_on_and_end_as_they_should() {
    let modes = [
        ("read", "result=0 errno=0"),
        ("poll", "result=1 errno=0"),
        ("ppoll", "result=1 errno=0"),
        ("select", "result=1 errno=0"),
        ("epoll_wait", "result=1 errno=0"),
        ("epoll_pwait", "result=1 errno=0"),
        ("wait4", "result=1 errno=0"),
    ];
    for (mode, expected) in modes {
        let target = Target::victim(mode);
        let number = target.blocked();
        look_and_use(&target, number);
        assert_eq!(target.blocked(), number, "{mode}");
        assert_eq!(target.verdict(), expected, "{mode}");
    }
}

#[test]
fn waits_that_a_signal_ends_are_still_ended_by_it() {
    let interrupted = format!("result=-1 errno={}", libc::EINTR);
    let caught = format!("result={} errno=0", libc::SIGUSR1);
    for (mode, expected) in [
        ("pause", &interrupted),
        ("futex", &interrupted),
        ("futex_until", &interrupted),
        ("sigwaitinfo", &caught),
    ] {
        let target = Target::victim(mode);
        let number = target.blocked();
        look_and_use(&target, number);
        assert_eq!(target.blocked(), number, "{mode}");
        target.signal(libc::SIGUSR1);
        assert_eq!(&target.verdict(), expected, "{mode}");
    }
}

#[test]
fn relative_sleeps_last_as_long_as_they_should() {
    let target = Target::victim("nap");
    map_and_unmap(&target, 60);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0");
}

#[test]
fn a_thousand_signals_a_second_and_an_alternate_stack_survive() {
    let target = Target::victim("alarms");
    map_and_unmap(&target, 100);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 ticked=1 mask=0 stack=1");
}

#[test]
fn some_thread_is_found_while_threads_come_and_go() {
    let target = Target::victim("threads");
    let (caller, _) = target.caller();
    for _ in 0..100 {
        caller.call_raw(&[map()], BUDGET).unwrap();
        caller.call_raw(&[unmap()], BUDGET).unwrap();
        assert!(target.process.maps().unwrap().at(PLACE).is_none());
    }
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0");
}

#[test]
fn a_process_without_its_leader_can_be_called_in() {
    let target = Target::victim("leaderless");
    crate::target::until("the leader exits", || {
        !target.process.status(target.main_thread()).unwrap().state.is_live()
    });
    let (caller, before) = target.caller();
    assert!(!before.0.is_empty());
    caller.call_raw(&[map(), unmap()], BUDGET).unwrap();
    assert_eq!(target.process.maps().unwrap(), before);
    assert_eq!(target.verdict(), "got=0");
}

#[test]
fn a_loaded_machine_only_takes_longer() {
    let load: Vec<Target> = (0..4).map(|_| Target::victim("burn")).collect();
    let target = Target::victim("compute");
    map_and_unmap(&target, 10);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
    drop(load);
}

#[test]
fn a_target_that_dies_meanwhile_is_reported_as_gone() {
    let target = Target::victim("compute");
    let (caller, _) = target.caller();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            loop {
                let result = caller.call_raw(&[map(), unmap()], BUDGET);
                over.store(true, Ordering::Release);
                if let Err(error) = result {
                    return error;
                }
            }
        });
        crate::target::until("a first call", || over.load(Ordering::Acquire));
        target.signal(libc::SIGKILL);
        assert!(matches!(calling.join().unwrap(), CallError::ProcessGone));
    });
}
