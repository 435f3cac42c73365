//! Which thread to stop: the one that will notice least.
//!
//! Judged from outside, by `/proc/PID/task/TID/{status,syscall}`. A blocked
//! thread stopped for a call cannot resume its wait; it begins it anew, or
//! returns EINTR where that would wait too long (arch `restart`).

use crate::arch::restart::{Restart, restart_of};
use crate::process::{Activity, Process, TaskState, TaskStatus, Tid};
use crate::signals;

/// How well a thread serves, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// Waits in a system call that begins anew unseen.
    Invisible,
    /// Runs user code.
    Running,
    /// Waits in a system call that will return EINTR, which libc and CPython retry.
    Interrupts,
}

/// The threads that may be stopped, best first.
pub fn choose(process: &Process) -> std::io::Result<Vec<(Tid, Fitness)>> {
    let fitness = |tid: Tid| {
        // A kernel may be built without that file.
        let activity = process.activity(tid).unwrap_or(Activity::Running);
        Some((tid, fitness(&process.status(tid).ok()?, &activity)?))
    };
    let mut threads: Vec<_> = process.tasks()?.into_iter().filter_map(fitness).collect();
    threads.sort_by_key(|&(_, fitness)| fitness);
    Ok(threads)
}

fn fitness(status: &TaskStatus, activity: &Activity) -> Option<Fitness> {
    let usable = matches!(status.state, TaskState::Running | TaskState::Sleeping);
    // libc blocks everything while it starts or ends threads and forks.
    if !usable || status.tracer_pid != 0 || status.blocked == signals::ALL {
        return None;
    }
    Some(match *activity {
        Activity::Running | Activity::Blocked { number: -1, .. } => Fitness::Running,
        Activity::Blocked { number, args, .. } => match restart_of(number as u64, &args) {
            Restart::Anew => Fitness::Invisible,
            Restart::Interrupt => Fitness::Interrupts,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: TaskState) -> TaskStatus {
        TaskStatus {
            state,
            tracer_pid: 0,
            ns_pids: vec![1],
            uids: [0; 4],
            pending: 0,
            blocked: 0,
            capabilities: 0,
            thread_count: 1,
            seccomp: 0,
            filters: None,
            shadow_stack: false,
            virtual_bytes: 0,
            locked_bytes: 0,
        }
    }

    #[test]
    fn threads_are_ranked_by_what_they_would_notice() {
        let blocked = |number, args| Activity::Blocked { number, args, sp: 0, pc: 0 };
        let read = blocked(libc::SYS_read, [0; 6]);
        let poll_1s = blocked(libc::SYS_poll, [0, 0, 1000, 0, 0, 0]);
        let sleeping = status(TaskState::Sleeping);
        assert_eq!(fitness(&sleeping, &read), Some(Fitness::Invisible));
        assert_eq!(fitness(&status(TaskState::Running), &Activity::Running), Some(Fitness::Running));
        assert_eq!(fitness(&sleeping, &poll_1s), Some(Fitness::Interrupts));
        let skipped = [TaskState::Uninterruptible, TaskState::Stopped, TaskState::Zombie, TaskState::Traced];
        for state in skipped {
            assert_eq!(fitness(&status(state), &read), None);
        }
        assert_eq!(fitness(&TaskStatus { tracer_pid: 7, ..sleeping.clone() }, &read), None);
        assert_eq!(fitness(&TaskStatus { blocked: signals::ALL, ..sleeping }, &read), None);
    }
}
