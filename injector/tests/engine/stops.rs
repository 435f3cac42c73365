//! Stopping, letting go, and what cannot be stopped.

use crate::target::{BUDGET, Target, until};
use prof_injector::process::{TaskState, is_late};
use prof_injector::tracee::{Seized, TraceError, Tracer, choose};
use std::time::Duration;

#[test]
fn every_way_out_of_a_stop_leaves_the_thread_untraced_and_running() {
    let target = Target::victim("compute");
    let (tid, before) = (target.main_thread(), target.process.maps().unwrap());
    for _ in 0..50 {
        Tracer::run(|tracer| drop(Seized::new(tracer, tid).unwrap()));
        Tracer::run(|tracer| drop(Seized::new(tracer, tid).unwrap().stop(BUDGET).unwrap()));
        Tracer::run(|tracer| Seized::new(tracer, tid).unwrap().stop(BUDGET).unwrap().detach().map(drop))
            .unwrap();
        let (again, pause) = Tracer::run(|tracer| {
            let (running, pause) = Seized::new(tracer, tid).unwrap().stop(BUDGET).unwrap().resume().unwrap();
            (running.stop(BUDGET).is_ok(), pause)
        });
        assert!(again && pause.0 > Duration::ZERO);
        // Forgotten, not dropped: the end of the tracer's thread lets go of it.
        Tracer::run(|tracer| std::mem::forget(Seized::new(tracer, tid).unwrap().stop(BUDGET).unwrap()));
        assert_eq!(target.process.status(tid).unwrap().tracer_pid, 0);
    }
    until("it runs", || target.process.status(tid).unwrap().state == TaskState::Running);
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn a_tended_thread_gets_its_signals() {
    let target = Target::victim("pause");
    target.blocked();
    Tracer::run(|tracer| {
        let mut seized = Seized::new(tracer, target.main_thread()).unwrap();
        target.signal(libc::SIGUSR1);
        until("the thread exits", || matches!(seized.tend(), Err(TraceError::Gone(_))));
    });
    // It was a child of ours too, so its tracer has reaped it.
    assert_eq!(target.output(), format!("result=-1 errno={}", libc::EINTR));
}

#[test]
fn a_job_control_stop_is_kept() {
    let target = Target::victim("compute");
    let tid = target.main_thread();
    target.signal(libc::SIGSTOP);
    until("it stops", || target.process.status(tid).unwrap().state == TaskState::Stopped);
    assert_eq!(choose(&target.process).unwrap(), []);
    for _ in 0..20 {
        let result = Tracer::run(|tracer| Seized::new(tracer, tid)?.stop(BUDGET).map(drop));
        assert!(matches!(result, Err(TraceError::GroupStopped(_))), "{result:?}");
        assert_eq!(target.process.status(tid).unwrap().tracer_pid, 0);
        // It goes back into its stop by itself, without a step in its own code.
        until("it is stopped", || target.process.status(tid).unwrap().state == TaskState::Stopped);
    }
    target.signal(libc::SIGCONT);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn a_parent_in_vfork_is_given_up_in_time_and_runs_on_later() {
    let target = Target::victim("vfork");
    let tid = target.main_thread();
    until("it waits for its child", || {
        target.process.status(tid).unwrap().state == TaskState::Uninterruptible
    });
    assert_eq!(choose(&target.process).unwrap(), []);
    let deadline = Duration::from_millis(50);
    let result = Tracer::run(|tracer| Seized::new(tracer, tid)?.stop(deadline).map(drop));
    assert!(matches!(result, Err(TraceError::Deadline { .. })), "{result:?}");
    assert_eq!(target.process.status(tid).unwrap().tracer_pid, 0);
    assert_eq!(target.verdict(), "bad=0");
}

#[test]
fn a_thread_has_one_tracer() {
    let target = Target::victim("pause");
    let tid = target.main_thread();
    target.blocked();
    Tracer::run(|tracer| {
        let held = Seized::new(tracer, tid).unwrap();
        let second = Tracer::run(|tracer| Seized::new(tracer, tid).map(drop));
        assert!(matches!(second, Err(TraceError::Refused(_))), "{second:?}");
        drop(held);
    });
    assert!(matches!(
        Tracer::run(|tracer| Seized::new(tracer, prof_injector::process::Tid(i32::MAX)).map(drop)),
        Err(TraceError::Gone(_))
    ));
    target.signal(libc::SIGUSR1);
    target.verdict();
}

#[test]
fn a_held_thread_does_not_wait_for_the_lock_of_its_mappings() {
    let target = Target::victim("copied");
    let (tid, memory) = (target.main_thread(), target.process.memory());
    let maps = target.process.maps().unwrap();
    let addr = maps.0.iter().find(|mapping| mapping.name == "[stack]").unwrap().range.end - 8;
    let mut late = 0;
    until("reads come late", || {
        let [first, second] = Tracer::run(|tracer| {
            let stopped = Seized::new(tracer, tid).unwrap().stop(BUDGET).unwrap();
            let reads = [memory.read_u64(addr), memory.read_u64(addr)];
            drop(stopped);
            reads
        });
        assert!([&first, &second].iter().all(|read| read.as_ref().err().is_none_or(is_late)));
        assert!(first.is_ok() || second.is_err(), "nothing is asked of a reader that is late");
        // Nobody is held for this one, so it waits.
        assert!(memory.read_u64(addr).is_ok());
        late += u32::from(second.is_err());
        late >= 5
    });
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0");
}
