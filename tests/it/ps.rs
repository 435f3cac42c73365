//! Which Python processes there are, and which one is meant.

use crate::dsl::*;
use rustix::process::Signal;
use std::process::{Command, Stdio};

/// The line of a process in what `prof ps --json` prints.
#[track_caller]
fn listed(pid: &str) -> Option<serde_json::Value> {
    let out = prof(&["ps", "--json", "--trend", "0"]).run().success().stdout;
    let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let pid: i64 = pid.parse().expect("a number");
    lines.into_iter().find(|line| line["pid"] == pid)
}

python_tests! { all:
    fn knows_every_version(python) {
        let target = target("echo.py").python(python).ready();
        let line = listed(&target.pid()).expect("it is listed");
        assert_eq!(line["attachable"], true, "{line}");
        let version = line["python"].as_str().expect("a version");
        assert!(python == "system" || version.starts_with(python.trim_end_matches('d')), "{version}");
        assert!(line["resident_bytes"].as_u64() > Some(1 << 20));
        assert!(line["command"].to_string().contains("echo.py"));
        target.finish();
    }
}

#[test]
fn lists_no_others() {
    let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is everywhere");
    assert_eq!(listed(&cat.id().to_string()), None);
    drop(cat.stdin.take());
    cat.wait().expect("it ends");
}

#[test]
fn says_why_not() {
    let target = target("echo.py").ready();
    target.signal(Signal::STOP);
    until("it is stopped", || target.states().iter().all(|state| state.1 == 'T').then_some(()));
    let line = listed(&target.pid()).expect("it is listed");
    assert_eq!(line["attachable"], false);
    assert!(line["obstacle"].to_string().contains("is stopped"), "{line}");
    target.signal(Signal::CONT);
    target.finish();
}

#[test]
fn a_recorded_process_is_taken() {
    let target = target("echo.py").ready();
    let recording =
        prof(&["attach", &target.pid(), "-q", "-o"]).arg(target.scratch().join("x.prof")).recording();
    let line = listed(&target.pid()).expect("it is listed");
    assert!(line["obstacle"].to_string().contains("prof is in it"), "{line}");
    recording.interrupt();
    assert_eq!(listed(&target.pid()).expect("it is listed")["attachable"], true);
    target.finish();
}

#[test]
fn the_table_has_a_line_each() {
    let target = target("echo.py").ready();
    let out = prof(&["ps"]).run().success().stdout;
    let titles: Vec<&str> = out.lines().next().expect("titles").split_whitespace().collect();
    assert_eq!(titles, ["pid", "user", "python", "resident", "growth", "container", "command"]);
    let pid = target.pid();
    assert_eq!(out.lines().filter(|line| line.split_whitespace().next() == Some(&pid)).count(), 1, "{out}");
    target.finish();
}

#[test]
fn a_name_means_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = uniquely_named(dir.path(), "only");
    let name = script.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let target = target(&script.display().to_string()).ready();
    for which in [["--name", &name], ["--cmdline", &format!("{name}[.]py")]] {
        let rehearsed = prof(&["attach", "--dry-run"]).arg(which[0]).arg(which[1]).run().success();
        assert!(rehearsed.stdout.contains(&format!("process {} can be recorded", target.pid())));
    }
    target.finish();
    prof(&["attach", "--name", &name]).run().refuses(REFUSAL, &["there is no Python process", &name]);
}

#[test]
fn several_are_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = uniquely_named(dir.path(), "two").display().to_string();
    let (one, two) = (target(&script).ready(), target(&script).ready());
    let refused = prof(&["attach", "--cmdline", &script]).run();
    assert_eq!(refused.status.and_then(|status| status.code()), Some(REFUSAL), "{refused}");
    for text in [&one.pid(), &two.pid(), "2 Python processes could be meant", "hint: give the pid"] {
        assert!(refused.stderr.contains(text), "{refused}");
    }
    one.finish();
    two.finish();
}

/// Each into a capture of its own; one that goes wrong keeps no other from being recorded.
#[test]
fn all_of_a_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = uniquely_named(dir.path(), "all").display().to_string();
    let (mut one, two) = (target(&script).ready(), target(&script).ready());
    let recording = prof(&["attach", "--all", "--cmdline", &script]).dir(dir.path()).spawn();
    for target in [&one, &two] {
        let begun = format!("prof: recording pid {} to ", target.pid());
        until("it is recorded", || recording.stderr().contains(&begun).then_some(()));
    }
    one.signal(Signal::KILL);
    one.wait();
    let finished = recording.interrupt();
    for reason in ["prof: ended (target killed)", "prof: ended (interrupted)"] {
        assert!(finished.stderr.contains(reason), "{finished}");
    }
    let files = std::fs::read_dir(dir.path()).expect("the directory is there").flatten();
    let captures: Vec<_> =
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "prof")).collect();
    assert_eq!(captures.len(), 2);
    captures.iter().for_each(|capture| Capture::read(capture).is_complete());
    two.finish();
}

/// One of them is ended from elsewhere; the others go on.
#[test]
fn one_of_all_is_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = uniquely_named(dir.path(), "one").display().to_string();
    let (one, mut two) = (target(&script).ready(), target(&script).ready());
    let mut recording = prof(&["attach", "--all", "--cmdline", &script]).dir(dir.path()).spawn();
    for target in [&one, &two] {
        let begun = format!("prof: recording pid {} to ", target.pid());
        until("it is recorded", || recording.stderr().contains(&begun).then_some(()));
    }
    let detached = prof(&["detach", &one.pid()]).run().success();
    detached.says(&recording.pid().to_string());
    until("its end is told", || recording.stderr().contains("prof: ended (interrupted)").then_some(()));
    prof(&["detach", &one.pid()]).run().success().says("nothing of prof is in process");
    assert!(recording.is_alive() && two.is_alive());
    assert_eq!(recording.stderr().matches("prof: ended").count(), 1);
    let finished = recording.interrupt();
    assert_eq!(finished.stderr.matches("prof: ended (interrupted)").count(), 2, "{finished}");
    one.finish();
    two.finish();
}

/// A page that cannot be written keeps nobody's end from being told.
#[test]
fn pages_of_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = uniquely_named(dir.path(), "pages").display().to_string();
    let targets = [target(&script).ready(), target(&script).ready()];
    let recording =
        prof(&["attach", "--all", "--report", "html", "--cmdline", &script]).dir(dir.path()).spawn();
    let mut pages = Vec::new();
    for target in &targets {
        let begun = format!("prof: recording pid {} to ", target.pid());
        let capture = until("it is recorded", || {
            let said = recording.stderr();
            said.lines().find_map(|line| line.strip_prefix(&begun)).map(str::to_owned)
        });
        let page = format!("{}.flamegraph.html", capture.strip_suffix(".prof").expect("a capture"));
        std::fs::write(dir.path().join(&page), "another's").expect("there is room");
        pages.push(page);
    }
    recording.signal(Signal::INT);
    let finished = recording.wait();
    assert_eq!(finished.status.and_then(|status| status.code()), Some(FAILURE), "{finished}");
    assert_eq!(finished.stderr.matches("prof: ended (interrupted)").count(), 2, "{finished}");
    assert!(pages.iter().all(|page| finished.stderr.contains(&format!("{page} exists"))), "{finished}");
    assert!(finished.stderr.contains("2 of 2 recordings went wrong"), "{finished}");
    targets.into_iter().for_each(Target::finish);
}

/// Without a terminal nobody is asked, and nothing is taken that was not named.
#[test]
fn without_a_pid_the_candidates_are_listed() {
    let target = target("echo.py").ready();
    let refused = prof(&["attach", "--duration", "1"]).run();
    assert_eq!(refused.status.and_then(|status| status.code()), Some(REFUSAL), "{refused}");
    assert!(refused.stderr.contains(&target.pid()), "{refused}");
    assert!(refused.stderr.contains("hint: give the pid"), "{refused}");
    target.finish();
}

#[test]
fn a_pattern_must_be_one() {
    prof(&["attach", "--cmdline", "("]).run().refuses(USAGE, &["regex"]);
    prof(&["attach", "--all"]).run().refuses(USAGE, &["required"]);
    prof(&["attach", "1", "--name", "x"]).run().refuses(USAGE, &["cannot be used with"]);
}

#[test]
fn shells_and_man_are_told() {
    let script = prof(&["completions", "bash"]).run().success().stdout;
    assert!(script.contains("_prof()") && script.contains("--trace-python-allocators"));
    prof(&["completions", "none"]).run().refuses(USAGE, &["none"]);
    let dir = tempfile::tempdir().expect("a directory");
    prof(&["man"]).arg(dir.path().join("man1")).run().success();
    let page = std::fs::read_to_string(dir.path().join("man1/prof-attach.1")).expect("a page");
    assert!(page.contains(".TH") && page.contains("trace"), "{page}");
}
