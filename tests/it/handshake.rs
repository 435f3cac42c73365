//! The tests' own language does what it says.

use crate::dsl::*;
use std::io::Write;
use std::path::Path;

python_tests! { all:
    fn targets_answer_and_end(python) {
        let mut target = target("echo.py").python(python).ready();
        assert_eq!(target.ask("say so be it"), "so be it");
        if python != "system" {
            assert_eq!(target.ask("version"), python.trim_end_matches('d'));
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

/// What a perfect `prof parse --json` prints for [`done`].
const RECORDED: [&str; 7] = [
    r#"{"kind":"rss","t_ns":0,"resident_bytes":4096}"#,
    r#"{"kind":"malloc","t_ns":1,"tid":7,"thread":1,"addr":"0x10","size":4711,"stack":[["f","a.py",3]]}"#,
    r#"{"kind":"malloc","t_ns":2,"tid":7,"thread":1,"addr":"0x20","size":99}"#,
    r#"{"kind":"realloc","t_ns":3,"tid":7,"thread":1,"addr":"0x30","old_addr":"0x10","size":4713}"#,
    r#"{"kind":"free","t_ns":4,"tid":8,"thread":2,"addr":"0x30"}"#,
    r#"{"kind":"malloc","t_ns":5,"tid":7,"thread":1,"addr":"0x30","size":4711}"#,
    r#"{"kind":"free","t_ns":6,"tid":7,"thread":1,"addr":"0x30"}"#,
];

/// Somebody else's block of 99 bytes is not in it.
fn done() -> OpLog {
    let op = |kind: &str, tid, addr, old_addr, size| {
        let kind = kind.to_owned();
        Op { kind, tid, addr, old_addr, size, old_size: 0 }
    };
    let first = vec![
        op("malloc", 7, 0x10, 0, 4711),
        op("realloc", 7, 0x30, 0x10, 4713),
        op("malloc", 7, 0x30, 0, 4711),
        op("free", 7, 0x30, 0, 0),
    ];
    OpLog { lanes: vec![first, vec![op("free", 8, 0x30, 0, 0)]] }
}

fn parsed(lines: &[&str]) -> Capture {
    Capture::parse(Path::new("capture.prof"), &lines.join("\n"))
}

#[test]
fn an_exact_capture_is_accepted() {
    let capture = parsed(&RECORDED);
    assert_eq!((capture.events.len(), capture.others.len()), (6, 1));
    capture.holds_exactly(&done());
    capture.pairs_up(&done());
    assert_eq!(capture.one(4713).old_addr, 0x10);
    assert_eq!(capture.events[0].stack, [Frame("f".into(), "a.py".into(), 3)]);
}

/// Whatever is missing, doubled, or in another place, kind, size, thread or
/// address: it is noticed.
#[test]
fn every_difference_is_noticed() {
    let accepts = |lines: &[&str]| {
        let check = || {
            let capture = parsed(lines);
            capture.holds_exactly(&done());
            capture.pairs_up(&done());
        };
        std::panic::catch_unwind(check).is_ok()
    };
    for at in [1, 3, 4, 5, 6] {
        let without: Vec<_> =
            (0..RECORDED.len()).filter(|&other| other != at).map(|at| RECORDED[at]).collect();
        assert!(!accepts(&without), "without {}", RECORDED[at]);
        let mut twice = RECORDED.to_vec();
        twice.insert(at, RECORDED[at]);
        assert!(!accepts(&twice), "twice {}", RECORDED[at]);
    }
    let changes = [
        (1, r#""tid":7"#, r#""tid":8"#),
        (1, "malloc", "calloc"),
        (1, "4711", "4713"),
        (3, "0x30", "0x40"),
        (3, "0x10", "0x20"),
        (4, r#""tid":8"#, r#""tid":7"#),
        (5, r#""t_ns":5"#, r#""t_ns":1"#),
    ];
    for (at, old, new) in changes {
        let changed = RECORDED[at].replace(old, new);
        let mut lines = RECORDED.to_vec();
        lines[at] = &changed;
        assert!(!accepts(&lines), "{changed}");
    }
    let mut swapped = RECORDED.to_vec();
    swapped.swap(4, 5);
    assert!(!accepts(&swapped), "an allocation on top of a live block");
}
