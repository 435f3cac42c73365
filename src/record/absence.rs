//! Notices when this process did not come to empty the ring, and what that cost.

use super::ring::Losses;
use crate::model::{Note, NoteKind};
use std::time::Duration;

/// A look that comes so much later than the one before is worth a note.
const LONG: Duration = Duration::from_secs(1);

/// Why the ring was not emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// We were stopped (Ctrl-Z, a debugger, a freezer), or had no processor.
    NotRunning,
    /// What was taken before could not be written fast enough.
    SlowDisk,
}

/// Since when, and what was lost by then.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    at: Duration,
    losses: Losses,
}

/// Watches the looks at the ring.
#[derive(Debug, Default)]
pub struct Absence {
    last: Since,
    /// When the queue of the spool became full.
    full: Option<Since>,
}

impl Absence {
    /// A look at the ring, so long after the hooks went live, with these losses by now. The
    /// ring will not be emptied if the spool is full. What is to be told of the time before.
    pub fn look(&mut self, at: Duration, losses: Losses, is_full: bool) -> Option<Note> {
        let now = Since { at, losses };
        let last = std::mem::replace(&mut self.last, now);
        if at.saturating_sub(last.at) >= LONG {
            return Some(note(Cause::NotRunning, last, now));
        }
        match (self.full, is_full) {
            (None, true) => self.full = Some(now),
            (Some(since), false) => {
                self.full = None;
                let has_lost = lost(since, now) != (0, 0);
                return has_lost.then(|| note(Cause::SlowDisk, since, now));
            }
            _ => {}
        }
        None
    }
}

/// Allocations and frees lost between two looks.
fn lost(from: Since, to: Since) -> (u64, u64) {
    let less = |now: u64, then: u64| now.saturating_sub(then);
    (less(to.losses.allocations, from.losses.allocations), less(to.losses.frees, from.losses.frees))
}

fn note(cause: Cause, from: Since, to: Since) -> Note {
    let (allocations, frees) = lost(from, to);
    let what = match cause {
        Cause::NotRunning => "prof did not run (stopped, or without a processor)",
        Cause::SlowDisk => "the capture could not be written fast enough",
    };
    let [start, end] = [from.at, to.at].map(|at| at.as_secs_f64());
    let length = end - start;
    let text = format!(
        "{what} for {length:.1} s, from {start:.1} s to {end:.1} s: {} events were lost",
        allocations.saturating_add(frees)
    );
    let [from_ns, to_ns] = [from.at, to.at].map(|at| at.as_nanos() as u64);
    Note { kind: NoteKind::Gap, text, from_ns, to_ns, allocations, frees }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(allocations: u64, frees: u64) -> Losses {
        Losses { allocations, frees, ..Losses::default() }
    }

    #[test]
    fn a_late_look_and_a_full_queue_are_told() {
        let ms = Duration::from_millis;
        let mut absence = Absence::default();
        assert_eq!(absence.look(ms(500), losses(0, 0), false), None);
        assert_eq!(absence.look(ms(1499), losses(2, 1), false), None, "less than a second");
        let note = absence.look(ms(4000), losses(12, 6), false).expect("more than a second");
        assert_eq!((note.from_ns, note.to_ns), (1_499_000_000, 4_000_000_000));
        assert_eq!((note.allocations, note.frees, note.kind), (10, 5, NoteKind::Gap));
        assert!(note.text.contains("did not run") && note.text.contains("15 events"), "{}", note.text);

        assert_eq!(absence.look(ms(4010), losses(12, 6), true), None);
        assert_eq!(absence.look(ms(4020), losses(13, 6), true), None);
        let note = absence.look(ms(4030), losses(14, 6), false).expect("events were lost");
        assert_eq!((note.from_ns, note.to_ns, note.allocations), (4_010_000_000, 4_030_000_000, 2));
        assert!(note.text.contains("fast enough"), "{}", note.text);
        assert_eq!(absence.look(ms(4040), losses(14, 6), true), None);
        assert_eq!(absence.look(ms(4050), losses(14, 6), false), None, "nothing was lost");
    }
}
