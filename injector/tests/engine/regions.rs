//! The region and its programs, made, used, found and removed.

use crate::target::{BUDGET, Target, kill, until};
use prof_injector::call::{CallError, Caller};
use prof_injector::region::{Progress, RegionError, RegionHandle};
use prof_injector::tracee::{Seized, Tracer};
use prof_shared::region::{Program, Shape, Step, step};

const SHAPE: Shape = Shape { slot_count: 64, has_native: false };

fn syscall(number: i64, args: [u64; 6]) -> Step {
    Step { what: step::SYSCALL, target: number as u64, args, result: 0 }
}

fn create(caller: &Caller) -> RegionHandle {
    RegionHandle::create(caller, SHAPE, BUDGET).unwrap().0
}

#[test]
fn a_region_comes_and_goes_without_a_trace() {
    let target = Target::victim("compute");
    let (caller, before) = target.caller();
    for _ in 0..30 {
        let region = create(&caller);
        let maps = target.process.maps().unwrap();
        assert_eq!(RegionHandle::find(&target.process, &maps), Some(region.clone()));
        assert_eq!(region.progress(), Progress::Complete(SHAPE));
        assert!(maps.at(region.stub()).is_some_and(|m| m.exec && !m.write));
        region.remove(&caller, BUDGET).unwrap();
        assert_eq!(RegionHandle::find(&target.process, &target.process.maps().unwrap()), None);
    }
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn programs_return_results_and_keep_registers_and_errno() {
    let target = Target::victim("compute");
    let (caller, before) = target.caller();
    let region = create(&caller);
    let libc = target.process.modules(&before).into_iter().find(|m| m.symbol("__libc_start_main").is_some());
    let rmdir = libc.unwrap().symbol("rmdir").unwrap().addr;
    let word = region.text() + 64;
    let steps = [
        syscall(libc::SYS_getpid, [0; 6]),
        syscall(libc::SYS_rmdir, [region.text(), 0, 0, 0, 0, 0]),
        // Fails and sets errno, which the target checks.
        Step { what: step::CALL, target: rmdir, args: [region.text(), 0, 0, 0, 0, 0], result: 0 },
        Step { what: step::SWAP, target: word, args: [7, 9, 0, 0, 0, 0], result: 0 },
        Step { what: step::SWAP, target: word, args: [7, 11, 0, 0, 0, 0], result: 0 },
    ];
    let mut text = [0; 72];
    text[..5].copy_from_slice(b"/none");
    text[64] = 7;
    for _ in 0..300 {
        let flight =
            caller.on_some_thread(BUDGET, |stopped| caller.run_program(stopped, &region, &steps, &text));
        let (results, _) = caller.land_program(flight.unwrap(), BUDGET).unwrap();
        let failed = -i64::from(libc::ENOENT) as u64;
        let minus_one = u64::from(u32::MAX);
        assert_eq!(results[..2], [target.pid().as_raw() as u64, failed]);
        assert_eq!(results[2] & minus_one, minus_one);
        assert_eq!(results[3..], [7, 9]);
        assert_eq!(target.process.memory().read_u64(word).unwrap(), 9);
    }
    region.remove(&caller, BUDGET).unwrap();
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn a_forked_child_reads_a_closed_gate() {
    let target = Target::victim("compute");
    let (caller, before) = target.caller();
    let region = create(&caller);
    caller.writer().write(region.base(), &[1]).unwrap();
    // clone(SIGCHLD): the child goes on in the stub, as the parent does.
    let fork = syscall(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]);
    let (results, _) = caller.call_program(&region, &[fork], BUDGET).unwrap();
    let child = prof_injector::Pid::from_raw(results[0] as i32);
    let child = prof_injector::process::Process::open(child).unwrap();
    let gates = [&target.process, &child].map(|process| {
        let mut gate = [0xff];
        process.memory().read(region.base(), &mut gate).unwrap();
        gate[0]
    });
    kill(child.pid(), libc::SIGKILL);
    assert_eq!(gates, [1, 0]);
    region.remove(&caller, BUDGET).unwrap();
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn a_program_that_does_not_end_is_reported_and_left_alone() {
    let target = Target::victim("read");
    target.blocked();
    let (caller, _) = target.caller();
    let region = create(&caller);
    let deadline = std::time::Duration::from_millis(50);
    let wait_for_input = syscall(libc::SYS_read, [0, region.text(), 1, 0, 0, 0]);
    let flight = Tracer::run(|tracer| {
        let stopped = Seized::new(tracer, target.main_thread())?.stop(BUDGET)?;
        caller.run_program(stopped, &region, &[wait_for_input], &[])
    });
    let result = caller.land_program(flight.unwrap(), deadline);
    assert!(matches!(result, Err(CallError::Unfinished { .. })), "{result:?}");
    assert!(region.remove(&caller, deadline).is_err());
    // The end of its input ends the program, and then its own read.
    assert_eq!(target.verdict(), "result=0 errno=0");
}

#[test]
fn a_limit_of_address_space_is_a_clean_refusal() {
    let target = Target::confined_victim("compute", 8 << 20);
    let (caller, before) = target.caller();
    let result = RegionHandle::create(&caller, SHAPE, BUDGET);
    assert!(matches!(result, Err(RegionError::Refused("mmap"))), "{result:?}");
    target.assert_untouched(&before);
    target.signal(libc::SIGUSR1);
    assert_eq!(target.verdict(), "bad=0 busy=1");
}

#[test]
fn a_program_that_was_never_started_does_not_keep_its_region() {
    let target = Target::victim("read");
    target.blocked();
    let (caller, before) = target.caller();
    let region = create(&caller);
    // As an attacher leaves it that dies between the program and the registers.
    caller.writer().write_u64(region.program() + std::mem::offset_of!(Program, len) as u64, 1).unwrap();
    assert!(caller.is_busy(&region).unwrap());
    region.remove(&caller, BUDGET).unwrap();
    target.assert_untouched(&before);
    assert_eq!(target.verdict(), "result=0 errno=0");
}

#[test]
fn an_exec_is_noticed_before_anything_is_touched() {
    let target = Target::script("/bin/sh", "echo ready; read line; exec cat");
    let (caller, _) = target.caller();
    let region = create(&caller);
    let shell = target.process.exe().unwrap();
    target.send("go\n");
    until("it executes another program", || target.process.exe().unwrap() != shell);
    let result = caller.call_program(&region, &[syscall(libc::SYS_getpid, [0; 6])], BUDGET);
    assert!(matches!(result, Err(CallError::Memory { .. })), "{result:?}");
    assert!(target.process.is_alive());
    assert_eq!(target.verdict(), "");
}

#[test]
fn pythons_compute_on() {
    let code = "
import json, signal, sys
over = []
signal.signal(signal.SIGUSR1, lambda *a: over.append(1))
data = {str(i): [i, i * 0.5, 'x' * i] for i in range(60)}
text = json.dumps(data)
print('ready', flush=True)
bad = rounds = 0
while not over:
    bad += json.dumps(json.loads(text)) != text
    rounds += 1
print('bad=%d busy=%d' % (bad, rounds > 10))
";
    let root = "/root/.pyenv/versions";
    let pyenv = ["3.8.18", "3.11.7", "3.12.1"].map(|version| format!("{root}/{version}/bin/python3"));
    let interpreters = pyenv.into_iter().chain(["/usr/bin/python3".to_owned()]);
    for interpreter in interpreters.filter(|path| std::path::Path::new(path).exists()) {
        let target = Target::script(&interpreter, code);
        let (caller, _) = target.caller();
        for _ in 0..5 {
            let region = create(&caller);
            for _ in 0..20 {
                let steps = [syscall(libc::SYS_getpid, [0; 6])];
                let (results, _) = caller.call_program(&region, &steps, BUDGET).unwrap();
                assert_eq!(results, [target.pid().as_raw() as u64]);
            }
            region.remove(&caller, BUDGET).unwrap();
        }
        assert_eq!(RegionHandle::find(&target.process, &target.process.maps().unwrap()), None);
        target.signal(libc::SIGUSR1);
        assert_eq!(target.verdict(), "bad=0 busy=1", "{interpreter}");
    }
}
