//! `prof attach`.

use std::io::{BufWriter, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use prof_injector::tracee::sentry;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::background;
use super::flamegraph;
use super::recording::Recording;
use super::several;
use super::talk::{self, Form, Talk};
use super::target::{Chosen, Which};
use super::view::View;
use crate::model::EndReason;
use crate::record::{Company, Options, Outcome, Progress, Rehearsal, record, rehearse};
use crate::report::{Plain, bytes, count};

/// Record every memory allocation of a running Python process.
///
/// Nothing is installed, imported or restarted in it. The recording ends by
/// Ctrl-C, by its duration, or when the process ends; the capture is complete in
/// each case. On a terminal it is shown while it runs, as by `prof live`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof attach 4711\n  prof attach 4711 --duration 60\n  prof attach 4711 --duration 5m -o /tmp/app.prof\n  prof attach --name gunicorn\n  prof attach --name gunicorn --all --duration 60\n  prof attach --cmdline 'celery.*worker' --duration 60"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    recording: Recording,
    /// Wait for a process that is stopped (job control) or frozen, instead of refusing it.
    #[arg(long)]
    wait: bool,
    /// Only look: say what would be done, and touch nothing.
    #[arg(long, conflicts_with_all = ["duration", "max_size", "output", "force", "wait", "quiet"])]
    dry_run: bool,
    /// Write this too when the recording has ended.
    #[arg(long, value_name = "FORM")]
    report: Option<ReportForm>,
    /// How to tell on stderr what happens: for people, or one JSON object a line.
    #[arg(long, value_name = "FORM", default_value = "text", conflicts_with_all = ["quiet", "verbose"])]
    progress: Form,
    /// Do not show the recording on a full screen while it runs, only a line of progress.
    #[arg(long)]
    no_live: bool,
    /// Record on without a terminal, and return when recording has begun. What is said goes to
    /// a file beside the capture; `prof detach` ends the recording.
    #[arg(long, conflicts_with_all = ["dry_run"])]
    background: bool,
    /// Print nothing but errors and the line that says that recording has begun.
    #[arg(short, long)]
    quiet: bool,
    /// Print what is not recorded and other notes.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

/// What is written besides the capture.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ReportForm {
    /// The page of `prof flamegraph`, beside the capture.
    Html,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match (attach(arguments), arguments.progress) {
        (Err(error), Form::Json) => Err(talk::tell_error(error)),
        (result, _) => result,
    }
}

fn attach(arguments: &Arguments) -> anyhow::Result<()> {
    let recording = &arguments.recording;
    if arguments.background {
        return background::start(recording.output.as_deref(), recording.force);
    }
    if arguments.which.all {
        return attach_all(arguments);
    }
    // From here on, so that none is lost between a choice and the recording.
    let signals = Signals::listen()?;
    let Chosen { pid, start_ticks } = arguments.which.choose(recording.ring_size)?;
    let options = Options { start_ticks, wait: arguments.wait, ..recording.options(pid) };
    if arguments.dry_run {
        return tell_rehearsal(options.pid, &rehearse(&options)?);
    }
    if let (Some(ReportForm::Html), Some(capture)) = (arguments.report, &recording.output) {
        flamegraph::check_beside(capture, recording.force)?;
    }
    sentry::post();
    let talk = Talk::new(options.pid, arguments.progress, arguments.quiet, arguments.verbose);
    let mut view = View::new(talk.has_line() && !arguments.no_live, &signals.0);
    let mut tell = |progress| {
        let begun = match &progress {
            Progress::Started { path, .. } => Some(path.clone()),
            Progress::Running { .. } if view.is_shown() => return,
            Progress::Running { .. } => None,
        };
        talk.tell(progress);
        begun.into_iter().for_each(|path| view.begin(path));
    };
    let outcome = record(&options, &mut Company { stop: &|| signals.reason(), tell: &mut tell });
    view.end();
    talk.end();
    conclude(arguments, &talk, outcome?)
}

/// Says how a recording has ended, and writes what is wanted besides. What could not be taken
/// out of the process matters more than a page.
fn conclude(arguments: &Arguments, talk: &Talk, outcome: Outcome) -> anyhow::Result<()> {
    let path = outcome.path.clone();
    let concluded = talk.conclude(outcome);
    let written = arguments.report.map_or(Ok(()), |ReportForm::Html| {
        flamegraph::write_beside(&path, arguments.recording.force, arguments.progress == Form::Json)
    });
    concluded.and(written)
}

fn attach_all(arguments: &Arguments) -> anyhow::Result<()> {
    let recording = &arguments.recording;
    let chosen = arguments.which.choose_all(recording.ring_size)?;
    let of =
        |Chosen { pid, start_ticks }| Options { start_ticks, wait: arguments.wait, ..recording.options(pid) };
    let all: Vec<Options> = chosen.into_iter().map(of).collect();
    sentry::post();
    let signals = Signals::listen()?;
    let talk_of = |pid| Talk::new(pid, Form::Text, arguments.quiet, arguments.verbose).among_others();
    let conclude = |talk: &Talk, outcome| conclude(arguments, talk, outcome);
    let ended_well = several::record_each(&all, &talk_of, &|| signals.reason(), &conclude);
    anyhow::ensure!(
        ended_well == all.len(),
        "{} of {} recordings went wrong",
        all.len() - ended_well,
        all.len()
    );
    Ok(())
}

/// What would be done.
fn tell_rehearsal(pid: i32, rehearsal: &Rehearsal) -> anyhow::Result<()> {
    let Rehearsal { python, allocator, threads, entries, refused, address_space, .. } = rehearsal;
    let mut out = BufWriter::new(stdout().lock());
    writeln!(
        out,
        "process {pid} can be recorded: {python} ({allocator}), {} thread{}",
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
