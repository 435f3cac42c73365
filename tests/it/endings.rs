//! The target executes another program, one of another user, or ends, while `prof` is
//! stopped after some step of the way in, of recording, or of the way out. `prof` ends
//! soon, says what happened, and leaves the new program alone.
//!
//! Needs a `prof` with the feature `failpoints`, as `scripts/test` builds it.

use crate::dsl::*;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// One step of each kind, in their order.
const PLACES: [&str; 18] = [
    "frames-written",
    "region-mapped",
    "region-complete",
    "numbers-written",
    "memfds-made",
    "memfds-filled",
    "program-written",
    "payload-loaded",
    "library-noted",
    "islands-mapped",
    "island-written",
    "pointers-swapped",
    "detour-changed",
    "gate-opened",
    "gate-closed",
    "pointers-restored",
    "payload-closed",
    "islands-unmapped",
];
/// More than `prof` needs to see it.
const SOON: Duration = Duration::from_secs(20);

/// What the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Exec,
    SetuidExec,
    Exit,
}

/// Has the target end so while `prof` is stopped at `place`.
#[track_caller]
fn meets(place: &str, ending: Ending, setuid: Option<&SetuidProgram>) {
    let mut target = target("load.py").arg("2").ready();
    let file = target.scratch().join("capture.prof");
    let pid = target.pid();
    let args = ["attach", &pid, "--force", "-q", "--duration", "30ms", "-o"];
    let mut recording = prof(&args).arg(&file).env("PROF_FAIL_AT", &format!("{place}:stop")).spawn();
    // One that holds a thread is made to go on.
    until("prof comes there", || {
        (recording.stderr().contains("stopping after") || !recording.is_alive()).then_some(())
    });
    let program = setuid.map_or_else(|| "/bin/cat".to_owned(), SetuidProgram::path);
    match ending {
        Ending::Exit => target.tell("leave"),
        _ => target.tell(&format!("become {program}")),
    }
    let after = match ending {
        Ending::Exit => None,
        _ => Some(settled(&target, &program)),
    };
    if ending == Ending::Exit {
        target.wait();
    }
    if recording.is_alive() {
        recording.signal(Signal::CONT);
    }
    let started = Instant::now();
    let finished = recording.wait();
    let what = format!("{ending:?} at {place}");
    assert!(started.elapsed() < SOON, "{what}: prof took {:?}\n{finished}", started.elapsed());
    match finished.status.and_then(|status| status.code()) {
        Some(0) => is_readable(&what, &file),
        Some(FAILURE) => {
            assert!(finished.stderr.contains(&format!("process {pid} has ")), "{what}\n{finished}");
            assert!(!file.exists(), "{what}: a capture of nothing\n{finished}");
        }
        _ => panic!("{what}\n{finished}"),
    }
    if let Some(after) = after {
        after.same_as(&Snapshot::of(&target));
        assert_eq!(target.states().len(), 1, "{what}");
        target.tell("echo");
        target.expect("echo");
    }
}

/// The target once it is the new program, waits for its input, and is in nobody's hands:
/// who holds a thread when it is stopped is made to go on.
fn settled(target: &Target, program: &str) -> Snapshot {
    let name = program.rsplit('/').next().expect("a name");
    until("it is the other program", || {
        let comm = std::fs::read_to_string(target.proc_dir().join("comm")).ok()?;
        let call = std::fs::read_to_string(target.proc_dir().join("syscall")).ok()?;
        let waits = comm.trim() == name && call.starts_with("0 ");
        let snapshot = waits.then(|| Snapshot::of(target))?;
        let is_free = |thread: &Vec<String>| thread.contains(&"TracerPid:\t0".to_owned());
        snapshot.threads.values().all(is_free).then_some(snapshot)
    })
}

/// It says how the target ended; `duration` where that was over before.
#[track_caller]
fn is_readable(what: &str, file: &std::path::Path) {
    let stats = Capture::stats_of(file);
    let reason = stats["end_reason"].as_str().expect("a word");
    assert!(matches!(reason, "target_exec" | "target_exited" | "duration"), "{what}: {reason}");
}

fn everywhere(ending: Ending) {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    let setuid = (ending == Ending::SetuidExec).then(SetuidProgram::new);
    if let Some(None) = setuid {
        return skip("no right to make a set-user-id program");
    }
    let setuid = setuid.flatten();
    if let Some(program) = &setuid {
        program.belongs_to(65534);
    }
    PLACES.iter().for_each(|place| meets(place, ending, setuid.as_ref()));
}

#[test]
fn exec() {
    everywhere(Ending::Exec);
}

#[test]
fn setuid_exec() {
    everywhere(Ending::SetuidExec);
}

#[test]
fn exit() {
    everywhere(Ending::Exit);
}

/// A kernel that lets nobody write to pages which a process may only execute: the fail
/// point stands for its answer.
#[test]
fn writes_to_code_are_forbidden() {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    let mut target = target("load.py").arg("2").ready();
    let before = Snapshot::of(&target);
    let file = target.scratch().join("capture.prof");
    let attach = prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file);
    let refused = attach.env("PROF_FAIL_AT", "code-refused:error").run();
    refused.refuses(FAILURE, &["undone", "write code"]).hints("force_override");
    before.same_text_as(&Snapshot::of(&target));
    target.ask("rounds");
    target.finish();
}
