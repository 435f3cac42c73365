//! What is said of the recording itself.

use std::path::Path;

use crate::model::EndReason;
use crate::report::{Completeness, Plain, Profile, bytes, count, duration, estimates, plural, small_objects};

/// The recording in words; harmless ones.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// One line: file, process, command.
    pub title: String,
    /// What is missing of it, a line each.
    pub incomplete: Vec<String>,
    /// More, by name.
    pub more: Vec<(&'static str, String)>,
}

impl Facts {
    /// Of a profile that was read from `file`.
    pub fn new(profile: &Profile<'_>, file: &Path) -> Facts {
        let (metadata, completeness) = (profile.metadata, &profile.completeness);
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let command = Plain(&metadata.command_line.join(" ")).to_string();
        let peak = profile.totals.peak_bytes;
        let mut more = vec![
            ("Command", command.clone()),
            ("Process", format!("pid {}, Python {}", metadata.pid, Plain(&metadata.python.version))),
            ("Recorded", duration(completeness.duration_ns)),
            ("Peak", bytes(peak)),
            ("Threads", count(threads(profile))),
            ("Missing", missing(profile)),
        ];
        if let Some(lines) = estimates::told(profile) {
            more.push(("Sampled", lines.join(" ")));
        }
        if let Some(seen) = small_objects::seen_only_as(metadata) {
            more.push(("Beware", format!("{seen} {}", small_objects::REMEDY)));
        }
        more.extend(profile.notes.iter().map(|note| ("Note", Plain(&note.text).to_string())));
        Facts {
            title: format!("prof tree · {} · pid {} · {command}", Plain(&name), metadata.pid),
            incomplete: incomplete(completeness),
            more,
        }
    }
}

fn threads(profile: &Profile<'_>) -> u64 {
    let mut threads: Vec<_> = profile.rows.iter().map(|row| row.thread.0).collect();
    threads.sort_unstable();
    threads.dedup();
    threads.len() as u64
}

fn missing(profile: &Profile<'_>) -> String {
    match (profile.completeness.is_whole(), profile.gaps().len()) {
        (true, 0) => "nothing".to_owned(),
        (_, gaps) => {
            format!("{}, {}", plural(profile.lost_events(), "event"), plural(gaps as u64, "gap"))
        }
    }
}

fn incomplete(completeness: &Completeness) -> Vec<String> {
    let mut lines = Vec::new();
    let lost = completeness.losses.events();
    if lost > 0 || completeness.damaged_chunks > 0 {
        let damaged = plural(completeness.damaged_chunks, "chunk");
        lines.push(format!("INCOMPLETE: {} lost, {damaged} damaged", plural(lost, "event")));
    }
    if completeness.end_reason == EndReason::Unfinished {
        lines.push("INCOMPLETE: the recording has no ending; what came after is not known".to_owned());
    }
    lines
}
