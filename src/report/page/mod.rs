//! One HTML file with everything in it: the page, its style, its program, the data.
//!
//! ```text
//!  assets/*.html,css,js ──┐
//!  Profile ─► Data ─► JSON ─► zlib ─► base64 ─► <script type="text/plain" id="data">
//! ```
//!
//! The page asks no network for anything and takes nothing from the target but text,
//! which it never reads as markup.

#[cfg(test)]
mod asset_tests;
mod columns;
mod data;
mod details;
mod over_time;
#[cfg(test)]
mod tests;
mod tree;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{self, BufWriter, Write};

use self::data::Data;
use super::profile::Profile;

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
/// The program, in the order in which its parts run.
const SCRIPTS: &[&str] = &[
    include_str!("assets/text.js"),
    include_str!("assets/dom.js"),
    include_str!("assets/data.js"),
    include_str!("assets/places.js"),
    include_str!("assets/tree.js"),
    include_str!("assets/time.js"),
    include_str!("assets/values.js"),
    include_str!("assets/tally.js"),
    include_str!("assets/layout.js"),
    include_str!("assets/state.js"),
    include_str!("assets/palette.js"),
    include_str!("assets/graph.js"),
    include_str!("assets/keys.js"),
    include_str!("assets/tooltip.js"),
    include_str!("assets/plot.js"),
    include_str!("assets/window.js"),
    include_str!("assets/table.js"),
    include_str!("assets/panel.js"),
    include_str!("assets/headline.js"),
    include_str!("assets/details.js"),
    include_str!("assets/csv.js"),
    include_str!("assets/controls.js"),
    include_str!("assets/main.js"),
];

/// What the page shows first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Which memory.
    pub view: StartView,
    /// Callees first.
    pub inverted: bool,
    /// Threads apart.
    pub split_threads: bool,
    /// The table instead of the graph.
    pub table: bool,
}

/// Which memory the page shows first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartView {
    /// What was held when the heap was largest.
    #[default]
    Peak,
    /// What was not freed by the end.
    Leaks,
    /// What was freed soon.
    Temporary,
    /// All that was allocated.
    Allocations,
    /// What was held in a window of the recording.
    OverTime,
}

impl StartView {
    fn name(self) -> &'static str {
        match self {
            StartView::Peak => "peak",
            StartView::Leaks => "leaks",
            StartView::Temporary => "temporary",
            StartView::Allocations => "allocations",
            StartView::OverTime => "time",
        }
    }
}

/// A page to be written.
pub struct Page<'p, 'a> {
    /// The recording; of two that are compared the later one.
    pub profile: &'p Profile<'a>,
    /// The name of its file.
    pub file: &'p str,
    /// What it is compared with, and the name of its file.
    pub before: Option<(&'p Profile<'a>, &'p str)>,
    /// What is shown first.
    pub start: Start,
    /// Whether lines of the source are shown, where it can be read.
    pub with_source: bool,
}

impl Page<'_, '_> {
    /// Writes the HTML.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (head, rest) = split(PAGE, "/*STYLE*/");
        let (body, rest) = split(rest, "DATA");
        let (tail, end) = split(rest, "/*SCRIPT*/");
        let (before_title, after_title) = split(head, "TITLE");
        out.write_all(before_title.as_bytes())?;
        out.write_all(escaped(&self.title()).as_bytes())?;
        for part in [after_title, STYLE, body] {
            out.write_all(part.as_bytes())?;
        }
        self.write_data(out)?;
        out.write_all(tail.as_bytes())?;
        SCRIPTS.iter().flat_map(|script| bare(script)).try_for_each(|line| writeln!(out, "{line}"))?;
        out.write_all(end.as_bytes())
    }

    fn title(&self) -> String {
        match self.before {
            Some((_, before)) => format!("{} compared with {before}", self.file),
            None => self.file.to_owned(),
        }
    }

    fn write_data(&self, out: &mut dyn Write) -> io::Result<()> {
        let base64 = EncoderWriter::new(out, &STANDARD);
        // JSON comes in morsels, and the encoder is slow to swallow.
        let mut json = BufWriter::with_capacity(1 << 16, ZlibEncoder::new(base64, Compression::default()));
        serde_json::to_writer(&mut json, &Data::new(self))?;
        let packed = json.into_inner().map_err(io::IntoInnerError::into_error)?;
        packed.finish()?.finish().map(drop)
    }
}

/// The parts of an asset around a mark that is in it once.
fn split(asset: &'static str, mark: &str) -> (&'static str, &'static str) {
    asset.split_once(mark).expect("the page has its marks")
}

/// The lines of a script without indentation and comments: a page carries what it needs.
fn bare(script: &str) -> impl Iterator<Item = &str> {
    let is_code =
        |line: &&str| !line.is_empty() && !["//", "/**", "* "].iter().any(|mark| line.starts_with(mark));
    script.lines().map(str::trim).filter(is_code)
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
