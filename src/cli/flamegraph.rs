//! `prof flamegraph` and `prof table`: one page, opened at another place.

use std::path::{Path, PathBuf};

use super::input::with_profile;
use super::output::Output;
use super::select::Within;
use crate::analysis::Question;
use crate::report::{Page, Profile, Start, StartView};

/// Intervals of the history on a page.
pub(super) const INTERVALS: u16 = 256;
/// What takes the place of a capture's `.prof`.
const SUFFIX: &str = "flamegraph.html";

/// Make an interactive page of a capture: a flame graph, a plot over time, a table.
///
/// One HTML file that needs no network. All views are in it; options choose the one
/// that is shown first.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof flamegraph app.prof\n  prof flamegraph app.prof --leaks -o leaks.html\n  prof flamegraph --diff before.prof after.prof"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    page: PageArguments,
    /// Show first what was held in a window of the recording.
    #[arg(long, group = "first", conflicts_with = "diff")]
    temporal: bool,
    /// Callees first: who allocates, and on whose behalf.
    #[arg(long)]
    inverted: bool,
}

/// Make an interactive page of a capture that opens with its table.
///
/// The page is that of `prof flamegraph`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  prof table app.prof\n  prof table app.prof --leaks -o leaks.html")]
pub(super) struct TableArguments {
    #[command(flatten)]
    page: PageArguments,
}

/// What every page has.
#[derive(clap::Args)]
struct PageArguments {
    /// The capture; with --diff the later one.
    file: PathBuf,
    /// Compare with this earlier capture.
    #[arg(long, value_name = "BEFORE")]
    diff: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    /// Show first what was allocated while recording and not freed by the end.
    #[arg(long, group = "first")]
    leaks: bool,
    /// Show first what was freed again within few further allocations of its thread.
    #[arg(long, group = "first")]
    temporary: bool,
    /// Show first all that was allocated, freed or not.
    #[arg(long, group = "first")]
    allocations: bool,
    #[command(flatten)]
    within: Within,
    /// Show threads apart.
    #[arg(long)]
    split_threads: bool,
    /// Leave out lines of the source, which are taken from this machine's files.
    #[arg(long)]
    no_source: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { page, temporal, inverted } = arguments;
    let view = if *temporal { StartView::OverTime } else { page.view() };
    let start = Start { view, inverted: *inverted, split_threads: page.split_threads, table: false };
    page.write(SUFFIX, start)
}

pub(super) fn run_table(arguments: &TableArguments) -> anyhow::Result<()> {
    let page = &arguments.page;
    let start = Start { view: page.view(), inverted: false, split_threads: page.split_threads, table: true };
    page.write("table.html", start)
}

/// The page of a capture beside it, as by `prof flamegraph` without options; `is_silent`: what
/// was written is not told.
pub(super) fn write_beside(capture: &Path, force: bool, is_silent: bool) -> anyhow::Result<()> {
    let start = Start { view: StartView::Peak, inverted: false, split_threads: false, table: false };
    let output = Output::beside(force, is_silent);
    with_profile(
        capture,
        |_| Ok(Question::default()),
        INTERVALS,
        |profile| {
            let page =
                Page { profile: &profile, file: &name(capture), before: None, start, with_source: true };
            output.write(capture, SUFFIX, |out| Ok(page.write(out)?))
        },
    )
}

/// Refuses beforehand what [`write_beside`] would refuse.
pub(super) fn check_beside(capture: &Path, force: bool) -> anyhow::Result<()> {
    Output::beside(force, true).check(capture, SUFFIX)
}

impl PageArguments {
    fn view(&self) -> StartView {
        match (self.leaks, self.temporary, self.allocations) {
            (true, ..) => StartView::Leaks,
            (_, true, _) => StartView::Temporary,
            (.., true) => StartView::Allocations,
            _ => StartView::Peak,
        }
    }

    fn write(&self, suffix: &str, start: Start) -> anyhow::Result<()> {
        self.output.check(&self.file, suffix)?;
        match &self.diff {
            None => {
                self.read(&self.file, INTERVALS, |profile| self.write_page(&profile, None, suffix, start))
            }
            Some(file) => self.read(file, 0, |before| {
                let before = Some((&before, &*name(file)));
                self.read(&self.file, 0, |profile| self.write_page(&profile, before, suffix, start))
            }),
        }
    }

    fn read(
        &self,
        file: &Path,
        intervals: u16,
        make: impl FnOnce(Profile<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        with_profile(file, |reader| self.within.question(reader), intervals, make)
    }

    fn write_page(
        &self,
        profile: &Profile<'_>,
        before: Option<(&Profile<'_>, &str)>,
        suffix: &str,
        start: Start,
    ) -> anyhow::Result<()> {
        let file = &*name(&self.file);
        let page = Page { profile, file, before, start, with_source: !self.no_source };
        self.output.write(&self.file, suffix, |out| Ok(page.write(out)?))
    }
}

/// The last part of a path.
fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
