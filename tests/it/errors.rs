//! What cannot be done is refused before the target is touched: one line of what
//! is wrong, one line of what to do if anything, and a documented exit status.

use crate::dsl::*;
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Another program than Python; killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Sleeper {
        let command = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn();
        Sleeper(command.expect("sleep can be started"))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended; then both fail, and that is what was wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn attach(pid: &str) -> Finished {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let finished = prof(&["attach", pid, "--duration", "1"]).dir(scratch.path()).run();
    let left = std::fs::read_dir(scratch.path()).expect("the directory is there").count();
    assert_eq!(left, 0, "a refused recording leaves no file\n{finished}");
    finished
}

#[test]
fn no_such_process() {
    let mut child = Command::new("true").spawn().expect("true can be started");
    child.wait().expect("a child can be waited for");
    let pid = child.id().to_string();
    attach(&pid).refuses(REFUSAL, &[&pid]).hints("pid");
}

#[test]
fn not_python() {
    let sleeper = Sleeper::new();
    let pid = sleeper.0.id().to_string();
    attach(&pid).refuses(REFUSAL, &[&pid, "Python"]).hints("pid");
}

#[test]
fn zombie() {
    let mut child = Command::new("true").spawn().expect("true can be started");
    let stat = format!("/proc/{}/stat", child.id());
    until("it is a zombie", || std::fs::read_to_string(&stat).ok()?.contains(") Z ").then_some(()));
    let pid = child.id().to_string();
    attach(&pid).refuses(REFUSAL, &[&pid]);
    child.wait().expect("a child can be waited for");
}

#[test]
fn stopped() {
    let target = target("echo.py").ready();
    target.signal(Signal::STOP);
    until("it is stopped", || {
        std::fs::read_to_string(target.proc_dir().join("stat")).ok()?.contains(") T ").then_some(())
    });
    attach(&target.pid()).refuses(REFUSAL, &[&target.pid(), "stopped"]).hints("CONT");
    let file = target.scratch().join("capture.prof");
    let mut waiting = prof(&["attach", &target.pid(), "--wait", "-o"]).arg(&file).spawn();
    let looks = || std::fs::read_to_string(format!("/proc/{}/wchan", waiting.pid())).ok();
    until("prof waits", || looks().filter(|place| place.contains("nanosleep")).map(drop));
    assert!(!file.exists(), "nothing was begun");
    target.signal(Signal::CONT);
    waiting.started();
    waiting.interrupt();
    target.finish();
}

/// `--dry-run` says what would be done and does nothing.
#[test]
fn rehearsed() {
    let target = target("echo.py").ready();
    let before = Snapshot::of(&target);
    let told = prof(&["attach", "--dry-run", "--trace-python-allocators", &target.pid()]).run().success();
    for word in ["malloc ", "PyObject_Free ", "one byte", "pointer", "1 thread\n", "nothing was touched"] {
        assert!(told.stdout.contains(word), "{word:?} is missing\n{told}");
    }
    before.same_as(&Snapshot::of(&target));
    target.finish();
}

#[test]
fn traced_by_another() {
    let traced = target("echo.py").ready();
    let before = Snapshot::of(&traced);
    let tracer = target("tracer.py").arg(&traced.pid()).ready();
    attach(&traced.pid()).refuses(REFUSAL, &[&traced.pid(), &tracer.pid()]).hints("tracer");
    tracer.finish();
    before.same_as(&Snapshot::of(&traced));
    traced.finish();
}

/// Who may not trace is told which rule forbids it, and what to do.
#[test]
fn missing_rights() {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let no_ptrace = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    if !Command::new(nobody[0]).args(&nobody[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        return skip("no right to run as another user");
    }
    let everybody = ["env"];
    for (owner, hidden, under, says, hint) in [
        (&everybody[..], false, &nobody[..], "uid 0", "sudo"),
        (&nobody, true, &nobody, "not dumpable", "docker run --cap-add=SYS_PTRACE"),
        (&nobody, false, &no_ptrace, "CAP_SYS_PTRACE", "kubectl debug --profile"),
        (&everybody, false, &no_ptrace, "CAP_SYS_PTRACE", "docker run --cap-add=SYS_PTRACE"),
    ] {
        let mut target = target("load.py").arg("1").python("system").under(owner).ready();
        if hidden {
            target.ask("hide");
        }
        let before = Snapshot::of(&target);
        let scratch = shared_dir();
        let attach = prof(&["attach", &target.pid()]).dir(scratch.path()).under(under);
        attach.run().refuses(REFUSAL, &[&target.pid(), says]).hints(hint);
        before.same_text_as(&Snapshot::of(&target));
        target.finish();
    }
}

/// To be hidden from others (PR_SET_DUMPABLE 0) does not matter to root.
#[test]
fn hidden_from_others() {
    let mut target = target("load.py").arg("1").ready();
    target.ask("hide");
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file).recording();
    target.ask("rounds");
    assert!(!recording.interrupt().capture().events.is_empty());
    target.finish();
}

#[test]
fn existing_file() {
    let target = target("echo.py").ready();
    let before = Snapshot::of(&target);
    let file = target.scratch().join("capture.prof");
    std::fs::write(&file, "precious").expect("the file can be written");
    let refused = prof(&["attach", &target.pid(), "-o"]).arg(&file).run();
    refused.refuses(REFUSAL, &["capture.prof", "exists"]).hints("--force");
    assert_eq!(std::fs::read(&file).expect("the file is there"), b"precious");
    before.same_as(&Snapshot::of(&target));
    target.finish();
}

/// Whatever somebody put where the capture shall be: it is never written to, nor through.
#[test]
fn planted_file() {
    let target = target("echo.py").ready();
    let dir = target.scratch();
    let (file, victim) = (dir.join("capture.prof"), dir.join("victim"));
    let make = |command: &[&str]| {
        let status = Command::new(command[0]).args(&command[1..]).arg(&file).status();
        assert!(status.expect("a command of every system").success());
    };
    let path = victim.display().to_string();
    for (planted, is_replaced) in [
        (&["ln", "-s", &path][..], true),
        (&["ln", "-s", "/nowhere/at/all"], true),
        (&["ln", "-s", "/dev/null"], false),
        (&["ln", &path], true),
        (&["mkfifo"], false),
        (&["mkdir"], false),
    ] {
        std::fs::write(&victim, "precious").expect("the file can be written");
        make(planted);
        let attach = |args: &[&str]| {
            prof(&[&["attach", &target.pid(), "-q", "--duration", "0.1"], args, &["-o"]].concat())
                .arg(&file)
                .run()
        };
        attach(&[]).refuses(REFUSAL, &["capture.prof", "exists"]).hints("-o");
        match is_replaced {
            true => {
                attach(&["--force"]).success();
                let found = std::fs::symlink_metadata(&file).expect("the capture is there");
                assert!(
                    found.is_file() && found.mode() & 0o777 == 0o600 && found.nlink() == 1,
                    "{planted:?}"
                );
            }
            false => drop(attach(&["--force"]).refuses(REFUSAL, &["not a regular file"]).hints("-o")),
        }
        assert_eq!(std::fs::read(&victim).expect("it is there"), b"precious", "{planted:?}");
        make(&["rm", "-r"]);
    }
    target.finish();
}

/// Nobody else may read a capture, whatever the umask lets through; and a file of somebody
/// else's gives way with `--force` only, and is not written into.
#[test]
fn private_file() {
    let target = target("echo.py").ready();
    let file = target.scratch().join("capture.prof");
    std::fs::write(&file, "of another").expect("the file can be written");
    if std::os::unix::fs::chown(&file, Some(65534), None).is_err() {
        return skip("files cannot be given away here");
    }
    let open = std::fs::File::open(&file).expect("it can be read");
    let attach = format!("umask 0; exec \"$0\" attach {} -q --duration 0.1 --force -o \"$1\"", target.pid());
    let status =
        Command::new("sh").args(["-c", &attach]).arg(binary()).arg(&file).stderr(Stdio::null()).status();
    assert!(status.expect("there is a shell").success());
    let found = std::fs::metadata(&file).expect("the capture is there");
    assert_eq!((found.mode() & 0o777, found.uid()), (0o600, rustix::process::geteuid().as_raw()));
    assert_eq!(std::io::read_to_string(open).expect("it is open"), "of another");
    target.finish();
}

#[test]
fn file_in_no_directory() {
    let target = target("echo.py").ready();
    let before = Snapshot::of(&target);
    let file = target.scratch().join("nowhere/capture.prof");
    prof(&["attach", &target.pid(), "-o"]).arg(&file).run().refuses(REFUSAL, &["capture.prof"]).hints("-o");
    before.same_as(&Snapshot::of(&target));
    target.finish();
}

#[test]
fn arguments_without_sense() {
    for (args, word) in [
        (&["attach", "1", "--duration", "soon"][..], "soon"),
        (&["attach", "1", "--duration", "0"], "0"),
        (&["attach", "1", "--ring-size", "big"], "big"),
        (&["attach", "1", "--ring-size", "1KiB"], "1KiB"),
        (&["attach", "me"], "me"),
        (&["attach", "0"], "0"),
        (&["attach", "-1"], "-1"),
        (&["detach", "99999999999"], "99999999999"),
        (&["frobnicate"], "frobnicate"),
    ] {
        prof(args).run().refuses(USAGE, &[word]).hints("--help");
    }
}

#[test]
fn captures_that_are_none() {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let missing = scratch.path().join("missing.prof");
    let empty = scratch.path().join("empty.prof");
    std::fs::write(&empty, "").expect("the file can be written");
    let python = Path::new("/bin/sh");
    let fifo = scratch.path().join("fifo.prof");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("a command of every system").success());
    for file in [&missing, &empty, python, scratch.path(), &fifo, Path::new("/dev/zero")] {
        let name = file.file_name().expect("a name").to_string_lossy();
        for command in ["stats", "parse"] {
            prof(&[command]).arg(file).run().refuses(FAILURE, &[&name]);
        }
    }
}

/// Help goes to stdout and ends with examples.
#[test]
fn help() {
    for args in [
        &["--help"][..],
        &["attach", "--help"],
        &["detach", "--help"],
        &["stats", "--help"],
        &["parse", "--help"],
    ] {
        let output = prof(args).run().success();
        assert!(output.stdout.to_lowercase().contains("example"), "{output}");
        assert_eq!(output.stderr, "");
    }
}

/// Whose frames are whose cannot be told from outside.
#[test]
fn two_interpreters() {
    let (first, second) = ("3.12", "3.11");
    let [Some(library), Some(other)] = [first, second].map(shared_library) else {
        return skip("two shared libraries of Python are needed");
    };
    let embed = embedding_program().display().to_string();
    let embedding = || {
        let target = target("load.py").arg("1").python(first).under(&[&embed]);
        let target = target.env("PROF_TEST_LIBRARY", &library.display().to_string());
        target.env("PROF_TEST_SECOND", &other.display().to_string())
    };
    let home = home(second).display().to_string();
    let target = embedding().env("PROF_TEST_SECOND_HOME", &home).ready();
    let before = Snapshot::of(&target);
    attach(&target.pid()).refuses(REFUSAL, &[&target.pid(), "libpython3.11", "libpython3.12"]);
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
    // One that is only loaded is no interpreter yet.
    let target = embedding().ready();
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file).recording().interrupt();
    target.finish();
}
