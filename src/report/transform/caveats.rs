//! What is missing of a recording, in sentences that fit into other programs' forms.

use crate::model::{EndReason, NoteKind};
use crate::report::plain::Plain;
use crate::report::profile::Profile;
use crate::report::units::{duration, plural};
use crate::report::{estimates, small_objects};

/// How sentences begin that say that figures are not exact.
pub(super) const INCOMPLETE: &str = "INCOMPLETE:";
/// Notes that are told.
const NOTES: usize = 5;

pub(super) fn of(profile: &Profile<'_>) -> Vec<String> {
    let whole = &profile.completeness;
    let mut all = Vec::new();
    for (count, thing, text) in [
        (profile.lost_events(), "event", "lost; what is shown as held may be freed, and some is not shown"),
        (whole.damaged_chunks, "chunk", "of the capture damaged"),
        (whole.losses.truncated_stacks, "stack", "cut at the root"),
        (whole.losses.unreadable_stacks, "stack", "that could not be read"),
        (whole.unresolved_codes as u64, "function", "without a description"),
    ] {
        if count > 0 {
            all.push(format!("{INCOMPLETE} {} {text}", plural(count, thing)));
        }
    }
    if whole.end_reason == EndReason::Unfinished {
        all.push(format!("{INCOMPLETE} the capture has no ending"));
    }
    all.extend(gaps(profile));
    let is_of_loss = |kind| matches!(kind, NoteKind::Loss | NoteKind::Damage);
    let notes = profile.notes.iter().filter(|note| is_of_loss(note.kind)).take(NOTES);
    all.extend(notes.map(|note| format!("note: {}", Plain(&note.text))));
    all.extend(estimates::told(profile).map(|lines| format!("note: {}", lines.join(" "))));
    all.extend(small_objects::seen_only_as(profile.metadata).map(|text| format!("note: {text}")));
    all
}

/// How many there are, and when the last one was: what was allocated after it has all its frees.
fn gaps(profile: &Profile<'_>) -> Option<String> {
    let count = plural(profile.gaps().len() as u64, "gap");
    let last = profile.gaps().iter().map(|gap| gap.to).max()?;
    Some(format!(
        "{INCOMPLETE} events are missing in {count}, the last one after {}",
        duration(profile.nanos(last))
    ))
}
