//! What a target may be doing while it is attached to, recorded and left: it works on,
//! its own check passes, and everything of it is as before.
//!
//! Each workload goes through two rounds, or as many as `PROF_TEST_ROUNDS` says.

use crate::dsl::*;

/// The six that meet every fault too, see `faults.rs`.
pub const CORE: [&str; 6] =
    ["malloc_loop", "eight_threads", "fork_storm", "thread_storm", "signal_storm", "blocked"];

/// System calls that may return EINTR to a thread that was stopped, although no signal came
/// (signal(7), and what our way in does to a relative wait). CPython makes them again.
const MAY_BE_INTERRUPTED: [&str; 7] = [
    "accept with a timeout",
    "recv with a timeout",
    "sigtimedwait",
    "semtimedop",
    "poll with a timeout",
    "nanosleep",
    "futex with a timeout",
];

fn rounds() -> usize {
    std::env::var("PROF_TEST_ROUNDS").ok().and_then(|count| count.parse().ok()).unwrap_or(2)
}

/// Attaches, has it work while recorded, leaves it; again and again.
#[track_caller]
fn round_and_round(target: &mut Target, health: &Health) {
    for round in 0..rounds() {
        let file = target.scratch().join(format!("{round}.prof"));
        let recording = prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file).recording();
        health.works(target);
        recording.interrupt();
        health.works(target);
        health.is_as_before(target);
        prof(&["stats"]).arg(&file).run().success();
        std::fs::remove_file(&file).expect("it is there");
    }
}

/// Runs a workload to its end, with `prof` coming and going.
#[track_caller]
fn endures(python: &str, name: &str) {
    let mut target = workload(name).python(python).ready();
    let health = Health::of(name, &mut target);
    round_and_round(&mut target, &health);
    target.finish();
}

python_tests! { all:
    fn core(python) {
        for name in CORE.into_iter().filter(|&name| name != "blocked") {
            endures(python, name);
        }
    }

    /// Threads in every blocking system call stay there; the few that may see EINTR are
    /// known.
    fn blocked(python) {
        let mut target = workload("blocked").python(python).ready();
        let health = Health::of("blocked", &mut target);
        round_and_round(&mut target, &health);
        let interrupted = target.ask("interrupted");
        for call in interrupted.split(';').filter(|call| !call.is_empty()) {
            assert!(MAY_BE_INTERRUPTED.contains(&call), "{call} was interrupted");
        }
        target.finish();
    }
}

python_tests! { two:
    fn libraries_that_come_and_go(python) {
        endures(python, "dlopen_loop");
    }

    fn processes_by_vfork_and_spawn(python) {
        endures(python, "spawn_storm");
    }

    fn multiprocessing(python) {
        endures(python, "pools");
    }

    fn threads_on_small_stacks(python) {
        endures(python, "small_stacks");
    }

    fn five_hundred_idle_threads(python) {
        endures(python, "idle_threads");
    }

    fn handlers_that_jump_out(python) {
        endures(python, "signal_jumps");
    }

    fn alternate_signal_stacks(python) {
        endures(python, "alternate_stack");
    }

    fn contexts_on_small_stacks(python) {
        endures(python, "contexts");
    }

    /// Where greenlet is installed.
    fn greenlets(python) {
        let import = std::process::Command::new(interpreter(python)).args(["-c", "import greenlet"]).output();
        if !import.is_ok_and(|output| output.status.success()) {
            return skip("greenlet is not installed");
        }
        endures(python, "greenlets");
    }

    /// Registers, flags, control words, vectors, masks and the red zone.
    fn registers(python) {
        endures(python, "registers");
    }

    /// asyncio, beside a C thread that takes EINTR from `epoll_wait` for the end.
    fn event_loops(python) {
        endures(python, "event_loop");
    }

    fn locked_memory(python) {
        endures(python, "locked");
    }
}
