//! `prof run`: recorded from the first import on, and otherwise as if it had been started
//! without us.

use crate::dsl::*;
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

/// The sizes that `started.py allocate` keeps.
const SIZES: std::ops::Range<u64> = 1_000_003..1_000_053;

fn started() -> String {
    program("started.py").display().to_string()
}

fn begin(dir: &Path, options: &[&str], command: &[&str]) -> Prof {
    let file = dir.join("capture.prof").display().to_string();
    prof(&[&["run", "-o", &file], options, &["--"], command].concat()).dir(dir)
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

python_tests! { all:
    /// Streams and the exit code are the program's; each allocation is there, from the
    /// first import on.
    fn from_the_first_import(python) {
        let dir = scratch();
        let python = interpreter(python).display().to_string();
        for mode in [&[][..], &["--trace-python-allocators"]] {
            let options = [&["--force"], mode].concat();
            let mut running = begin(dir.path(), &options, &[&python, &started(), "allocate", "a b"]).spawn();
            running.started();
            let finished = running.wait();
            assert_eq!(finished.status.and_then(|status| status.code()), Some(7), "{finished}");
            assert_eq!(finished.stdout, "allocated 50  a b", "{finished}");
            let finished = finished.says("to stderr").says("ended (target exited)");
            let capture = finished.capture();
            capture.is_complete();
            for size in SIZES {
                let stack = &capture.one(size).stack;
                let names: Vec<_> = stack.iter().map(|frame| frame.0.as_str()).collect();
                assert_eq!(names, ["allocate", "main", "<module>"]);
            }
            let imports = |event: &&Event| event.stack.iter().any(|frame| frame.0 == "_find_and_load");
            let first = capture.events.iter().find(imports).expect("imports are recorded");
            assert!(!first.stack.iter().any(|frame| frame.1.ends_with("started.py")), "{first:?}");
        }
    }

    /// Nothing of ours is open in the program.
    fn descriptors(python) {
        let dir = scratch();
        let python = interpreter(python).display().to_string();
        let command = [&python, &started(), "descriptors"];
        let alone = Command::new(command[0]).args(&command[1..]).stdin(std::process::Stdio::null()).output();
        let alone = String::from_utf8(alone.expect("it runs").stdout).expect("numbers");
        assert_eq!(begin(dir.path(), &["-q"], &command).run().success().stdout, alone.trim_end());
    }
}

/// What is no program's name is for `python3`.
#[test]
fn python_is_found() {
    let dir = scratch();
    let file = dir.path().join("capture.prof").display().to_string();
    for command in [&["-c", "print(6 * 7)"][..], &["-m", "this"]] {
        let finished = prof(&[&["run", "-f", "-q", "-o", &file], command].concat()).run().success();
        assert!(finished.stdout.contains(["42", "Zen"][usize::from(command[0] == "-m")]), "{finished}");
        assert_eq!(finished.stderr, "");
    }
}

/// A shell that executes Python is gone along with.
#[test]
fn through_a_shell() {
    let dir = scratch();
    let python = interpreter("3.12").display().to_string();
    let script = format!("/bin/true; echo before; exec {python} {} allocate", started());
    let mut running = begin(dir.path(), &[], &["/bin/sh", "-c", &script]).spawn();
    running.started();
    let finished = running.wait();
    assert_eq!(finished.stdout, "before\nallocated 50 ", "{finished}");
    assert_eq!(finished.status.and_then(|status| status.code()), Some(7), "{finished}");
    finished.capture().one(SIZES.start);
}

/// A signal for `prof run` is the program's, and the capture is whole.
#[test]
fn signals_are_passed_on() {
    let python = interpreter("3.12").display().to_string();
    for (number, name) in [(Signal::TERM, "15"), (Signal::USR1, "10"), (Signal::INT, "2"), (Signal::HUP, "1")]
    {
        let dir = scratch();
        let mut running = begin(dir.path(), &[], &[&python, &started(), "signals"]).recording();
        running.said("waiting");
        running.signal(number);
        let finished = running.wait();
        assert_eq!(finished.stdout, format!("waiting\ngot {name}"), "{finished}");
        assert_eq!(finished.status.and_then(|status| status.code()), Some(5), "{finished}");
        finished.capture().is_complete();
    }
}

#[test]
fn a_program_that_is_killed() {
    let dir = scratch();
    let python = interpreter("3.12").display().to_string();
    let mut running = begin(dir.path(), &[], &[&python, &started(), "die"]).spawn();
    running.started();
    let finished = running.wait();
    assert_eq!(finished.status.and_then(|status| status.code()), Some(137), "{finished}");
    finished.says("ended (target killed)").capture().is_complete();
}

/// A recording that ends leaves the program alone.
#[test]
fn a_duration() {
    let dir = scratch();
    let python = interpreter("3.12").display().to_string();
    let mut running =
        begin(dir.path(), &["--duration", "100ms"], &[&python, &started(), "signals"]).recording();
    running.said("waiting");
    until("the recording ends", || running.stderr().contains("ended (duration)").then_some(()));
    running.signal(Signal::TERM);
    let finished = running.wait();
    assert_eq!(finished.status.and_then(|status| status.code()), Some(5), "{finished}");
}

#[test]
fn what_is_no_python() {
    let dir = scratch();
    begin(dir.path(), &[], &["/nonexistent/python3"])
        .run()
        .refuses(REFUSAL, &["cannot be started", "No such file"]);
    let ended = begin(dir.path(), &[], &["/bin/sh", "-c", "exit 9"]).run();
    assert_eq!(ended.status.and_then(|status| status.code()), Some(9), "{ended}");
    ended.says("nothing was recorded");
    assert!(!dir.path().join("capture.prof").exists());
}

/// A capture that cannot be written: the program has not begun.
#[test]
fn a_file_that_is_there() {
    let dir = scratch();
    let (file, written) = (dir.path().join("capture.prof"), dir.path().join("written"));
    std::fs::write(&file, "precious").expect("it can be written");
    let python = interpreter("3.12").display().to_string();
    let written = written.display().to_string();
    let finished = begin(dir.path(), &[], &[&python, &started(), "write", &written]).run();
    finished.refuses(REFUSAL, &["exists"]);
    assert!(!Path::new(&written).exists(), "the program ran");
}

/// Killed after each step, from before the program's first code on: it runs to its end.
#[test]
fn killed_everywhere() {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    let python = interpreter("3.12").display().to_string();
    let mut points = 0;
    for number in 1.. {
        let dir = scratch();
        let written = dir.path().join("written");
        let command = [&python, &started(), "write", &written.display().to_string()];
        let finished =
            begin(dir.path(), &["-q"], &command).env("PROF_FAIL_AT", &format!("{number}:kill")).run();
        let was_killed = finished.status.is_some_and(|status| status.code().is_none());
        let text = until("the program ends", || {
            std::fs::read_to_string(&written).ok().filter(|text| !text.is_empty())
        });
        assert!(text.starts_with("50 "), "{text}");
        if !was_killed {
            finished.success();
            break;
        }
        points = number;
    }
    assert!(points > 10, "only {points} fail points were passed");
}
