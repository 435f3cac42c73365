//! What is said on stderr while a process is recorded, and when it has been: for people, or
//! for a program that drives this one.

use std::io::{BufWriter, IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::{self, Told};
use super::input::with_profile;
use crate::analysis::Question;
use crate::record::{Error, Outcome, Progress};
use crate::report::{Format, INTERVALS, Plain, StatsReport, bytes, count};

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// Lines of text; a line of progress on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Tells how a recording goes.
pub(super) struct Talk {
    pid: i32,
    form: Form,
    is_quiet: bool,
    is_verbose: bool,
    line: ProgressBar,
}

/// A line for a program: what `event` is decides what else it has.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Started {
        pid: i32,
        path: &'a str,
        notes: &'a [String],
    },
    Running {
        elapsed_s: f64,
        events: u64,
        live_bytes: u64,
        live_is_estimate: bool,
        resident_bytes: u64,
        lost_events: u64,
    },
    Ended {
        path: &'a str,
        reason: &'a str,
        events: u64,
        lost_events: u64,
        longest_pause_us: u64,
        children_with_hooks: usize,
    },
    Error {
        error: &'a str,
        hint: Option<&'a str>,
        status: u8,
    },
}

impl Line<'_> {
    fn print(&self) {
        let text = serde_json::to_string(self).expect("texts and numbers");
        // Who does not read this any more need not stop the recording.
        let _unread = writeln!(stderr().lock(), "{text}");
    }
}

impl Talk {
    pub(super) fn new(pid: i32, form: Form, is_quiet: bool, is_verbose: bool) -> Talk {
        let shown = form == Form::Text && !is_quiet && stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        line.set_style(ProgressStyle::with_template("{msg}").expect("a valid template"));
        Talk { pid, form, is_quiet, is_verbose, line }
    }

    /// Without a line of progress: others talk too.
    pub(super) fn among_others(self) -> Talk {
        self.line.set_draw_target(ProgressDrawTarget::hidden());
        self
    }

    /// Whether people are told by a line of progress.
    pub(super) fn has_line(&self) -> bool {
        !self.line.is_hidden()
    }

    pub(super) fn tell(&self, progress: Progress) {
        match self.form {
            Form::Text => self.tell_people(progress),
            Form::Json => self.tell_program(&progress),
        }
    }

    fn tell_people(&self, progress: Progress) {
        match progress {
            Progress::Started { path, notes } => {
                let path = path.display().to_string();
                say!("prof: recording pid {} to {}", self.pid, Plain(&path));
                for note in notes.iter().filter(|_| self.is_verbose) {
                    say!("note: {}", Plain(note));
                }
            }
            Progress::Running { elapsed, events, live_bytes, is_estimate, resident_bytes, lost } => {
                let about = if is_estimate { "~" } else { "" };
                self.line.set_message(format!(
                    "{} s  {} events  {about}{} live  {} resident  {} lost",
                    elapsed.as_secs(),
                    count(events),
                    bytes(live_bytes),
                    bytes(resident_bytes),
                    count(lost),
                ));
            }
        }
    }

    fn tell_program(&self, progress: &Progress) {
        match progress {
            Progress::Started { path, notes } => {
                Line::Started { pid: self.pid, path: &path.to_string_lossy(), notes }.print();
            }
            Progress::Running { elapsed, events, live_bytes, is_estimate, resident_bytes, lost } => {
                let line = Line::Running {
                    elapsed_s: elapsed.as_secs_f64(),
                    events: *events,
                    live_bytes: *live_bytes,
                    live_is_estimate: *is_estimate,
                    resident_bytes: *resident_bytes,
                    lost_events: *lost,
                };
                line.print();
            }
        }
    }

    pub(super) fn end(&self) {
        self.line.finish_and_clear();
    }

    /// Says how the recording has ended.
    pub(super) fn conclude(&self, outcome: Outcome) -> anyhow::Result<()> {
        match self.form {
            Form::Json => {
                let line = Line::Ended {
                    path: &outcome.path.to_string_lossy(),
                    reason: outcome.end.reason.name(),
                    events: outcome.end.events,
                    lost_events: outcome.end.losses.events(),
                    longest_pause_us: outcome.end.longest_pause_us,
                    children_with_hooks: outcome.children.len(),
                };
                line.print();
            }
            Form::Text => self.conclude_for_people(&outcome)?,
        }
        match outcome.residue {
            Some(error) => Err(Error::Residue(Box::new(error)).into()),
            None => Ok(()),
        }
    }

    fn conclude_for_people(&self, outcome: &Outcome) -> anyhow::Result<()> {
        if !self.is_quiet {
            summarize(outcome)?;
        }
        if !outcome.children.is_empty() {
            let (count, pid) = (outcome.children.len(), self.pid);
            say!(
                "note: {count} forked children carry hooks, which do nothing; `prof detach --children {pid}` removes them"
            );
        }
        Ok(())
    }
}

/// Tells a program of an error, which nobody need tell again.
pub(super) fn tell_error(error: anyhow::Error) -> anyhow::Error {
    let (text, hint) = (failure::line(&error), failure::hint(&error));
    Line::Error { error: &text, hint: hint.as_deref(), status: failure::status(&error) }.print();
    error.context(Told)
}

/// The screen that everybody wants first.
fn summarize(outcome: &Outcome) -> anyhow::Result<()> {
    with_profile(
        &outcome.path,
        |_| Ok(Question::default()),
        INTERVALS,
        |profile| {
            let report = StatsReport::new(profile, super::report::SITES);
            let mut out = BufWriter::new(stderr().lock());
            writeln!(out, "prof: ended ({})", outcome.end.reason.name().replace('_', " "))?;
            report.write_screen(Format::WHOLE_TEXT, &mut out)?;
            writeln!(out, "next: prof flamegraph {}", Plain(&outcome.path.display().to_string()))?;
            Ok(out.flush()?)
        },
    )
}
