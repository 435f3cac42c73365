//! How long threads of the target are stopped: by the clock of `prof`, and, as a second
//! witness, by a thread of the target that wakes up every millisecond.
//!
//! Says little on a busy machine: `scripts/test` runs these with no other test beside them.
//! 25 attaches by default; `PROF_TEST_STALLS` says another number, and then the promise is
//! asked for.

use crate::dsl::*;
use crate::matrix::note;
use std::time::Duration;

/// The heartbeat alone is watched for as long as an attach and a detach take together.
const WINDOW: Duration = Duration::from_millis(200);

/// Microseconds, in ascending order.
struct Spread(Vec<u64>);

impl Spread {
    fn of(mut values: Vec<u64>) -> Spread {
        values.sort_unstable();
        Spread(values)
    }

    fn at(&self, percent: usize) -> u64 {
        self.0[(self.0.len() * percent).div_ceil(100).max(1) - 1]
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median {} p99 {} max {}", self.at(50), self.at(99), self.at(100))
    }
}

#[track_caller]
fn stalls(name: &str) {
    let asked = std::env::var("PROF_TEST_STALLS").ok().and_then(|count| count.parse().ok());
    let rounds = asked.unwrap_or(25);
    let mut target = workload(name).ready();
    let health = Health::of(name, &mut target);
    let gap = |target: &mut Target| -> u64 { target.ask("gap").parse().expect("a number") };
    let (mut stops, mut alone, mut recorded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        gap(&mut target);
        let nothing: Option<()> = within(WINDOW, || None);
        assert!(nothing.is_none());
        alone.push(gap(&mut target));
        let file = target.scratch().join("capture.prof");
        prof(&["attach", &target.pid(), "--force", "-q", "-o"]).arg(&file).recording().interrupt();
        recorded.push(gap(&mut target));
        let stats = prof(&["stats", "--json"]).arg(&file).run().success().stdout;
        let stats: serde_json::Value = serde_json::from_str(&stats).expect("one JSON object");
        stops.push(stats["longest_pause_us"].as_u64().expect("a number"));
    }
    health.works(&mut target);
    target.finish();
    let stops = Spread::of(stops);
    let (alone, recorded) = (Spread::of(alone), Spread::of(recorded));
    let load = std::fs::read_to_string("/proc/loadavg").expect("the load");
    note(&format!(
        "# stalls {name}: {rounds} attaches, µs: longest stop {stops}; longest gap of the heartbeat alone \
         {alone}, with attach and detach {recorded}; load {}",
        load.trim()
    ));
    println!("{name}: stop {stops}; gap {alone}, then {recorded}");
    assert!(stops.at(50) <= 1000, "{stops}");
    if asked.is_some() {
        assert!(stops.at(99) <= 1000 && stops.at(100) <= 5000, "{stops}");
    }
}

#[test]
fn eight_busy_threads() {
    stalls("eight_threads");
}

#[test]
fn five_hundred_threads() {
    stalls("idle_threads");
}
