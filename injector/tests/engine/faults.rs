//! The attacher dies, stops or fails after each of its steps; the target runs on
//! and the next attacher finds everything in order.

use crate::target::{BUDGET, Target, until};
use prof_injector::Pid;
use prof_injector::call::Caller;
use prof_injector::process::{Maps, Process};
use prof_injector::region::RegionHandle;
use prof_shared::region::{Shape, Step, step};
use std::process::{Command, ExitStatus, Stdio};

const VICTIM: &str = "PROF_TEST_VICTIM";

/// Does everything once: a region, a program, and the region's end.
fn attach_once(process: &Process) -> Result<(), Box<dyn std::error::Error>> {
    let maps = process.maps()?;
    let caller = Caller::new(process, &maps, &process.modules(&maps))?;
    let (region, _) = RegionHandle::create(&caller, Shape { slot_count: 64, has_native: false }, BUDGET)?;
    let getpid = Step { what: step::SYSCALL, target: libc::SYS_getpid as u64, ..Step::default() };
    caller.call_program(&region, &[getpid], BUDGET)?;
    region.remove(&caller, BUDGET)?;
    Ok(())
}

/// Not a test of its own: what the other tests run as another process.
#[test]
fn attacher() {
    if let Ok(pid) = std::env::var(VICTIM) {
        let process = Process::open(Pid::from_raw(pid.parse().unwrap())).unwrap();
        attach_once(&process).unwrap();
    }
}

fn attacher_that(target: &Target, fails_at: &str) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "faults::attacher"]).env(VICTIM, target.pid().to_string());
    command.env("PROF_FAIL_AT", fails_at).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap()
}

/// Removes what is left, until the maps are as before.
fn clean(target: &Target, before: &Maps) {
    let len = |maps: &Maps| maps.0.len();
    until("the target is as before", || {
        let maps = target.process.maps().unwrap();
        if let Some(left) = RegionHandle::find(&target.process, &maps) {
            let caller = Caller::new(&target.process, &maps, &[]).unwrap();
            left.remove(&caller, BUDGET).unwrap();
        }
        len(&target.process.maps().unwrap()) == len(before)
    });
}

/// Most fail points that an attacher passes: five flights of five, and the region's own.
const MOST_STEPS: u32 = 35;

fn fail_everywhere(mode: &str, action: &str) {
    let target = Target::victim(mode);
    let before = target.process.maps().unwrap();
    let mut failed = 0;
    for step in 1..=MOST_STEPS {
        let status = attacher_that(&target, &format!("{step}:{action}"));
        failed += u32::from(!status.success());
        clean(&target, &before);
        attach_once(&target.process).unwrap();
    }
    // The last ones are behind the end, and a refused stop is just tried again.
    assert!((15..MOST_STEPS).contains(&failed), "{failed}");
    clean(&target, &before);
    until("it is let go", || target.process.status(target.main_thread()).unwrap().tracer_pid == 0);
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert!(target.verdict().starts_with("bad=0"));
}

#[test]
fn an_attacher_killed_anywhere_harms_nobody_who_computes() {
    fail_everywhere("compute", "kill");
}

#[test]
fn an_attacher_killed_anywhere_harms_nobody_who_sleeps() {
    fail_everywhere("nap", "kill");
}

#[test]
fn an_attacher_killed_anywhere_harms_nobody_under_signals() {
    fail_everywhere("alarms", "kill");
}

#[test]
fn a_step_that_fails_leaves_things_in_order() {
    fail_everywhere("compute", "error");
}

#[test]
fn attachers_at_the_same_time_do_not_disturb_each_other() {
    let target = Target::victim("compute");
    let before = target.process.maps().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..20).for_each(|_| attach_once(&target.process).unwrap()));
        }
    });
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}
