//! A process that does nothing is entered at once, does not notice, and is
//! recorded from its first allocation on.

use crate::dsl::*;
use rustix::process::Signal;
use std::net::TcpStream;

/// Attaches to a target that idles in `way` and leaves it; then once more, and now
/// wakes it: had the first round woken it, its allocation would be missing.
fn check(python: &str, way: &str, wake: impl Fn(&mut Target, &str)) {
    let mut target = target("idle.py").arg(way).python(python).ready();
    target.expect("idling");
    let port = if way == "accept" { target.expect("port") } else { String::new() };
    until("it idles", || idles(&target, way).then_some(()));
    let file = target.scratch().join("first.prof");
    prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().interrupt();

    let file = target.scratch().join("second.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    wake(&mut target, &port);
    target.expect("woken");
    target.expect("did allocate");
    let capture = recording.interrupt().capture();
    capture.is_complete();
    let leaf = &capture.one(40001).stack[0];
    assert_eq!((leaf.0.as_str(), leaf.2), ("<module>", Source::read("idle.py").line("40001")));
    target.finish();
}

/// Whether its main thread waits, or, if it spins, runs.
fn idles(target: &Target, way: &str) -> bool {
    let stat = std::fs::read_to_string(target.proc_dir().join("stat")).expect("the target runs");
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    state == Some(if way == "spinning" { 'R' } else { 'S' })
}

fn connect(_: &mut Target, port: &str) {
    let address = format!("127.0.0.1:{port}");
    TcpStream::connect(address).expect("it listens");
}

fn by_signal(target: &mut Target, _: &str) {
    target.signal(Signal::USR1);
}

fn by_input(target: &mut Target, _: &str) {
    target.tell("wake");
}

python_tests! { named:
    fn in_accept(python) {
        check(python, "accept", connect);
    }

    fn in_sleep(python) {
        check(python, "sleep", by_signal);
    }

    fn in_pause(python) {
        check(python, "pause", by_signal);
    }

    fn in_select(python) {
        check(python, "select", by_signal);
    }

    /// A C call that blocks and holds the GIL.
    fn in_c_with_the_gil(python) {
        check(python, "blocked", by_input);
    }

    /// A C call that computes and holds the GIL.
    fn in_busy_c_with_the_gil(python) {
        check(python, "spinning", by_input);
    }
}
