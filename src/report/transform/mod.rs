//! A recording in the forms that other programs read.
//!
//! ```text
//!  Profile ─► Tree ─► pprof, speedscope, collapsed, gprof2dot, firefox
//!     │       numbers for places and stacks, parents before children
//!     └─────► csv, json       a line a row
//! ```
//!
//! What is written is made while it is written: memory grows with distinct stacks, not
//! with the length of the file. Names come from the target. Other programs print them, so
//! all but `json`, which escapes, have them as [`Plain`] shows them.

mod caveats;
mod collapsed;
mod csv;
mod firefox;
mod gprof2dot;
mod json;
mod pprof;
mod protobuf;
mod speedscope;
mod tree;

#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};
use std::io::{self, Write};

use super::plain::Plain;
use super::profile::{Profile, Row};
use super::view::View;
use crate::analysis::Sum;
use crate::model::Tick;

/// A form that other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformFormat {
    /// The protobuf of Google's pprof, gzipped.
    Pprof,
    /// speedscope's JSON.
    Speedscope,
    /// A line for each stack, as `flamegraph.pl` and inferno read it.
    Collapsed,
    /// A line for each row, for spreadsheets.
    Csv,
    /// All figures of all rows.
    Json,
    /// gprof2dot's JSON.
    Gprof2dot,
    /// A processed profile of the Firefox Profiler.
    Firefox,
}

impl TransformFormat {
    /// All of them.
    pub const ALL: [TransformFormat; 7] = [
        TransformFormat::Pprof,
        TransformFormat::Speedscope,
        TransformFormat::Collapsed,
        TransformFormat::Csv,
        TransformFormat::Json,
        TransformFormat::Gprof2dot,
        TransformFormat::Firefox,
    ];

    /// How the names of such files end, by which their readers know them.
    pub fn suffix(self) -> &'static str {
        match self {
            TransformFormat::Pprof => "pb.gz",
            TransformFormat::Speedscope => "speedscope.json",
            TransformFormat::Collapsed => "collapsed.txt",
            TransformFormat::Csv => "csv",
            TransformFormat::Json => "json",
            TransformFormat::Gprof2dot => "gprof2dot.json",
            TransformFormat::Firefox => "firefox.json",
        }
    }
}

/// A recording to be handed to another program.
pub struct Transform<'p, 'a> {
    /// The recording.
    pub profile: &'p Profile<'a>,
    /// Which memory; where there is room for all views, which one comes first.
    pub view: View,
    /// Whether blocks are counted instead of bytes; where both are there, whether they come first.
    pub blocks: bool,
    /// The part of the recording that was read, if not all.
    pub window: Option<(Tick, Tick)>,
}

impl<'p> Transform<'p, '_> {
    /// Writes it.
    pub fn write(&self, format: TransformFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            TransformFormat::Pprof => pprof::write(self, out),
            TransformFormat::Speedscope => speedscope::write(self, out),
            TransformFormat::Collapsed => collapsed::write(self, out),
            TransformFormat::Csv => csv::write(self, out),
            TransformFormat::Json => json::write(self, out),
            TransformFormat::Gprof2dot => gprof2dot::write(self, out),
            TransformFormat::Firefox => firefox::write(self, out),
        }
    }

    /// What somebody who looks at the figures has to know of what is missing, in sentences.
    pub fn caveats(&self) -> Vec<String> {
        caveats::of(self.profile)
    }

    /// The rows that the view has something of.
    fn rows(&self) -> impl Iterator<Item = &'p Row> + use<'p> {
        let view = self.view;
        self.profile.rows.iter().filter(move |row| !view.of(&row.figures).is_zero())
    }

    /// The rows that any view has something of, what is asked for first and most first.
    fn rows_of_all_views(&self) -> Vec<&'p Row> {
        let is_shown = |row: &&Row| View::ALL.iter().any(|view| !view.of(&row.figures).is_zero());
        self.most_first(self.profile.rows.iter().filter(is_shown))
    }

    fn most_first(&self, rows: impl Iterator<Item = &'p Row>) -> Vec<&'p Row> {
        let mut rows: Vec<_> = rows.collect();
        // Equals in the order in which they were recorded.
        rows.sort_by_key(|row| std::cmp::Reverse(self.weight(self.view.of(&row.figures))));
        rows
    }

    /// Bytes or blocks.
    fn weight(&self, sum: Sum) -> u64 {
        if self.blocks { sum.blocks } else { sum.bytes }
    }

    /// When what is shown began and ended, ns since the start of the recording.
    fn range_ns(&self) -> (u64, u64) {
        let end = self.profile.completeness.duration_ns;
        match self.window {
            None => (0, end),
            Some((from, to)) => {
                let from = self.profile.nanos(from).min(end);
                (from, self.profile.nanos(to).clamp(from, end))
            }
        }
    }

    /// As `python3 app.py (pid 42): leaks`.
    fn title(&self) -> String {
        let metadata = self.profile.metadata;
        let command = Plain(&metadata.command_line.join(" ")).to_string();
        format!("{command} (pid {}): {}", metadata.pid, self.view.name().replace('_', " "))
    }
}

/// A name that does no harm to who prints it. An empty one stays empty.
fn plain(text: &str) -> String {
    if text.is_empty() { String::new() } else { Plain(text).to_string() }
}

/// A list that is made while it is written.
struct List<F>(F);

impl<F, I> Serialize for List<F>
where
    F: Fn() -> I,
    I: IntoIterator,
    I::Item: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}
