//! Every way a recording ends leaves a finished capture and says why it ended.

use crate::dsl::*;
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

/// Starts a load and a recording of it, for which `args` are added.
fn start(args: &[&str]) -> (Target, Recording, tempfile::TempDir) {
    let target = target("load.py").arg("2").ready();
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let pid = target.pid();
    let all: Vec<_> = [&["attach", &pid], args, &["-o"]].concat();
    let recording = prof(&all).arg(scratch.path().join("capture.prof")).recording();
    (target, recording, scratch)
}

/// A capture that opens, was finished, and ended for `reason`.
#[track_caller]
fn ended(finished: Finished, reason: &str) -> Capture {
    let finished =
        finished.success().says("longest pause").says("at the peak").says("next: prof flamegraph ");
    let capture = finished.capture();
    let stats = &capture.stats;
    assert_eq!(stats["end_reason"], reason, "{stats:#}");
    assert!(stats["metadata"]["end_time"].is_string(), "the capture was not finished: {stats:#}");
    assert!(stats["total_num_allocations"].as_u64().is_some_and(|count| count > 0), "{stats:#}");
    capture
}

/// After a recording that ended by itself: the load is well, and its code as ever.
fn is_unharmed(mut target: Target) {
    target.ask("rate");
    target.finish();
}

#[test]
fn duration() {
    let (target, recording, _scratch) = start(&["--duration", "1"]);
    ended(recording.wait(), "duration");
    is_unharmed(target);
}

#[test]
fn durations_have_units() {
    let (target, recording, _scratch) = start(&["--duration", "1500ms"]);
    ended(recording.wait(), "duration");
    is_unharmed(target);
}

#[test]
fn interrupt() {
    let (mut target, recording, _scratch) = start(&[]);
    target.ask("rounds");
    recording.signal(Signal::INT);
    ended(recording.wait(), "interrupted");
    is_unharmed(target);
}

#[test]
fn terminate() {
    let (mut target, recording, _scratch) = start(&[]);
    target.ask("rounds");
    recording.signal(Signal::TERM);
    ended(recording.wait(), "terminated");
    is_unharmed(target);
}

#[test]
fn hangup() {
    let (mut target, recording, _scratch) = start(&[]);
    target.ask("rounds");
    recording.signal(Signal::HUP);
    ended(recording.wait(), "hangup");
    is_unharmed(target);
}

#[test]
fn target_exit() {
    let (mut target, recording, _scratch) = start(&[]);
    target.ask("rate");
    target.tell("leave");
    target.wait();
    ended(recording.wait(), "target_exited");
}

#[test]
fn target_finalization() {
    let (mut target, recording, _scratch) = start(&[]);
    target.ask("rate");
    target.finish();
    ended(recording.wait(), "target_exited");
}

#[test]
fn target_exec() {
    let (mut target, recording, _scratch) = start(&[]);
    target.ask("rate");
    target.tell("exec");
    ended(recording.wait(), "target_exec");
    assert!(target.is_alive(), "what it became runs on");
}

/// Root's or nobody's: whoever may not look any more at what the target has become knows
/// that it has become something.
#[test]
fn target_exec_setuid() {
    let Some(program) = SetuidProgram::new() else { return skip("no right to make a set-user-id program") };
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    for (under, owner) in [(&nobody[..], 0), (&["env"], 65534)] {
        program.belongs_to(owner);
        let mut target = target("load.py").python("system").under(under).arg("2").ready();
        let scratch = shared_dir();
        let file = scratch.path().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).under(under).recording();
        target.ask("rate");
        target.tell(&format!("become {}", program.path()));
        let started = std::time::Instant::now();
        let finished = recording.wait();
        let took = started.elapsed();
        ended(finished, "target_exec");
        assert!(took < std::time::Duration::from_millis(4500), "it took {took:?}");
        assert!(target.is_alive(), "what it became runs on");
    }
}

/// A child of the target passes through the hooks it inherits.
#[test]
fn target_fork() {
    let (mut target, recording, _scratch) = start(&[]);
    assert_eq!(target.ask("fork"), "0", "the child's self-check");
    ended(recording.interrupt(), "interrupted").is_complete();
    assert_eq!(target.ask("fork"), "0", "the child's self-check, after the detach");
    is_unharmed(target);
}

/// Children that live on carry inert hooks: that is said, and they can be cleaned, also
/// after their parent's end.
#[test]
fn target_forks_children_that_stay() {
    let (mut target, recording, _scratch) = start(&[]);
    let children = [target.ask("keep"), target.ask("keep")];
    let maps = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it is alive");
    recording.interrupt().says("2 forked children").says("prof detach --children");
    assert!(children.iter().all(|pid| maps(pid).contains("memfd:prof-payload")));
    prof(&["detach", "--children", &target.pid()]).run().success().says(&children[0]).says(&children[1]);
    assert!(!children.iter().any(|pid| maps(pid).contains("memfd:prof")));
    prof(&["detach", "--children", &target.pid()]).run().success().says("no process");
    assert_eq!(target.ask("release"), "0", "the children check themselves");
    is_unharmed(target);
}

/// SIGKILL in full flight: everything committed before is there, thread by thread,
/// without a hole.
#[test]
fn target_killed() {
    let mut target = target("counted.py").ready();
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let recording =
        prof(&["attach", &target.pid(), "-o"]).arg(scratch.path().join("capture.prof")).recording();
    target.ask("go");
    let counts = target.scratch().join("counts");
    until("the threads have allocated enough", || (done(&counts)[1].1 > 20_000).then_some(()));
    target.signal(Signal::KILL);
    target.wait();
    let capture = ended(recording.wait(), "target_killed");
    capture.is_complete();
    for (tid, count) in done(&counts) {
        let of_thread = capture.events.iter().filter(|event| u64::from(event.tid) == tid);
        let sizes = of_thread.filter(|event| event.kind == "malloc" && (20000..24096).contains(&event.size));
        let sizes: Vec<_> = sizes.map(|event| event.size).collect();
        assert!(sizes.len() as u64 >= count, "{count} done, {} recorded", sizes.len());
        assert!(sizes.len() as u64 <= count + 1, "{count} done, {} recorded", sizes.len());
        let expected = (0..sizes.len() as u64).map(|number| 20000 + number % 4096);
        assert!(sizes.iter().copied().eq(expected), "thread {tid} has a hole");
    }
}

/// What `counted.py` says each thread has done.
fn done(counts: &Path) -> [(u64, u64); 2] {
    let bytes = std::fs::read(counts).expect("the counts can be read");
    let word = |at: usize| u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().expect("eight bytes"));
    [(word(0), word(1)), (word(2), word(3))]
}

/// A disk of one MiB, unmounted when dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` without the right to mount.
    pub fn new() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(dir.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(SmallDisk(dir))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: if that fails the machine has one small file system more.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn full_disk() {
    let Some(disk) = SmallDisk::new() else { return skip("no right to mount a file system") };
    let target = target("load.py").arg("2").ready();
    let file = disk.path().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    let capture = ended(recording.wait(), "disk_full");
    assert!(!capture.events.is_empty());
    // What came when the disk was full already is counted.
    let unwritten = capture.stats["losses"]["unwritten"].as_u64();
    assert!(unwritten > Some(0) && capture.stats["lost_events"].as_u64() >= unwritten, "{:#}", capture.stats);
    let shown = prof(&["stats"]).arg(&file).run().success().stdout;
    assert!(shown.contains("the disk was full"), "{shown}");
    is_unharmed(target);
}

/// It ends by itself, in order; what was in the ring by then is still there.
#[test]
fn full_size() {
    const MAX: u64 = 1 << 20;
    /// What may wait for the disk besides the ring.
    const QUEUE: u64 = 16 << 20;
    const RING: u64 = 256 << 10;
    let target = target("load.py").arg("2").ready();
    let file = target.scratch().join("capture.prof");
    let limits = ["attach", &target.pid(), "--max-size", "1MiB", "--ring-size", "256KiB", "-o"];
    let recording = prof(&limits).arg(&file).recording();
    let capture = ended(recording.wait(), "max_size");
    assert_eq!(capture.stats["losses"]["unwritten"], 0);
    let size = file.metadata().expect("the capture is there").len();
    assert!((MAX..=MAX + RING + QUEUE).contains(&size), "{size} bytes");
    is_unharmed(target);
}

#[test]
fn default_file_name_says_whose_it_is() {
    let target = target("load.py").arg("1").ready();
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let mut recording = prof(&["attach", &target.pid()]).dir(scratch.path()).spawn();
    let file = recording.started();
    recording.interrupt();
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let start = format!("prof-load-{}-", target.pid());
    let time = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".prof"));
    let is_time =
        |time: &str| time.len() >= 15 && time.chars().all(|c| c.is_ascii_digit() || "-TZ".contains(c));
    assert!(time.is_some_and(is_time), "{name}, not {start}<time>.prof");
    assert_eq!(file.parent(), Some(scratch.path()));
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().expect("the capture is there"));
    assert_eq!(mode & 0o777, 0o600, "a capture is its owner's");
    is_unharmed(target);
}

/// Two that attach at the same moment: one records, the other one is refused or comes
/// later, and neither takes the other's work for remains.
#[test]
fn two_at_once() {
    let mut target = target("load.py").arg("4").ready();
    for _ in 0..10 {
        let attach = |name: &str| {
            let file = target.scratch().join(name);
            prof(&["attach", &target.pid(), "-f", "-q", "--duration", "200ms", "-o"]).arg(file).spawn()
        };
        let both = [attach("one.prof"), attach("other.prof")];
        let ended = both.map(|recording| recording.wait().status.and_then(|status| status.code()));
        assert!(target.is_alive(), "the target died of {ended:?}");
        assert!(ended.contains(&Some(0)), "{ended:?}");
        assert!(ended.iter().all(|code| matches!(code, Some(0 | REFUSAL))), "{ended:?}");
    }
    is_unharmed(target);
}
