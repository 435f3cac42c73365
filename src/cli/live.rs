//! `prof live`, and what it shares with the view of `prof attach`.

use anyhow::Context;
use std::io::{BufWriter, Write, stderr};
use std::path::{Path, PathBuf};
use std::thread;

use super::flamegraph::INTERVALS;
use super::input::line_resolver;
use crate::analysis::Question;
use crate::capture::{self, Follower, Reader};
use crate::explore::live::{self, Left, Own, Page};
use crate::explore::{self, Ending};
use crate::report::{self, Profile, Reading, Start, StartView, Watch};

/// Watch a recording that another prof is writing.
///
/// Shows what is live, from where, and what grew since a mark (m). It only reads the
/// capture, so there may be as many viewers as wanted. ? shows all keys.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  prof attach 4711 -o app.prof &\n  prof live app.prof")]
pub(super) struct Arguments {
    /// The capture.
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Left { ending, page } = watch(&arguments.file, None)?;
    page.into_iter().for_each(tell_page);
    if let Ending::Signal(signal) = ending {
        signal_hook::low_level::emulate_default_handler(signal)?;
    }
    Ok(())
}

/// Shows a recording; our own until it is over.
pub(super) fn watch(file: &Path, own: Option<Own<'_>>) -> anyhow::Result<Left> {
    explore::check_terminal()?;
    let follower = Follower::open(file)?;
    let lines = line_resolver(follower.metadata());
    let watch = Watch::new(follower, &lines);
    let begin_page = || {
        let file = file.to_owned();
        thread::spawn(move || write_page(&file).map_err(|error| format!("{error:#}")))
    };
    Ok(live::live(watch, file, own, &begin_page)?)
}

/// Waits for a page that was begun in the view.
pub(super) fn tell_page(page: Page) {
    // The terminal may be gone.
    let _gone = writeln!(stderr(), "prof: the page is being written");
    let said = live::told(page);
    let _gone = writeln!(stderr(), "prof: {said}");
}

/// Writes the page of what is recorded so far beside the capture, under a new name.
fn write_page(capture: &Path) -> anyhow::Result<PathBuf> {
    let reader = Reader::open(capture)?;
    let lines = line_resolver(reader.metadata());
    let reading = Reading { question: Question::default(), intervals: INTERVALS, progress: &mut |_| {} };
    let profile = Profile::read(&reader, &lines, reading);
    let (path, file) = create(capture)?;
    let name = capture.file_name().unwrap_or(capture.as_os_str()).to_string_lossy();
    let start = Start { view: StartView::Leaks, ..Start::default() };
    let page = report::Page { profile: &profile, file: &name, before: None, start, with_source: true };
    let mut out = BufWriter::with_capacity(1 << 16, file);
    let written = page.write(&mut out).and_then(|()| out.flush());
    if written.is_err() {
        // A page that is cut off would only mislead.
        let _stays = std::fs::remove_file(&path);
    }
    written.context("writing the page")?;
    Ok(path)
}

fn create(capture: &Path) -> Result<(PathBuf, std::fs::File), capture::Error> {
    let mut number = 1u32;
    loop {
        let path = capture.with_extension(format!("live-{number}.html"));
        match capture::create(&path, false) {
            Err(capture::Error::Exists(_)) => number += 1,
            Err(error) => return Err(error),
            Ok(file) => return Ok((path, file)),
        }
    }
}
