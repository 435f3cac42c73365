//! Fail points × the six core workloads × two versions: whatever happens to the attacher
//! after whichever step, the target works on at its old speed, nothing is left that
//! cannot be removed, and it can be attached to again.
//!
//! Needs a `prof` with the feature `failpoints`. A sample by default; `scripts/torture`
//! goes through all and prints a table. It says how by variables:
//!
//! ```text
//! PROF_TORTURE=TABLE       all fail points; a line for each run is added to this file
//! PROF_TORTURE_UNTIL=TIME  begin no further round after this time (seconds since 1970)
//! ```

use crate::dsl::*;
use rustix::process::Signal;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// More fail points than there are.
const MANY: usize = 5000;
/// How far the fail points of a sample are apart.
const STRIDE: usize = 23;
/// The same for stops, which take their time.
const STOP_STRIDE: usize = 67;
/// How long the attacher is stopped.
const STOP: Duration = Duration::from_secs(2);
/// How long a thread may stay held once the attacher is stopped.
const RELEASE: Duration = Duration::from_secs(1);
/// Its stop, once a phase, when all fail points are gone through.
const LONG_STOP: Duration = Duration::from_secs(30);

/// What happens to the attacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Error,
    Stop,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Error => "error",
            Fault::Stop => "stop",
        }
    }
}

/// A workload, and what befell it.
struct Bench {
    name: &'static str,
    python: String,
    target: Target,
    health: Health,
    /// The last fail point at which an attacher was killed.
    last: usize,
}

impl Bench {
    #[track_caller]
    fn new(name: &'static str, python: &str) -> Bench {
        let mut target = workload(name).python(python).ready();
        let health = Health::of(name, &mut target);
        Bench { name, python: python.to_owned(), target, health, last: 0 }
    }

    fn file(&self) -> PathBuf {
        self.target.scratch().join("capture.prof")
    }

    #[track_caller]
    fn attach(&self, place: &str, fault: Fault) -> Recording {
        let pid = self.target.pid();
        let args = ["attach", &pid, "--force", "-q", "--duration", "30ms", "-o"];
        prof(&args).arg(self.file()).env("PROF_FAIL_AT", &format!("{place}:{}", fault.word())).spawn()
    }

    /// One round; whether the attach came as far as `place`.
    #[track_caller]
    fn meets(&mut self, place: &str, fault: Fault, stop: Duration) -> bool {
        // Not that of the round before.
        let _ = std::fs::remove_file(self.file());
        let attacher = self.attach(place, fault);
        let was_met = match fault {
            Fault::Kill => self.outlives(attacher),
            Fault::Error => self.sees_undone(attacher),
            Fault::Stop => self.outwaits(attacher, stop),
        };
        self.health.works(&mut self.target);
        self.health.is_as_before(&self.target);
        was_met
    }

    #[track_caller]
    fn outlives(&mut self, attacher: Recording) -> bool {
        let finished = attacher.wait();
        let was_killed = finished.status.is_some_and(|status| status.code().is_none());
        if !was_killed {
            finished.success();
            return false;
        }
        self.health.is_fast(&mut self.target);
        self.health.works(&mut self.target);
        self.opens();
        // The next one cleans up, whichever it is.
        let pid = self.target.pid();
        let next = self.target.scratch().join("next.prof");
        prof(&["detach", &pid]).run().success();
        self.health.is_as_before(&self.target);
        prof(&["attach", &pid, "--force", "-q", "--duration", "30ms", "-o"]).arg(next).run().success();
        true
    }

    #[track_caller]
    fn sees_undone(&mut self, attacher: Recording) -> bool {
        let finished = attacher.wait();
        let is_well = finished.status.is_some_and(|status| status.success());
        let pid = self.target.pid();
        if finished.stderr.contains("not everything could be removed") {
            finished.hints("prof detach");
            prof(&["detach", &pid]).run().success();
        } else if !is_well {
            finished.refuses(FAILURE, &[&pid, "undone"]);
        }
        true
    }

    #[track_caller]
    fn outwaits(&mut self, mut attacher: Recording, stop: Duration) -> bool {
        // One that holds a thread is made to go on, and may end by itself.
        until("the attacher stops or ends", || (attacher.is_stopped() || !attacher.is_alive()).then_some(()));
        let is_free = || self.target.states().iter().all(|(_, state, _)| *state != 't').then_some(());
        assert!(within(RELEASE, is_free).is_some(), "a stopped attacher holds a thread");
        let start = Instant::now();
        while attacher.is_stopped() && start.elapsed() < stop {
            self.health.goes_on(&mut self.target);
        }
        if attacher.is_alive() {
            attacher.signal(Signal::CONT);
        }
        let finished = attacher.wait().success();
        self.opens();
        finished.stderr.contains("stopping after")
    }

    /// What was written so far can be read.
    #[track_caller]
    fn opens(&self) {
        if self.file().metadata().is_ok_and(|data| data.len() > 0) {
            prof(&["stats"]).arg(self.file()).run().success();
        }
    }
}

/// What became of the rounds with one fault.
#[derive(Default)]
struct Tally {
    rounds: usize,
    failures: Vec<String>,
}

/// Goes through the fail points with one fault, on a new target after each failure.
fn go_through(bench: &mut Bench, fault: Fault) -> Tally {
    let mut tally = Tally::default();
    let stride = match (torture(), fault) {
        (Some(_), _) => 1,
        (None, Fault::Stop) => STOP_STRIDE,
        (None, _) => STRIDE,
    };
    // Each sample takes other points.
    let first = 1 + std::process::id() as usize % stride;
    for number in (first..MANY).step_by(stride) {
        // Failed steps are got over here and there: that an attach ended well says nothing.
        if is_late() || (fault == Fault::Error && number > bench.last) {
            break;
        }
        tally.rounds += 1;
        let round = || bench.meets(&number.to_string(), fault, STOP);
        match catch_unwind(AssertUnwindSafe(round)) {
            Ok(true) => bench.last = bench.last.max(number),
            Ok(false) => break,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.unwrap_or_else(|| "it panicked".to_owned());
                tally.failures.push(format!("{} after fail point {number}: {text}", fault.word()));
                let fresh = Bench::new(bench.name, &bench.python);
                (bench.target, bench.health) = (fresh.target, fresh.health);
            }
        }
    }
    tally
}

/// Where the table is wanted of all fail points.
fn torture() -> Option<PathBuf> {
    std::env::var_os("PROF_TORTURE").map(PathBuf::from)
}

fn is_late() -> bool {
    let until = std::env::var("PROF_TORTURE_UNTIL").ok().and_then(|time| time.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    until.is_some_and(|until: u64| now >= until)
}

/// Adds a line to the table.
pub fn note(line: &str) {
    if let Some(table) = torture() {
        let file = std::fs::File::options().append(true).create(true).open(table);
        writeln!(file.expect("the table can be written"), "{line}").expect("the table can be written");
    }
}

#[track_caller]
fn survives(name: &'static str, python: &str) {
    if cfg!(not(feature = "failpoints")) {
        return skip("prof was built without fail points");
    }
    let mut bench = Bench::new(name, python);
    let mut failures = Vec::new();
    for fault in [Fault::Kill, Fault::Error, Fault::Stop] {
        let tally = go_through(&mut bench, fault);
        note(&format!("{name}\t{python}\t{}\t{}\t{}", fault.word(), tally.rounds, tally.failures.len()));
        tally.failures.iter().for_each(|failure| note(&format!("# {name} {python} {failure}")));
        failures.extend(tally.failures);
    }
    bench.target.finish();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

python_tests! { two:
    fn malloc_loop(python) {
        survives("malloc_loop", python);
    }

    fn eight_threads(python) {
        survives("eight_threads", python);
    }

    fn fork_storm(python) {
        survives("fork_storm", python);
    }

    fn thread_storm(python) {
        survives("thread_storm", python);
    }

    fn signal_storm(python) {
        survives("signal_storm", python);
    }

    fn blocked(python) {
        survives("blocked", python);
    }

    /// Stopped once in each phase, under load.
    fn stopped_in_each_phase(python) {
        if cfg!(not(feature = "failpoints")) {
            return skip("prof was built without fail points");
        }
        let stop = if torture().is_some() { LONG_STOP } else { STOP };
        let mut bench = Bench::new("eight_threads", python);
        for place in ["payload-loaded", "gate-opened", "gate-closed"] {
            assert!(bench.meets(place, Fault::Stop, stop), "{place} was not passed");
        }
        note(&format!("eight_threads\t{python}\tstopped {stop:?} a phase\t3\t0"));
        bench.target.finish();
    }
}
