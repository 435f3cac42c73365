//! Fail points: after every step that changes the target, `prof` dies or fails
//! there. The target runs on, and after a failure it is byte for byte as before.
//!
//! Needs a `prof` with the feature `failpoints`, as `scripts/test` builds it.

use crate::dsl::*;

/// More fail points than there are.
const MANY: usize = 1000;

/// An attach that does `action` at the n-th fail point that it passes.
fn attach(target: &Target, number: usize, action: &str) -> Finished {
    let file = target.scratch().join("capture.prof");
    let args = ["attach", &target.pid(), "--force", "-q", "--duration", "50ms", "-o"];
    prof(&args).arg(&file).env("PROF_FAIL_AT", &format!("{number}:{action}")).run()
}

/// Attaches again and again, one fail point further each time, until an attach
/// passes them all. `check` looks at the others.
fn at_every_point(target: &mut Target, action: &str, mut check: impl FnMut(&mut Target, usize, Finished)) {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    for number in 1..MANY {
        let finished = attach(target, number, action);
        if finished.status.is_some_and(|status| status.success()) {
            assert!(number > 10, "only {number} fail points were passed");
            return;
        }
        assert!(target.is_alive(), "the target died of fail point {number}\n{finished}");
        check(target, number, finished);
    }
    panic!("an attach passes more than {MANY} fail points");
}

/// Killed at a point, then attached again over what that left.
#[test]
fn killed_everywhere() {
    let mut target = target("load.py").arg("3").ready();
    let before = Snapshot::of(&target);
    at_every_point(&mut target, "kill", |target, number, finished| {
        assert_eq!(finished.status.and_then(|status| status.code()), None, "point {number}\n{finished}");
        target.ask("rounds");
    });
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
}

/// Killed at a point; `prof detach` cleans up what that left.
#[test]
fn killed_everywhere_and_cleaned_up() {
    let mut target = target("sequences.py").ready();
    target.ask("functions");
    let before = Snapshot::of(&target);
    at_every_point(&mut target, "kill", |target, number, _| {
        let finished = prof(&["detach", &target.pid()]).run();
        assert!(finished.status.is_some_and(|status| status.success()), "point {number}\n{finished}");
        before.same_as(&Snapshot::of(target));
    });
    target.finish();
}

/// A failure at a point undoes all before it, and says so in one line.
#[test]
fn failed_everywhere() {
    let mut target = target("sequences.py").ready();
    target.ask("functions");
    let before = Snapshot::of(&target);
    at_every_point(&mut target, "error", |target, _, finished| {
        finished.refuses(FAILURE, &[&target.pid()]);
        before.same_as(&Snapshot::of(target));
    });
    target.finish();
}
