//! `prof attach`.

use std::io::{BufWriter, IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prof_injector::tracee::sentry;
use prof_shared::ring::Shape;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::units;
use crate::capture::Reader;
use crate::model::EndReason;
use crate::record::{Clock, Company, Options, Outcome, Progress, Rehearsal, record, rehearse};
use crate::report::{Format, Plain, StatsReport, bytes, count};

/// Record every memory allocation of a running Python process.
///
/// Nothing is installed, imported or restarted in it. The recording ends by
/// Ctrl-C, by its duration, or when the process ends; the capture is complete in
/// each case.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof attach 4711\n  prof attach 4711 --duration 60\n  prof attach 4711 --duration 5m -o /tmp/app.prof"
)]
pub(super) struct Arguments {
    /// The process to record.
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// Stop after this time: seconds, or with a unit (90s, 5m, 1h).
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Write the capture to this file, by default `prof-<name>-<pid>-<time>.prof`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(short, long)]
    force: bool,
    /// Record each small object too: every call of Python's own allocators, not only
    /// their requests to libc. Costs more.
    #[arg(long)]
    trace_python_allocators: bool,
    /// Size of the shared ring: a larger one survives a slow disk longer.
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = units::ring_size)]
    ring_size: Shape,
    /// Order events by a shared counter instead of the processor's clock; chosen by
    /// itself where that clock is not to be trusted.
    #[arg(long, hide_short_help = true)]
    sequence_clock: bool,
    /// Wait for a process that is stopped (job control) or frozen, instead of refusing it.
    #[arg(long)]
    wait: bool,
    /// Only look: say what would be done, and touch nothing.
    #[arg(long, conflicts_with_all = ["duration", "output", "force", "wait", "quiet"])]
    dry_run: bool,
    /// Print nothing but errors and the line that says that recording has begun.
    #[arg(short, long)]
    quiet: bool,
    /// Print what is not recorded and other notes.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = Options {
        pid: arguments.pid,
        duration: arguments.duration,
        output: arguments.output.clone(),
        wait: arguments.wait,
        force: arguments.force,
        domains: arguments.trace_python_allocators,
        ring: arguments.ring_size,
        clock: if arguments.sequence_clock { Clock::Sequence } else { Clock::choose() },
    };
    if arguments.dry_run {
        return tell_rehearsal(arguments, &rehearse(&options)?);
    }
    sentry::post();
    let signals = Signals::listen()?;
    let talk = Talk::new(arguments);
    let mut company = Company { stop: &|| signals.reason(), tell: &mut |progress| talk.tell(progress) };
    let outcome = record(&options, &mut company);
    talk.end();
    let outcome = outcome?;
    if !arguments.quiet {
        summarize(&outcome)?;
    }
    if !outcome.children.is_empty() {
        let (count, pid) = (outcome.children.len(), arguments.pid);
        eprintln!(
            "note: {count} forked children carry hooks, which do nothing; `prof detach --children {pid}` removes them"
        );
    }
    match outcome.residue {
        Some(error) => Err(crate::record::Error::Residue(Box::new(error)).into()),
        None => Ok(()),
    }
}

/// What would be done.
fn tell_rehearsal(arguments: &Arguments, rehearsal: &Rehearsal) -> anyhow::Result<()> {
    let Rehearsal { python, allocator, threads, entries, refused, address_space, .. } = rehearsal;
    let mut out = BufWriter::new(stdout().lock());
    writeln!(
        out,
        "process {} can be recorded: {python} ({allocator}), {} thread{}",
        arguments.pid,
        count(*threads),
        if *threads == 1 { "" } else { "s" }
    )?;
    if rehearsal.has_remains {
        writeln!(out, "first, what a killed prof left there would be removed")?;
    }
    let stopping = entries.iter().filter(|entry| entry.way.contains("stopped")).count();
    writeln!(out, "one thread at a time would be stopped, about six times, below a millisecond each")?;
    if stopping > 0 {
        writeln!(out, "all threads would be stopped for {stopping} of the functions")?;
    }
    writeln!(out, "{} of address space would be taken, the ring included", bytes(*address_space))?;
    for entry in entries {
        let place = if entry.module.is_empty() { &entry.patch } else { &entry.module };
        writeln!(out, "  {:<18} {:<22} {}", entry.name, entry.way, Plain(place))?;
    }
    for note in refused {
        writeln!(out, "  not recorded: {}", Plain(note))?;
    }
    writeln!(out, "nothing was touched")?;
    Ok(out.flush()?)
}

/// Signals that end a recording in order.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, caught.clone(), signal as usize)?;
        }
        Ok(Signals(caught))
    }

    fn reason(&self) -> Option<EndReason> {
        match self.0.load(Relaxed) as i32 {
            SIGINT => Some(EndReason::Interrupted),
            SIGTERM => Some(EndReason::Terminated),
            SIGHUP => Some(EndReason::Hangup),
            _ => None,
        }
    }
}

/// What is said on stderr while recording.
struct Talk {
    pid: i32,
    is_verbose: bool,
    line: ProgressBar,
}

impl Talk {
    fn new(arguments: &Arguments) -> Talk {
        let shown = !arguments.quiet && stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        line.set_style(ProgressStyle::with_template("{msg}").expect("a valid template"));
        Talk { pid: arguments.pid, is_verbose: arguments.verbose, line }
    }

    fn tell(&self, progress: Progress) {
        match progress {
            Progress::Started { path, notes } => {
                let path = path.display().to_string();
                eprintln!("prof: recording pid {} to {}", self.pid, Plain(&path));
                for note in notes.iter().filter(|_| self.is_verbose) {
                    eprintln!("note: {}", Plain(note));
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

    fn end(&self) {
        self.line.finish_and_clear();
    }
}

/// The screen that everybody wants first.
fn summarize(outcome: &Outcome) -> anyhow::Result<()> {
    let reader = Reader::open(&outcome.path)?;
    let lines = super::input::line_resolver(reader.metadata());
    let report = StatsReport::new(&reader, &lines, super::report::SITES);
    let mut out = BufWriter::new(stderr().lock());
    writeln!(out, "prof: ended ({})", outcome.end.reason.name().replace('_', " "))?;
    report.write_screen(Format::WHOLE_TEXT, &mut out)?;
    writeln!(out, "next: prof stats {}", Plain(&outcome.path.display().to_string()))?;
    Ok(out.flush()?)
}
