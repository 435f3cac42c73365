//! Recordings that nobody watches: begun without a terminal, and ended from elsewhere.

use crate::dsl::*;
use rustix::process::Signal;

/// Begun on a terminal that goes away, and ended by `prof detach`.
#[test]
fn without_its_terminal() {
    let mut target = target("sequences.py").ready();
    let file = target.scratch().join("capture.prof");
    let path = file.display().to_string();
    let mut screen = Screen::of(&["attach", &target.pid(), "--background", "-o", &path]);
    screen.shows(&["prof: recording pid", "in the background", "prof detach"]);
    assert!(screen.ended().success());
    drop(screen);
    target.ask("functions");
    prof(&["detach", &target.pid()]).run().success().says("ended the recording");
    let capture = Capture::read(&file);
    capture.is_complete();
    assert_eq!(capture.stats["end_reason"], "interrupted");
    capture.holds_exactly(&OpLog::read(&target.scratch().join("ops")));
    let log = std::fs::read_to_string(target.scratch().join("capture.prof.log")).expect("there is a log");
    assert!(log.contains("prof: ended (interrupted)") && log.contains("longest pause"), "{log}");
    target.finish();
}

/// What keeps it from beginning is told where it was started, as ever, and no log stays.
#[test]
fn what_cannot_begin() {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let own = std::process::id().to_string();
    let refused = prof(&["attach", &own, "--background"]).dir(scratch.path()).run();
    refused.refuses(REFUSAL, &[&own, "Python"]).hints("pid");
    assert_eq!(std::fs::read_dir(scratch.path()).expect("the directory is there").count(), 0);
    // A log that is there is somebody's.
    let log = scratch.path().join("capture.prof.log");
    std::fs::write(&log, "kept").expect("it can be written");
    let capture = scratch.path().join("capture.prof");
    let target = target("load.py").arg("1").ready();
    let refused = prof(&["attach", &target.pid(), "--background", "-o"]).arg(&capture).run();
    refused.refuses(REFUSAL, &["capture.prof.log", "exists"]).hints("--force");
    assert_eq!(std::fs::read(&log).expect("it can be read"), b"kept");
    target.finish();
}

/// One that is stopped is not waited for, and can be ended once it goes on.
#[test]
fn while_it_is_stopped() {
    let target = target("load.py").arg("1").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    recording.signal(Signal::STOP);
    until("it is stopped", || recording.is_stopped().then_some(()));
    let by = recording.pid().to_string();
    prof(&["detach", &target.pid()]).run().refuses(REFUSAL, &[&by, "stopped"]).hints("kill -CONT");
    recording.signal(Signal::CONT);
    prof(&["detach", &target.pid()]).run().success().says(&by);
    recording.wait().success().says("prof: ended (interrupted)");
    target.finish();
}

/// A recording that was begun as usual is ended just so.
#[test]
fn ended_from_elsewhere() {
    let target = target("load.py").arg("1").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    prof(&["detach", &target.pid()]).run().success().says(&recording.pid().to_string());
    let finished = recording.wait().success().says("prof: ended (interrupted)");
    finished.capture().is_complete();
    // Nobody records any more.
    prof(&["detach", &target.pid()]).run().success().says("nothing of prof is in process");
    target.finish();
}
