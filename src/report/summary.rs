//! `prof summary`: what each function, file, module, thread or allocator made and held.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::io::{self, Write};

use super::Format;
use super::estimates::{self, Estimates};
use super::json;
use super::module::{Modules, NO_FILE};
use super::place::{NO_PYTHON, Place, tail};
use super::plain::Plain;
use super::profile::{Profile, Row};
use super::small_objects;
use super::units::{bytes, count, signed_bytes};
use super::view::View;

/// What the rows are sorted by, most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Bytes of its own.
    #[default]
    Own,
    /// Bytes of its own and of what it called.
    Total,
    /// Blocks of its own.
    Count,
}

/// What the rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Functions of a file.
    #[default]
    Function,
    /// Source files.
    File,
    /// Python modules.
    Module,
    /// Threads.
    Thread,
    /// Processes.
    Process,
    /// The functions by which memory was asked for.
    Kind,
}

/// A summary that is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Which memory.
    pub view: View,
    /// Summed up by what.
    pub by: By,
    /// What comes first.
    pub order: Order,
    /// So many rows.
    pub top: usize,
}

/// The rows of a capture.
#[derive(Serialize)]
pub struct SummaryReport {
    peak_bytes: u64,
    peak_time_ns: u64,
    view: &'static str,
    view_bytes: u64,
    lost_events: u64,
    damaged_chunks: u64,
    end_reason: &'static str,
    domains: bool,
    #[serde(skip)]
    is_whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<Estimates>,
    #[serde(skip)]
    estimates: Option<[String; 2]>,
    #[serde(skip)]
    small_objects: Option<&'static str>,
    #[serde(skip)]
    title: String,
    #[serde(flatten)]
    rows: Rows,
}

struct Rows {
    by: By,
    rows: Vec<SummaryRow>,
}

/// A function, with its file; or something else that has one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
enum Name<'p> {
    Function { function: Cow<'p, str>, file: Cow<'p, str> },
    Other { name: Cow<'p, str> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SummaryRow {
    #[serde(flatten)]
    name: Name<'static>,
    #[serde(flatten)]
    sums: Sums,
    /// Of the recording that this one is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Sums>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Sums {
    own_bytes: u64,
    total_bytes: u64,
    count: u64,
}

impl SummaryReport {
    /// Sums up a capture.
    pub fn new(profile: &Profile<'_>, wanted: Wanted) -> SummaryReport {
        let total = profile.total(wanted.view).bytes;
        let title = wanted.view.title(total, !profile.gaps().is_empty());
        SummaryReport::with_rows(profile, wanted, title, rows(profile, wanted))
    }

    /// Sums up what has changed since `before`: a view of an earlier capture, or an
    /// earlier view of the same.
    pub fn compared(profile: &Profile<'_>, before: (&Profile<'_>, View), wanted: Wanted) -> SummaryReport {
        let (then, now) = (before.0.total(before.1).bytes, profile.total(wanted.view).bytes);
        let change = signed_bytes(signed_difference(now, then));
        let title = match (before.1, wanted.view) {
            (View::AtStart, View::AtEnd) => "Growth".to_owned(),
            (_, view) => format!("Change of {}", view.name().replace('_', " ")),
        };
        let title = format!("{title}: {} before, {} after, {change}", bytes(then), bytes(now));
        SummaryReport::with_rows(profile, wanted, title, compared_rows(profile, before, wanted))
    }

    fn with_rows(
        profile: &Profile<'_>,
        wanted: Wanted,
        title: String,
        rows: Vec<SummaryRow>,
    ) -> SummaryReport {
        let (peak_bytes, peak_at) = (profile.totals.peak_bytes, profile.totals.peak_at);
        SummaryReport {
            peak_bytes,
            peak_time_ns: profile.nanos(peak_at),
            view: wanted.view.name(),
            view_bytes: profile.total(wanted.view).bytes,
            lost_events: profile.lost_events(),
            damaged_chunks: profile.completeness.damaged_chunks,
            end_reason: profile.completeness.end_reason.name(),
            domains: profile.metadata.domains,
            is_whole: profile.completeness.is_whole(),
            sampled: Estimates::of(profile),
            estimates: estimates::told(profile),
            small_objects: small_objects::seen_only_as(profile.metadata),
            title,
            rows: Rows { by: wanted.by, rows },
        }
    }

    /// A table, or one JSON object.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text { width } => self.write_text(width, out),
            Format::Json => writeln!(out, "{}", json::pretty(self)?),
        }
    }

    fn write_text(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.title)?;
        if !self.is_whole {
            let lost = count(self.lost_events);
            writeln!(out, "INCOMPLETE: {lost} events lost, {} chunks damaged", self.damaged_chunks)?;
        }
        if let Some([first, second]) = &self.estimates {
            writeln!(out, "{first}\n{second}")?;
        }
        if let Some(text) = self.small_objects {
            writeln!(out, "{text}\n{}", small_objects::REMEDY)?;
        }
        let what = self.rows.by.name();
        match self.rows.rows.first().is_some_and(|row| row.before.is_some()) {
            true => writeln!(
                out,
                "{:>11}  {:>11}  {:>12}  {:>13}  {what}",
                "own before", "own after", "change", "count change"
            )?,
            false => {
                writeln!(out, "{:>11} {:>7}  {:>11} {:>7}  {:>11}  {what}", "own", "", "total", "", "count")?
            }
        }
        self.rows.rows.iter().try_for_each(|row| self.write_row(row, width, out))?;
        if self.rows.rows.is_empty() { writeln!(out, "  nothing was recorded") } else { Ok(()) }
    }

    fn write_row(&self, row: &SummaryRow, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let figures = match row.before {
            Some(before) => row.sums.compared(before),
            None => row.sums.shares(self.view_bytes),
        };
        let room = width.saturating_sub(figures.chars().count());
        let name = match &row.name {
            Name::Function { function, file } => {
                Place { function: Cow::Borrowed(function), file, line: 0 }.short_function(room)
            }
            Name::Other { name } => tail(&Plain(name).to_string(), room),
        };
        writeln!(out, "{figures}{name}")
    }
}

impl Sums {
    fn shares(self, all: u64) -> String {
        let percent = |part: u64| format!("{:.1} %", part as f64 * 100.0 / all.max(1) as f64);
        format!(
            "{:>11} {:>7}  {:>11} {:>7}  {:>11}  ",
            bytes(self.own_bytes),
            percent(self.own_bytes),
            bytes(self.total_bytes),
            percent(self.total_bytes),
            count(self.count)
        )
    }

    fn compared(self, before: Sums) -> String {
        format!(
            "{:>11}  {:>11}  {:>12}  {:>+13}  ",
            bytes(before.own_bytes),
            bytes(self.own_bytes),
            signed_bytes(signed_difference(self.own_bytes, before.own_bytes)),
            signed_difference(self.count, before.count)
        )
    }

    /// What rows are sorted by.
    fn rank(self, order: Order) -> (u64, u64) {
        match order {
            Order::Own => (self.own_bytes, self.total_bytes),
            Order::Total => (self.total_bytes, self.own_bytes),
            Order::Count => (self.count, self.own_bytes),
        }
    }
}

fn signed_difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

impl Rows {
    fn key(&self) -> &'static str {
        match self.by {
            By::Function => "functions",
            By::File => "files",
            By::Module => "modules",
            By::Thread => "threads",
            By::Process => "processes",
            By::Kind => "kinds",
        }
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.key(), &self.rows)?;
        map.end()
    }
}

impl By {
    fn name(self) -> &'static str {
        match self {
            By::Function => "function",
            By::File => "file",
            By::Module => "module",
            By::Thread => "thread",
            By::Process => "process",
            By::Kind => "allocator",
        }
    }
}

fn rows(profile: &Profile<'_>, wanted: Wanted) -> Vec<SummaryRow> {
    let mut rows: Vec<_> = sums(profile, wanted).into_iter().collect();
    rows.sort_by(|(a, a_sums), (b, b_sums)| {
        b_sums.rank(wanted.order).cmp(&a_sums.rank(wanted.order)).then_with(|| a.cmp(b))
    });
    rows.truncate(wanted.top);
    rows.into_iter().map(|(name, sums)| SummaryRow { name: name.into_owned(), sums, before: None }).collect()
}

/// Those that changed, the largest change first.
fn compared_rows(
    profile: &Profile<'_>,
    (before, view): (&Profile<'_>, View),
    wanted: Wanted,
) -> Vec<SummaryRow> {
    let mut both: HashMap<Name<'_>, (Sums, Sums)> = HashMap::new();
    for (name, sums) in sums(before, Wanted { view, ..wanted }) {
        both.entry(name).or_default().0 = sums;
    }
    for (name, sums) in sums(profile, wanted) {
        both.entry(name).or_default().1 = sums;
    }
    let mut rows: Vec<_> = both.into_iter().filter(|(_, (before, after))| before != after).collect();
    let change = |(before, after): &(Sums, Sums)| {
        let (before, after) = (before.rank(wanted.order), after.rank(wanted.order));
        Reverse((after.0.abs_diff(before.0), after.1.abs_diff(before.1)))
    };
    rows.sort_by(|(a, a_sums), (b, b_sums)| change(a_sums).cmp(&change(b_sums)).then_with(|| a.cmp(b)));
    rows.truncate(wanted.top);
    let row = |(name, (before, sums)): (Name<'_>, _)| SummaryRow {
        name: name.into_owned(),
        sums,
        before: Some(before),
    };
    rows.into_iter().map(row).collect()
}

fn sums<'p>(profile: &'p Profile<'_>, wanted: Wanted) -> HashMap<Name<'p>, Sums> {
    let mut names = Names::new(profile, wanted.by);
    let mut sums: HashMap<Name<'p>, Sums> = HashMap::new();
    let mut seen = HashSet::new();
    for row in &profile.rows {
        let sum = wanted.view.of(&row.figures);
        if sum.is_zero() {
            continue;
        }
        let stack = names.of(row);
        let own = sums.entry(stack[0].clone()).or_default();
        own.own_bytes = own.own_bytes.saturating_add(sum.bytes);
        own.count = own.count.saturating_add(sum.blocks);
        // A function that calls itself held its memory once.
        seen.clear();
        seen.extend(stack);
        for name in &seen {
            let total = &mut sums.entry(name.clone()).or_default().total_bytes;
            *total = total.saturating_add(sum.bytes);
        }
    }
    sums
}

/// Names what is summed up.
struct Names<'p, 'a> {
    profile: &'p Profile<'a>,
    by: By,
    modules: Modules,
}

impl<'p, 'a> Names<'p, 'a> {
    fn new(profile: &'p Profile<'a>, by: By) -> Names<'p, 'a> {
        Names { profile, by, modules: Modules::new(profile.stacks.places().map(|place| place.file)) }
    }

    /// The name of the leaf, and those of what called it. At least one.
    fn of(&mut self, row: &Row) -> Vec<Name<'p>> {
        let other = |name: Cow<'p, str>| Name::Other { name };
        let mut names: Vec<_> = match self.by {
            By::Thread => return vec![other(self.profile.threads.label(row.thread).into())],
            By::Process => {
                let process = self.profile.threads.process(row.thread);
                return vec![other(self.profile.processes.label(process).into())];
            }
            By::Kind => return vec![other(row.kind.name().into())],
            _ => self.profile.frames(row.stack).map(|place| self.of_place(place)).collect(),
        };
        if names.is_empty() {
            let (function, file) = (NO_PYTHON.into(), "".into());
            names.push(if self.by == By::Function {
                Name::Function { function, file }
            } else {
                other(function)
            });
        }
        names
    }

    fn of_place(&self, place: &'p Place<'a>) -> Name<'p> {
        match self.by {
            By::Function => Name::Function { function: (&*place.function).into(), file: place.file.into() },
            By::Module => Name::Other { name: self.modules.of(place.file).0.into() },
            _ => Name::Other { name: if place.file.is_empty() { NO_FILE } else { place.file }.into() },
        }
    }
}

impl Name<'_> {
    fn into_owned(self) -> Name<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Name::Function { function, file } => Name::Function { function: own(function), file: own(file) },
            Name::Other { name } => Name::Other { name: own(name) },
        }
    }
}
