//! What glibc's arenas hold, read from outside, against what malloc says of itself.

use crate::dsl::*;
use prof::inspect::look;
use prof::model::MallocArena;
use prof_injector::Pid;
use prof_injector::process::{Activity, Process, Tid};

/// What the process needs between its own look and ours: 8 KiB to read a command into.
const SLACK: u64 = 9 << 10;

/// Once it waits for the next command.
fn arenas(target: &Target) -> Vec<MallocArena> {
    let pid = target.pid().parse().expect("a number");
    let process = Process::open(Pid::from_raw(pid)).expect("the target runs");
    let main = Tid(process.pid().as_raw());
    let is_reading =
        || matches!(process.activity(main), Ok(Activity::Blocked { number: 0, .. })).then_some(());
    until("it reads", is_reading);
    look(&process, None, &[], true, 0).expect("it can be looked at").malloc_arenas
}

fn numbers(answer: &str) -> Vec<u64> {
    answer.split_whitespace().map(|number| number.parse().expect("bytes")).collect()
}

/// `mallinfo2` adds all arenas up; `keepcost` is the end of the main one.
fn check(target: &mut Target, count: usize) {
    // What the first call needs is there at the second.
    target.ask("figures");
    let [system, free, main_top] = numbers(&target.ask("figures"))[..] else { panic!("three figures") };
    let arenas = arenas(target);
    assert_eq!(arenas.len(), count, "{arenas:?}");
    assert_eq!(arenas.iter().map(|arena| arena.system_bytes).sum::<u64>(), system, "{arenas:?}");
    let found = arenas.iter().map(|arena| arena.free_bytes).sum::<u64>();
    assert!(found.abs_diff(free) <= SLACK, "{found} is not {free}: {arenas:?}");
    assert!(arenas[0].top_bytes.abs_diff(main_top) <= SLACK, "not {main_top}: {arenas:?}");
    assert!(
        arenas.iter().all(|arena| !arena.is_partial && arena.top_bytes <= arena.free_bytes),
        "{arenas:?}"
    );
}

python_tests! { all:
    fn arenas_are_what_malloc_says(python) {
        let mut target = target("malloc.py").python(python).ready();
        check(&mut target, 1);
        target.ask("holes 0");
        check(&mut target, 1);
        target.ask("holes 3");
        check(&mut target, 4);
        let [_, free, _] = numbers(&target.ask("figures"))[..] else { panic!("three figures") };
        assert!(free > 4 * 400 * (2000 + 20_000), "every other block is free");
        target.finish();
    }
}
