//! Targets that are at a limit: they are refused, or left as they were, or it works.

use crate::dsl::*;
use std::process::{Child, Command};

/// Room that prof needs in the target, and more.
const ROOM: u64 = 64 << 20;

fn attach(target: &Target) -> Prof {
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), "--force", "-q", "--duration", "200ms", "-o"]).arg(&file)
}

/// It is refused, or fails and says that it is undone; nothing is left either way.
#[track_caller]
fn is_left_alone(target: &mut Target, health: &Health, code: i32, says: &str) {
    attach(target).run().refuses(code, &[says]);
    health.works(target);
    health.is_as_before(target);
}

#[track_caller]
fn succeeds(target: &mut Target, health: &Health) {
    attach(target).recording().wait().success().capture().is_complete();
    health.works(target);
    health.is_as_before(target);
}

python_tests! { two:
    /// It has as many files open as it may: no memfd can be made.
    fn open_files(python) {
        let mut target = workload("no_files").python(python).ready();
        let health = Health::of("no_files", &mut target);
        is_left_alone(&mut target, &health, FAILURE, "undone");
        target.ask("close");
        succeeds(&mut target, &health);
        target.finish();
    }

    /// Its address space may not grow by what prof needs.
    fn address_space(python) {
        let mut target = workload("little_space").arg("4").python(python).ready();
        let health = Health::of("little_space", &mut target);
        is_left_alone(&mut target, &health, REFUSAL, "RLIMIT_AS");
        target.ask("limit 512");
        succeeds(&mut target, &health);
        target.finish();
    }

    /// What it maps is locked (`mlockall(MCL_FUTURE)`), and it may not lock as much as prof
    /// needs, without the capability that lifts the limit.
    fn locked_memory(python) {
        let under = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"];
        let mut target = workload("little_locked").arg("8").under(&under).python(python).ready();
        let health = Health::of("little_locked", &mut target);
        is_left_alone(&mut target, &health, FAILURE, "undone");
        target.finish();
    }

    /// It is frozen: nothing is waited for, nobody is woken, and it works when it thaws.
    fn a_frozen_group(python) {
        let Some(group) = ControlGroup::new("freezer", &format!("frozen-{python}")) else {
            return skip("no control group for a freezer can be made here");
        };
        let mut target = workload("eight_threads").python(python).ready();
        let health = Health::of("eight_threads", &mut target);
        group.take(&target);
        group.freeze(true);
        attach(&target).run().refuses(REFUSAL, &["frozen"]);
        group.freeze(false);
        health.works(&mut target);
        succeeds(&mut target, &health);
        target.finish();
    }

    /// The same in a group of version 2, wherever that is mounted.
    fn a_frozen_group_of_version_2(python) {
        let Some(group) = ControlGroup::unified(&format!("frozen-{python}")) else {
            return skip("no control group of version 2 can be made here");
        };
        let mut target = workload("eight_threads").python(python).ready();
        let health = Health::of("eight_threads", &mut target);
        group.take(&target);
        group.freeze(true);
        attach(&target).run().refuses(REFUSAL, &["frozen"]).hints("cgroup.freeze");
        group.freeze(false);
        health.works(&mut target);
        succeeds(&mut target, &health);
        target.finish();
    }

    /// Its group has memory left, but not much.
    fn a_group_with_some_memory(python) {
        let Some(group) = ControlGroup::new("memory", &format!("some-{python}")) else {
            return skip("no control group for memory can be made here");
        };
        let mut target = workload("little_memory").python(python).ready();
        let health = Health::of("little_memory", &mut target);
        group.take(&target);
        target.ask("fill 16384");
        group.limit_memory(group.memory() + ROOM);
        succeeds(&mut target, &health);
        assert_eq!(group.kills(), 0);
        target.finish();
    }

    /// Its group is full: `prof` must not be what gets it killed.
    fn a_full_group(python) {
        let Some(group) = ControlGroup::new("memory", &format!("full-{python}")) else {
            return skip("no control group for memory can be made here");
        };
        let mut target = workload("little_memory").python(python).ready();
        let health = Health::of("little_memory", &mut target);
        group.take(&target);
        target.ask("fill 16384");
        group.limit_memory(group.memory() + (256 << 10));
        is_left_alone(&mut target, &health, REFUSAL, "control group");
        assert_eq!(group.kills(), 0);
        target.finish();
    }
}

/// Somebody who wants a processor for himself; killed when dropped.
struct Hog(Child);

impl Hog {
    fn new() -> Hog {
        let hog = Command::new("taskset").args(["-c", "0", "sh", "-c", "while :; do :; done"]).spawn();
        Hog(hog.expect("taskset can be started"))
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // It runs for ever.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It seldom has a processor. Stopped at the beginning of each of its turns it would be found
/// with the same signals waiting each time.
#[test]
fn little_of_a_processor() {
    let _hogs = [(); 12].map(|()| Hog::new());
    let mut target = workload("alternate_stack").under(&["taskset", "-c", "0"]).ready();
    let health = Health::of("alternate_stack", &mut target);
    // What its handlers allocate in the middle of malloc is lost, and counted.
    let stats = attach(&target).recording().wait().success().capture().stats;
    assert_eq!(stats["lost_events"], stats["losses"]["nested"], "{stats:#}");
    health.works(&mut target);
    health.is_as_before(&target);
    target.finish();
}
