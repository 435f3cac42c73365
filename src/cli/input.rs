//! A capture in, a report out: what every command that reads a capture shares.

use std::io::{self, BufWriter, Write, stdout};
use std::path::PathBuf;

use crate::capture::Reader;
use crate::cpython::{self, Version};
use crate::model::{CodeObject, Metadata};
use crate::report::{Format, LineResolver};

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
    /// Opens the capture and has a report of it written to stdout.
    pub fn print(
        &self,
        write: impl FnOnce(&Reader, LineResolver<'_>, Format, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let reader = Reader::open(&self.file)?;
        let lines = line_resolver(reader.metadata());
        let format = if self.json { Format::Json } else { Format::Text { width: width() } };
        let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
        write(&reader, &lines, format, &mut out)?;
        Ok(out.flush()?)
    }
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
