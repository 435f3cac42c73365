//! Which memory of a recording is asked for.

use std::iter;
use std::time::Duration;

use super::units;
use crate::analysis::Question;
use crate::capture::Reader;
use crate::model::{Metadata, ProcessId};
use crate::report::View;

/// One of the views; without an option what was held at the peak.
#[derive(clap::Args)]
pub(super) struct Select {
    /// What was allocated while recording and not freed by the end.
    #[arg(long, group = "view")]
    leaks: bool,
    /// What of that was allocated after the last gap, so that no free of it is missing.
    #[arg(long, group = "view")]
    late_leaks: bool,
    /// What was freed again within few further allocations of its thread (see --within).
    #[arg(long, group = "view")]
    temporary: bool,
    /// All that was allocated, freed or not.
    #[arg(long, group = "view")]
    allocations: bool,
    #[command(flatten)]
    within: Within,
}

/// What counts as temporary, and of which process.
#[derive(clap::Args)]
pub(super) struct Within {
    /// Temporary is what is freed within so many further allocations of its thread.
    #[arg(long, value_name = "N", default_value_t = Question::default().temporary_within)]
    within: u32,
    /// Look only at the process with this pid, of those recorded with --follow-fork; or, of
    /// several with one pid, at that with this number, as `#7`.
    #[arg(long, value_name = "PID", value_parser = which)]
    process: Option<Which>,
}

/// One process of a recording.
#[derive(Clone, Copy)]
enum Which {
    Pid(u32),
    Number(u32),
}

fn which(text: &str) -> Result<Which, std::num::ParseIntError> {
    match text.strip_prefix('#') {
        Some(number) => number.parse().map(Which::Number),
        None => text.parse().map(Which::Pid),
    }
}

impl Which {
    fn find(self, reader: &Reader) -> anyhow::Result<ProcessId> {
        let (number, pid) = match self {
            Which::Number(number) => (Some(number), None),
            Which::Pid(pid) => (None, Some(pid)),
        };
        let forked = reader.processes().map(|life| (life.number, life.pid));
        let all = iter::once((0, reader.metadata().pid)).chain(forked);
        let found: Vec<u32> =
            all.filter(|&(n, p)| number == Some(n) || pid == Some(p)).map(|(n, _)| n).collect();
        match found[..] {
            [number] => Ok(ProcessId(number)),
            [] => anyhow::bail!("the capture holds no such process; `prof stats` lists them"),
            [first, second, ..] => anyhow::bail!(
                "{} processes of the capture had this pid, one after the other: choose by number, as --process '#{first}' or '#{second}'",
                found.len()
            ),
        }
    }
}

/// A part of the recording.
#[derive(clap::Args)]
pub(super) struct Window {
    /// Look only at what happened after this time of the recording: seconds, or with a
    /// unit (90s, 5m).
    #[arg(long, value_name = "TIME", value_parser = units::moment)]
    from: Option<Duration>,
    /// Look only at what happened before this time of the recording.
    #[arg(long, value_name = "TIME", value_parser = units::moment)]
    to: Option<Duration>,
}

impl Select {
    /// The view.
    pub fn view(&self) -> View {
        match (self.leaks, self.late_leaks, self.temporary, self.allocations) {
            (true, ..) => View::Leaks,
            (_, true, ..) => View::LateLeaks,
            (_, _, true, _) => View::Temporary,
            (.., true) => View::Allocations,
            _ => View::Peak,
        }
    }

    /// What to ask for it of the whole recording.
    pub fn question(&self, reader: &Reader) -> anyhow::Result<Question> {
        self.within.question(reader)
    }
}

impl Within {
    /// What to ask of the whole recording.
    pub fn question(&self, reader: &Reader) -> anyhow::Result<Question> {
        let process = self.process.map(|which| which.find(reader)).transpose()?;
        Ok(Question { temporary_within: self.within, process, ..Question::default() })
    }
}

impl Window {
    /// The same question about this part of the recording.
    pub fn narrow(&self, question: Question, metadata: &Metadata) -> Question {
        let tick = |time: Duration| metadata.clock.tick(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let from = tick(self.from.unwrap_or_default());
        let to = tick(self.to.unwrap_or(Duration::MAX));
        let is_narrow = self.from.is_some() || self.to.is_some();
        Question { window: is_narrow.then_some((from, to)), ..question }
    }
}
