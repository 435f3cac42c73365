//! The tests' own language does what it says.

use crate::dsl::*;
use std::io::Write;

python_tests! { all:
    fn targets_answer_and_end(python) {
        let mut target = target("echo.py").python(python).ready();
        assert_eq!(target.ask("say so be it"), "so be it");
        if python != "system" {
            assert_eq!(target.ask("version"), python);
        }
        assert!(target.is_alive());
        target.finish();
    }
}

#[test]
fn a_silent_target_is_described() {
    let mut target = target("echo.py").ready();
    target.tell("stop");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target.expect("never said")));
    let message = *panic.expect_err("it never says so").downcast::<String>().expect("a message");
    for part in
        ["did not say \"never said\"", "echo.py", "status: ", "stdout:\nready\nself-check ok", "stderr:"]
    {
        assert!(message.contains(part), "{part:?} is missing in {message}");
    }
}

#[test]
fn a_failed_prof_is_described() {
    let output = prof(&["frobnicate"]).run();
    let text = output.to_string();
    assert!(text.starts_with("prof frobnicate\nstatus: exit status: "), "{text}");
    assert!(text.contains("\nstdout:\n") && text.contains("\nstderr:\n"), "{text}");
}

#[test]
fn streams_keep_their_lines() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
    let mut stream = Stream::follow(reader);
    writer.write_all(b"one\ntwo\nthree").expect("the pipe takes it");
    assert_eq!(stream.find(|line| line == "two").as_deref(), Some("two"));
    drop(writer);
    assert_eq!(stream.find(|line| line == "one"), None, "a line is found once");
    assert!(stream.ended());
    assert_eq!(stream.text(), "one\ntwo\nthree");
}

#[test]
fn snapshots_differ_when_something_does() {
    let mut target = target("echo.py").ready();
    let before = Snapshot::of(&target);
    before.same_as(&Snapshot::of(&target));
    assert!(before.text.keys().any(|line| line.contains("libc")), "{:?}", before.text);
    assert!(before.threads[&target.pid()].iter().any(|line| line == "TracerPid:\t0"));

    let other = self::target("echo.py").ready();
    let panic = std::panic::catch_unwind(|| before.same_as(&Snapshot::of(&other)));
    assert!(panic.is_err(), "two processes are not the same");
    target.ask("say still there");
    other.finish();
    target.finish();
}

#[test]
fn the_helper_keeps_its_log() {
    let mut target = target("echo.py").ready();
    target.ask("allocate 4711");
    target.ask("allocate 4713");
    let log = OpLog::read(&target.scratch().join("ops"));
    let ops: Vec<_> = log.lanes[0].iter().map(|op| (op.kind.as_str(), op.size)).collect();
    assert_eq!(ops, [("malloc", 4711), ("free", 0), ("malloc", 4713), ("free", 0)]);
    assert!(log.lanes[0].iter().all(|op| op.tid.to_string() == target.pid() && op.addr != 0));
    assert_eq!(log.sizes(), [4711, 4713].into());
    target.finish();
}

#[test]
fn markers_are_found() {
    let source = Source::read("sequences.py");
    assert_eq!(source.line("40007"), source.line("40009"), "two on one line");
    assert_eq!(source.line("40003"), source.line("40001") + 1);
    let text = std::fs::read_to_string(program("sequences.py")).expect("the program exists");
    for (site, line) in source.sites() {
        let line = text.lines().nth(line as usize - 1).expect("the line exists");
        assert!(line.contains(&format!("site:{site}")), "{line}");
    }
}
