//! A capture in, a report out: what every command that reads a capture shares.

use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use super::progress::Progress;
use crate::analysis::Question;
use crate::capture::Reader;
use crate::cpython::{self, Version};
use crate::model::{CodeObject, Metadata};
use crate::report::{Format, LineResolver, Profile, Reading};

/// A capture without events was asked for something else than all of it.
#[derive(Debug, thiserror::Error)]
#[error("its events were not kept (--aggregate): figures are of the whole recording")]
pub(super) struct NoEvents;

/// Which capture, and how it is told.
#[derive(clap::Args)]
pub(super) struct Input {
    /// The capture.
    file: PathBuf,
    /// Print JSON, as described in docs/json.md.
    #[arg(long)]
    json: bool,
}

impl Input {
    /// Has the records of the capture written to stdout.
    pub fn print_records(
        &self,
        write: impl FnOnce(&Reader, LineResolver<'_>, Format, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let reader = Reader::open(&self.file)?;
        let lines = line_resolver(reader.metadata());
        self.print(|format, out| write(&reader, &lines, format, out))
    }

    /// Has a report of the capture, with its history in so many intervals, written to stdout.
    pub fn print_report(
        &self,
        intervals: u16,
        question: impl FnOnce(&Reader) -> anyhow::Result<Question>,
        write: impl FnOnce(Profile<'_>, Format, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        with_profile(&self.file, question, intervals, |profile| {
            self.print(|format, out| write(profile, format, out))
        })
    }

    fn print(&self, write: impl FnOnce(Format, &mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        let format = if self.json { Format::Json } else { Format::Text { width: width() } };
        let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
        write(format, &mut out)?;
        Ok(out.flush()?)
    }
}

/// Reads a capture, with its history in so many intervals, for something to be made of it.
pub(super) fn with_profile<T>(
    file: &Path,
    question: impl FnOnce(&Reader) -> anyhow::Result<Question>,
    intervals: u16,
    make: impl FnOnce(Profile<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let reader = Reader::open(file)?;
    let lines = line_resolver(reader.metadata());
    let question = question(&reader)?;
    if reader.is_aggregated() && question != Question::default() {
        return Err(NoEvents.into());
    }
    let mut progress = Progress::new("reading");
    let reading = Reading { question, intervals, progress: &mut |part| progress.show(part) };
    let profile = Profile::read(&reader, &lines, reading);
    drop(progress);
    make(profile)
}

/// Columns of the terminal; no limit if there is none.
fn width() -> usize {
    const NARROWEST: u16 = 80;
    let columns = terminal_size::terminal_size_of(stdout()).map(|(columns, _)| columns.0.max(NARROWEST));
    columns.map_or(usize::MAX, usize::from)
}

/// How to find the lines of a recording's code objects.
pub(super) fn line_resolver(metadata: &Metadata) -> impl Fn(&CodeObject, i32) -> u32 + use<> {
    let version = Version::parse(&metadata.python.version);
    move |code, offset| match version {
        Some(version) => cpython::line(version, code.first_line, &code.line_table, offset),
        None => code.first_line,
    }
}
