//! After a detach nothing is left, and attaching again works any number of times.

use crate::dsl::*;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

python_tests! { named:
    /// Maps, code, files, threads and signals of a target that does nothing
    /// meanwhile are the same, line by line and byte by byte.
    fn leaves_nothing(python) {
        let mut target = target("sequences.py").python(python).ready();
        settle(&mut target);
        let before = Snapshot::of(&target);
        let file = target.scratch().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
        assert_ne!(before.text, Snapshot::of(&target).text, "the hooks are seen while they are there");
        recording.interrupt();
        before.same_as(&Snapshot::of(&target));
        target.finish();
    }

    /// `prof detach` removes what a killed attacher left.
    fn removes_what_was_left(python) {
        let mut target = target("sequences.py").python(python).ready();
        settle(&mut target);
        let before = Snapshot::of(&target);
        let file = target.scratch().join("capture.prof");
        prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().kill();
        assert_ne!(before.text, Snapshot::of(&target).text, "a kill leaves the hooks");
        prof(&["detach", &target.pid()]).run().success();
        before.same_as(&Snapshot::of(&target));
        target.finish();
    }

    /// The next attach does so too.
    fn attaches_over_what_was_left(python) {
        let mut target = target("sequences.py").python(python).ready();
        let before = Snapshot::of(&target);
        let file = target.scratch().join("killed.prof");
        prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().kill();
        let (log, capture) = crate::exactness::record_in(&mut target, &["functions", "storm 300"]);
        capture.holds_exactly(&log);
        capture.pairs_up(&log);
        before.same_text_as(&Snapshot::of(&target));
        target.finish();
    }
}

/// On a target of eight threads that allocate all the while: every attach and
/// every detach succeeds, the code is whole, and nothing grows. 30 rounds; as
/// many as `PROF_TEST_CYCLES` says.
#[test]
fn again_and_again() {
    let rounds = std::env::var("PROF_TEST_CYCLES").ok().and_then(|count| count.parse().ok()).unwrap_or(30);
    let mut target = target("load.py").arg("8").ready();
    let before = Snapshot::of(&target);
    let mut settled = None;
    for round in 0..rounds {
        let file = target.scratch().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "--force", "-q", "-o"]).arg(&file).recording();
        target.ask("rounds");
        recording.interrupt();
        let after = Snapshot::of(&target);
        before.same_text_as(&after);
        assert_eq!(before.threads, after.threads, "round {round}");
        assert_eq!(before.fds, after.fds, "round {round}");
        // The load's own heap takes a few rounds to find its size.
        let size = (after.maps.len(), resident_kib(&target));
        if round == rounds / 3 {
            settled = Some(size);
        }
    }
    let (maps, kib) = settled.expect("at least one round");
    let after = Snapshot::of(&target);
    assert!(after.maps.len() <= maps + 16, "{maps} mappings grew to {}", after.maps.len());
    assert!(resident_kib(&target) <= kib + kib / 4 + 4096, "{kib} KiB grew to {}", resident_kib(&target));
    target.finish();
}

/// A second attacher is refused while the first records, and hurts neither.
#[test]
fn one_attacher_at_a_time() {
    let mut target = target("sequences.py").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    let other = target.scratch().join("other.prof");
    let pid = target.pid();
    prof(&["attach", &pid, "-o"]).arg(&other).run().refuses(REFUSAL, &[&pid]);
    target.ask("functions");
    let capture = recording.interrupt().capture();
    capture.holds_exactly(&OpLog::read(&target.scratch().join("ops")));
    target.finish();
}

/// Who holds the lock on the process keeps others away, from its first look on and in
/// whatever namespaces they are (Linux 6.9).
#[test]
fn one_lock_of_all_namespaces() {
    if kernel() < (6, 9) {
        return skip("it takes Linux 6.9");
    }
    let target = target("sequences.py").ready();
    let pid = Pid::from_raw(target.pid().parse().expect("a number"));
    let held = pidfd_open(pid.expect("not 0"), PidfdFlags::empty()).expect("it is alive");
    flock(&held, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
    prof(&["attach", &target.pid()]).run().refuses(REFUSAL, &["recorded by another"]);
    drop(held);
    prof(&["detach", &target.pid()]).run().success();
    target.finish();
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel has a version");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Where nothing is, there is nothing to do.
#[test]
fn of_an_untouched_target() {
    let target = target("sequences.py").ready();
    let before = Snapshot::of(&target);
    prof(&["detach", &target.pid()]).run().success();
    before.same_as(&Snapshot::of(&target));
    target.finish();
}

/// Has every thread allocate once, the worker that Python does not know of too: glibc
/// then gives a thread an arena, which stays, and the thread that loads the payload
/// allocates.
pub fn settle(target: &mut Target) {
    target.ask("functions");
    target.ask("c_threads");
}

fn resident_kib(target: &Target) -> u64 {
    let text = std::fs::read_to_string(target.proc_dir().join("status")).expect("the target runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
