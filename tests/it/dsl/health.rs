//! Whether a workload is as well as before.

use super::target::Preparation;
use super::{Snapshot, Target, classes_library, target, until, within};
use std::time::{Duration, Instant};

/// Workloads that do nothing but allocate or wait: their files and libraries stay.
const CALM: [&str; 8] = [
    "malloc_loop",
    "eight_threads",
    "signal_storm",
    "signal_jumps",
    "registers",
    "blocked",
    "idle_threads",
    "event_loop",
];
/// Those whose signal handlers allocate.
const SIGNALS: [&str; 3] = ["signal_storm", "signal_jumps", "alternate_stack"];
/// How soon after the attacher's death the target runs at its old speed.
const RECOVERY: Duration = Duration::from_millis(50);
/// The price of a look at it, and of a few more where somebody else disturbed the first.
const MEASUREMENT: Duration = Duration::from_millis(200);

/// Prepares a workload (`tests/programs/workload.py`).
pub fn workload(name: &str) -> Preparation {
    let target = target("workload.py").arg(name);
    match SIGNALS.contains(&name) {
        true => target.env("LD_PRELOAD", &classes_library().display().to_string()),
        false => target,
    }
}

/// How a workload was before.
pub struct Health {
    name: String,
    snapshot: Snapshot,
    /// Picoseconds for an allocation and its free.
    price: u64,
}

impl Health {
    /// Looks at a workload that has been left alone so far.
    #[track_caller]
    pub fn of(name: &str, target: &mut Target) -> Health {
        // A busy machine may disturb one look.
        let price = (0..3).map(|_| price(target)).min().expect("three looks");
        let mut snapshot = Snapshot::of(target);
        // It loads and unloads these.
        snapshot.text.retain(|line, _| !line.contains("/library"));
        Health { name: name.to_owned(), snapshot, price }
    }

    /// Panics unless it is alive and comes further.
    #[track_caller]
    pub fn goes_on(&self, target: &mut Target) {
        assert!(target.is_alive(), "{} died", self.name);
        let before = rounds(target);
        until("it works", || (rounds(target) > before).then_some(()));
    }

    /// Panics unless it goes on and is neither stopped nor traced.
    #[track_caller]
    pub fn works(&self, target: &mut Target) {
        self.goes_on(target);
        for (tid, state, tracer) in target.states() {
            assert!(
                !matches!(state, 't' | 'T') && tracer == 0,
                "{} {tid}: {state}, tracer {tracer}",
                self.name
            );
        }
    }

    /// Panics unless nothing of ours is in it, and its code, signals, files and mappings
    /// are as before, as far as it does not change them itself.
    #[track_caller]
    pub fn is_as_before(&self, target: &Target) {
        let after = Snapshot::of(target);
        match CALM.contains(&self.name.as_str()) {
            true => self.snapshot.same_but_for_heap(&after),
            false => self.snapshot.same_text_as(&after),
        }
        let ours =
            after.maps.iter().filter(|line| line.contains("/memfd:prof") || line.contains("50520000-"));
        let ours: Vec<_> =
            ours.chain(after.fds.values().filter(|file| file.contains("memfd:prof"))).collect();
        assert!(ours.is_empty(), "{}: {ours:?}", self.name);
        // A thread that starts another one, or a process, blocks signals for a moment.
        until("the signals of each thread are as before", || {
            let after = Snapshot::of(target);
            let both =
                self.snapshot.threads.iter().filter_map(|(tid, old)| Some((old, after.threads.get(tid)?)));
            both.into_iter().all(|(old, new)| old == new).then_some(())
        });
    }

    /// Panics unless an allocation costs what it did before, nearly: detours may be there
    /// still, and lead to hooks that pass through. To be asked at once when the attacher
    /// has died.
    #[track_caller]
    pub fn is_fast(&self, target: &mut Target) {
        let start = Instant::now();
        let limit = 2 * self.price + 20_000;
        let mut seen = Vec::new();
        let is_fast = within(RECOVERY + MEASUREMENT, || {
            seen.push(price(target));
            seen.last().is_some_and(|&price| price < limit).then_some(())
        });
        let took = start.elapsed();
        assert!(is_fast.is_some(), "{}: {} ps, then {seen:?} ps for {took:?}", self.name, self.price);
    }
}

#[track_caller]
fn rounds(target: &mut Target) -> u64 {
    target.ask("rounds").parse().expect("a number")
}

#[track_caller]
fn price(target: &mut Target) -> u64 {
    target.ask("rate").parse().expect("a number")
}
