//! The attacher may die at any instruction: the target runs on, unharmed, at its
//! old speed, and the next attach works.

use crate::dsl::*;
use std::time::Duration;

const ROUNDS: usize = 50;

/// A moment in the life of an attach, seen from outside.
type Moment = fn(&Target, &mut Recording) -> bool;

/// The moments at which the attacher is killed, in turn. A moment that passed
/// unseen is no failure: then the kill comes a little later.
const MOMENTS: [(&str, Moment); 6] = [
    ("at once", |_, _| true),
    ("a thread is seized", |target, _| status(target, "TracerPid:").is_some_and(|tracer| tracer != "0")),
    ("the region is there", |target, _| maps(target).contains("50520000-")),
    ("the payload or the ring is there", |target, _| maps(target).contains("/memfd:")),
    ("it records", |_, recording| {
        recording.started();
        true
    }),
    ("it writes", |_, recording| {
        let file = recording.started();
        file.metadata().is_ok_and(|data| data.len() > 100_000)
    }),
];

#[test]
fn fifty_times_over() {
    let mut target = target("load.py").arg("4").ready();
    let before = Snapshot::of(&target);
    let normal: u64 = target.ask("rate").parse().expect("a rate");
    for round in 0..ROUNDS {
        let (moment, has_come) = MOMENTS[round % MOMENTS.len()];
        let file = target.scratch().join(format!("{round}.prof"));
        let mut recording = prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file).spawn();
        within(Duration::from_secs(5), || has_come(&target, &mut recording).then_some(()));
        recording.kill();
        assert!(target.is_alive(), "round {round}, killed when {moment}: the target died");
        target.ask("rounds");
    }
    prof(&["detach", &target.pid()]).run().success();
    before.same_text_as(&Snapshot::of(&target));

    let limit = 2 * normal + 200;
    until("its speed returns to normal", || {
        let rate: u64 = target.ask("rate").parse().expect("a rate");
        (rate < limit).then_some(())
    });
    let last = target.scratch().join("last.prof");
    let capture = prof(&["attach", &target.pid(), "-o"]).arg(&last).recording().interrupt().capture();
    capture.is_complete();
    target.finish();
}

/// What the killed attacher wrote opens.
#[test]
fn the_capture_opens() {
    let mut target = target("load.py").arg("2").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    until("something is written", || {
        target.ask("rounds");
        file.metadata().is_ok_and(|data| data.len() > 100_000).then_some(())
    });
    recording.kill();
    let capture = Capture::read(&file);
    assert!(capture.events.len() > 1000);
    prof(&["detach", &target.pid()]).run().success();
    target.finish();
}

/// Hooks notice the death by themselves: nobody has to detach.
#[test]
fn hooks_pass_through() {
    let mut target = target("load.py").arg("2").ready();
    let normal: u64 = target.ask("rate").parse().expect("a rate");
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().kill();
    until("its speed returns to normal", || {
        let rate: u64 = target.ask("rate").parse().expect("a rate");
        (rate < 2 * normal + 200).then_some(())
    });
    target.finish();
}

fn maps(target: &Target) -> String {
    std::fs::read_to_string(target.proc_dir().join("maps")).unwrap_or_default()
}

fn status(target: &Target, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(target.proc_dir().join("status")).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix(field))?.trim().to_owned())
}
