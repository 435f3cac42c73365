//! One recording, from the first look at the target to the finished capture.

use super::absence::Absence;
use super::admit::{Admitted, admit};
use super::aggregator::Aggregator;
use super::apart::Apart;
use super::children::{Cleaned, Root, carriers, heirs, numbers, withdraw_heirs};
use super::clock::Clock;
use super::install::{Installed, install};
use super::keeper::Keeper;
use super::metadata::{self, describe};
use super::modules::Modules;
use super::pointers::Watch;
use super::safe::Judge;
use super::sink::Sink;
use super::spool::{Finished, Item, Spool};
use super::turning::Turning;
use super::withdraw::remove;
use super::{Error, Ground};
use crate::capture::Writer;
use crate::cpython::{ArenaTable, Interpreter};
use crate::inspect::{Detail, Looker, counters};
use crate::model::{End, EndReason, Losses, Metadata, Note, NoteKind, ProcessLife, Tick};
use crate::record::ring::{self, Eagerness};
use prof_injector::call::{Caller, Held};
use prof_injector::failpoint::panic_point;
use prof_injector::process::Process;
use prof_injector::tracee::Pause;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The longest time between two looks at the ring.
const LONGEST_NAP: Duration = Duration::from_millis(10);
const SHORTEST_NAP: Duration = Duration::from_micros(200);
/// After a drain of so many bytes the next look comes soon.
const MUCH_BYTES: usize = 256 << 10;
/// Remainders of open chunks are drained so often.
const SWEEP: Duration = Duration::from_millis(250);
/// How long a process may take from dropping its memory to its end.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);
/// So often the progress is told and the resident set is read.
const SAMPLE: Duration = Duration::from_secs(1);
/// The last look at the resident set is waited for so long.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// What to record.
pub struct Options {
    /// The target.
    pub pid: i32,
    /// When it was started, where that is known: another process of that pid is refused.
    pub start_ticks: Option<u64>,
    /// How long; until something else ends it if `None`.
    pub duration: Option<Duration>,
    /// With so many bytes in the capture it ends, or becomes one with figures only.
    pub max_bytes: Option<u64>,
    /// Whether events are kept, or only figures.
    pub aggregation: Aggregation,
    /// In a capture with figures only, at first, the length of the intervals of its history.
    pub interval: Duration,
    /// Where to; a name made from the target's if `None`.
    pub output: Option<PathBuf>,
    /// Whether a process that is stopped is waited for, instead of refused.
    pub wait: bool,
    /// Whether a file there is replaced.
    pub force: bool,
    /// Whether CPython's own allocators are recorded, not only their requests to libc.
    pub domains: bool,
    /// The ring's size.
    pub ring: prof_shared::ring::Shape,
    /// Whether processes that it forks are recorded, too.
    pub follows: bool,
    /// Whether stacks have native frames.
    pub native: bool,
    /// Only samples of the blocks are recorded, so many bytes apart on average.
    pub sample: Option<u64>,
    /// What moments are taken from.
    pub clock: Clock,
    /// If it is a child of ours, what it waits in until its recording has begun.
    pub held: Option<Held>,
}

/// When events are not kept any more, but only what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// They are always kept.
    Never,
    /// As soon as the capture has the most bytes that it may have.
    WhenFull,
    /// From the start.
    Always,
}

/// What is told while recording.
pub enum Progress {
    /// Every hook is live.
    Started {
        /// The capture.
        path: PathBuf,
        /// Functions that are not recorded, and other notes.
        notes: Vec<String>,
    },
    /// So it stands.
    Running {
        /// Since the start.
        elapsed: Duration,
        /// Events recorded.
        events: u64,
        /// Bytes live in blocks allocated since.
        live_bytes: u64,
        /// Whether that is an estimate.
        is_estimate: bool,
        /// Resident set of the target.
        resident_bytes: u64,
        /// Events lost.
        lost: u64,
    },
}

/// How a recording ended.
pub struct Outcome {
    /// The capture.
    pub path: PathBuf,
    /// As it stands in the capture.
    pub end: End,
    /// Children that it forked meanwhile and that carry hooks, which do nothing.
    pub children: Vec<i32>,
    /// What could not be taken out of the target, if so.
    pub residue: Option<Error>,
}

/// What the recording asks and tells while it runs.
pub struct Company<'a> {
    /// Whether somebody wants it to end, and how.
    pub stop: &'a dyn Fn() -> Option<EndReason>,
    /// Hears how it goes.
    pub tell: &'a mut dyn FnMut(Progress),
}

/// Records until somebody wants it to stop, or one of the other ends comes.
pub fn record(options: &Options, company: &mut Company) -> Result<Outcome, Error> {
    let Admitted { ground, lock: _lock, what } = admit(options, company.stop)?;
    let python = &what.python;
    let mut judge = Judge::new(&ground, &[])?;
    let start = options.clock.read();
    let mut about = describe(&ground, python, options, &start);
    let path = options.output.clone().unwrap_or_else(|| metadata::default_path(&ground, &start));
    let writer = Writer::create(&path, options.force, &about)?;
    let begun = writer.begun().map_err(Error::io("looking at the capture"))?;
    let (sink, turning) = sink(writer, &about, options).map_err(Error::io("looking at the capture"))?;
    let spool = Spool::start(sink, turning).map_err(Error::io("starting a thread"))?;
    let mut enter = || {
        let caller = Caller::new(&ground.process, &ground.maps, &ground.modules)?;
        install(&ground, &caller, &mut judge, &what, options.ring, options.clock)
    };
    let installed = match enter() {
        Ok(installed) => installed,
        Err(error) => {
            begun.remove();
            return Err(match error {
                Error::NotTakenBack { .. } | Error::Refused { .. } | Error::TargetGone { .. } => error,
                why => Error::Undone { pid: options.pid, why: Box::new(why) },
            });
        }
    };
    metadata::add_installed(&mut about, &installed);
    spool.put(Item::Metadata(Box::new(about.clone())));
    let keeper = Keeper::new(&ground, installed.region.clone());
    let looker = start_looker(&ground, python, &installed);
    let root = Root { pid: options.pid, own_pid: ground.own_pid().unwrap_or(options.pid as u32) };
    let watch = Watch::new(&ground, &installed.region, &installed.pointers);
    Session {
        ground: &ground,
        options,
        installed,
        keeper,
        watch,
        looker,
        spool,
        about,
        path,
        absence: Absence::default(),
        root,
        root_end: None,
        silence: (Tick(0), HashSet::new()),
    }
    .run(company)
}

/// Where it goes, and if need be how that changes.
fn sink(
    writer: Writer,
    about: &Metadata,
    options: &Options,
) -> std::io::Result<(Box<dyn Sink>, Option<Turning>)> {
    let Options { aggregation, max_bytes, interval, clock, .. } = *options;
    Ok(match (aggregation, max_bytes) {
        (Aggregation::Always, _) => {
            let capture = writer.begun()?;
            let sink = Box::new(Aggregator::new(capture, about, interval, clock));
            (Box::new(Apart::start(sink)?), None)
        }
        (Aggregation::WhenFull, Some(max)) => {
            let turning = Turning::at(&writer, max, interval, clock)?;
            (Box::new(writer), Some(turning))
        }
        _ => (Box::new(writer), None),
    })
}

/// Without it there are no categories of the resident set.
fn start_looker(ground: &Ground, python: &Interpreter, installed: &Installed) -> Option<Looker> {
    let process = Process::open(ground.process.pid()).ok()?;
    let table =
        ground.module_of(python).and_then(|module| ArenaTable::find(python, &process.memory(), module));
    let region = installed.region.base()..installed.region.base() + installed.region.total_bytes();
    Looker::start(process, table, region).ok()
}

/// What was drained since everything was drained last.
struct Round {
    began: Instant,
    bytes: usize,
}

impl Round {
    /// Who folds keeps a few rounds in memory: where much comes they are shorter than a sweep.
    fn is_over(&self, now: Instant) -> bool {
        /// So long a thread may be held up inside of a hook, at least, and be in order.
        const SHORTEST: Duration = Duration::from_millis(50);
        const MAX_BYTES: usize = 6 << 20;
        self.bytes >= MAX_BYTES && now - self.began >= SHORTEST
    }
}

struct Session<'g> {
    ground: &'g Ground,
    options: &'g Options,
    installed: Installed<'g>,
    keeper: Keeper<'g>,
    watch: Watch<'g>,
    looker: Option<Looker>,
    spool: Spool,
    about: Metadata,
    path: PathBuf,
    absence: Absence,
    root: Root,
    /// How the process has ended, while others that it forked go on.
    root_end: Option<EndReason>,
    /// When all were told to stop, and which of those that it forked were there.
    silence: (Tick, HashSet<u32>),
}

impl Session<'_> {
    fn run(mut self, company: &mut Company) -> Result<Outcome, Error> {
        for text in &self.installed.refused {
            self.spool.put(Item::Note(Note {
                kind: NoteKind::Refusal,
                text: text.clone(),
                ..Note::default()
            }));
        }
        let modules = self.installed.modules.iter().flat_map(Modules::all);
        modules.for_each(|module| self.spool.put(Item::Module(module.clone())));
        let tries = self.installed.tries;
        let mut notes = self.installed.refused.clone();
        notes.push(format!("a thread was at a safe point at look {tries}"));
        (company.tell)(Progress::Started { path: self.path.clone(), notes });
        self.ask(Detail::Thorough);
        let reason = self.watch(Instant::now(), company);
        self.note_names();
        self.look_once_more();
        let residue = self.leave(reason);
        self.finish(reason, residue)
    }

    /// Drains until something ends the recording.
    fn watch(&mut self, began: Instant, company: &mut Company) -> EndReason {
        let (mut swept, mut sampled) = (began, None);
        let mut round = Round { began, bytes: 0 };
        let mut nap = SHORTEST_NAP;
        loop {
            panic_point("recorder");
            let now = Instant::now();
            self.watch_ourselves();
            self.beat();
            let sweep = now - swept >= SWEEP;
            swept = if sweep { now } else { swept };
            let ends_round = sweep || round.is_over(now);
            let drained = self.drain(if ends_round { Eagerness::Everything } else { Eagerness::Batches });
            self.keeper.keep(&self.installed.ring, sweep);
            round.bytes += drained.unwrap_or(0);
            if ends_round && drained.is_some() {
                self.spool.put(Item::Round);
                round = Round { began: now, bytes: 0 };
            }
            if sweep {
                self.watch_pointers();
                self.watch_family();
            }
            self.watch_modules();
            self.take_look(Duration::ZERO);
            if sampled.is_none_or(|last| now - last >= SAMPLE) {
                sampled = Some(now);
                (company.tell)(self.sample(now - began));
            }
            if let Some(reason) = (company.stop)().or_else(|| self.ended(now - began, sweep)) {
                return reason;
            }
            let was_much = drained.is_some_and(|bytes| bytes > MUCH_BYTES);
            nap = if was_much { SHORTEST_NAP } else { (nap * 2).min(LONGEST_NAP) };
            if self.root_end.is_some() {
                std::thread::sleep(nap);
            } else if self.ground.process.wait_exit(nap).unwrap_or(true) {
                let reason = metadata::end_of(&self.ground.process);
                if self.is_last(reason) {
                    return reason;
                }
            }
        }
    }

    /// Hands over what there is; its bytes. `None` if the queue is full.
    fn drain(&mut self, eagerness: Eagerness) -> Option<usize> {
        let has_room = !self.spool.is_full();
        has_room.then(|| self.installed.ring.drain(eagerness, |piece| self.spool.put(Item::Piece(piece))))
    }

    /// Tells the target that it may wait for room, unless there will be none: while the
    /// disk is slow nothing is drained.
    fn beat(&self) {
        let (ring, clock) = (&self.installed.ring, self.options.clock);
        match self.spool.is_full() {
            true => drop(ring.set_clock(clock)),
            false => ring.beat(clock),
        }
    }

    /// Says so if the ring was not emptied for long.
    fn watch_ourselves(&mut self) {
        let losses = self.installed.ring.losses();
        let note = self.absence.look(self.installed.opened.elapsed(), losses, self.spool.is_full());
        if let Some(note) = note {
            self.spool.put(Item::Note(note));
        }
    }

    /// Nanoseconds since the hooks went live.
    fn now_ns(&self) -> u64 {
        self.installed.opened.elapsed().as_nanos() as u64
    }

    /// Begins a look at the resident set; false if it is not the time for one.
    fn ask(&mut self, detail: Detail) -> bool {
        let t_ns = self.now_ns();
        self.looker.as_mut().is_some_and(|looker| looker.ask(t_ns, detail))
    }

    fn take_look(&mut self, wait: Duration) {
        if let Some(sample) = self.looker.as_mut().and_then(|looker| looker.take(wait)) {
            self.spool.put(Item::Rss(sample));
        }
    }

    /// Looks at the resident set as it is at the end, and goes on draining meanwhile.
    fn look_once_more(&mut self) {
        let until = Instant::now() + LAST_LOOK;
        let mut is_asked = false;
        while self.looker.is_some() && Instant::now() < until {
            is_asked = is_asked || self.ask(Detail::Thorough);
            self.take_look(SHORTEST_NAP);
            if is_asked && !self.looker.as_ref().is_some_and(Looker::is_busy) {
                return;
            }
            self.beat();
            self.drain(Eagerness::Batches);
        }
    }

    /// Says so if somebody has put functions of their own in the place of ours.
    fn watch_pointers(&mut self) {
        let Some(kind) = self.watch.lost() else { return };
        let seconds = self.installed.opened.elapsed().as_secs_f64();
        let name = kind.name();
        let text =
            format!("the process replaced {name} at {seconds:.1} s: calls of its kind are missing since");
        self.spool.put(Item::Note(Note { kind: NoteKind::Loss, text, ..Note::default() }));
    }

    /// Takes note of modules that came or went.
    fn watch_modules(&mut self) {
        let now_ns = self.now_ns();
        let Some(modules) = &mut self.installed.modules else { return };
        let changed = modules.look(&self.ground.process, now_ns);
        changed.into_iter().for_each(|module| self.spool.put(Item::Module(module)));
    }

    fn note_names(&mut self) {
        let t_ns = self.now_ns();
        self.keeper.new_names(t_ns).into_iter().for_each(|name| self.spool.put(Item::Thread(name)));
    }

    fn sample(&mut self, elapsed: Duration) -> Progress {
        let t_ns = self.now_ns();
        let counters = counters(&self.ground.process, t_ns).unwrap_or_default();
        let resident_bytes = counters.resident_bytes;
        if !self.ask(Detail::Usual) && resident_bytes > 0 {
            self.spool.put(Item::Rss(counters));
        }
        self.note_names();
        let (shown, losses) = (self.spool.shown(), self.installed.ring.losses());
        Progress::Running {
            elapsed,
            events: shown.events.load(Relaxed),
            live_bytes: shown.live_bytes.load(Relaxed),
            is_estimate: shown.is_estimate.load(Relaxed),
            resident_bytes,
            lost: losses.events(),
        }
    }

    fn ended(&mut self, elapsed: Duration, look_closer: bool) -> Option<EndReason> {
        if self.options.duration.is_some_and(|duration| elapsed >= duration) {
            return Some(EndReason::Duration);
        }
        if self.spool.has_failed() {
            return Some(EndReason::DiskFull);
        }
        let written = self.spool.shown().written_bytes.load(Relaxed);
        let ends_when_full = self.options.aggregation != Aggregation::WhenFull;
        if ends_when_full && self.options.max_bytes.is_some_and(|max| written >= max) {
            // Nothing comes from now on but what waits.
            self.installed.ring.silence();
            return Some(EndReason::MaxSize);
        }
        if look_closer && self.installed.ring.is_asked_back() {
            return Some(EndReason::Interrupted);
        }
        if let Some(reason) = self.root_end {
            return (look_closer && self.is_last(reason)).then_some(reason);
        }
        let reason = (look_closer && !self.region_stands()).then(|| self.why_region_is_gone())?;
        self.is_last(reason).then_some(reason)
    }

    /// Whether nobody records any more now that the first process does not: what it forked
    /// goes on.
    fn is_last(&mut self, reason: EndReason) -> bool {
        self.root_end = Some(reason);
        let has_heirs = || heirs(self.root).is_ok_and(|heirs| !heirs.is_empty());
        !self.options.follows || self.keeper.family.is_empty() && !has_heirs()
    }

    /// Takes note of children that began, and of those that are gone.
    fn watch_family(&mut self) {
        if self.options.follows {
            self.spool.births().for_each(|born| self.keeper.family.add(born));
            let now = Tick(self.options.clock.read().ticks);
            self.keeper.family.gone().into_iter().for_each(|gone| self.spool.put(Item::Ended(gone, now)));
        }
    }

    /// An `exec` brings new mappings; an exit drops them some time before the process
    /// counts as exited.
    fn why_region_is_gone(&self) -> EndReason {
        let process = &self.ground.process;
        // One that may not be looked at any more is a set-user-id program now.
        let is_bare = process.maps().is_ok_and(|maps| maps.0.is_empty());
        match is_bare && process.wait_exit(EXIT_PATIENCE).unwrap_or(true) {
            true => metadata::end_of(process),
            false if process.is_alive() => EndReason::TargetExec,
            false => metadata::end_of(process),
        }
    }

    /// Whether the region is still in the target: an `exec` drops it.
    fn region_stands(&self) -> bool {
        let magic = self.installed.region.at(prof_shared::region::HEADER);
        self.ground.process.memory().read_u64(magic).is_ok_and(|word| word == prof_shared::region::MAGIC)
    }

    /// Takes everything out of the target, unless it is gone, and drains the rest.
    fn leave(&mut self, reason: EndReason) -> Option<Error> {
        let is_gone =
            matches!(reason, EndReason::TargetExited | EndReason::TargetKilled | EndReason::TargetExec);
        if self.options.follows {
            // All stop at one moment.
            self.installed.ring.silence();
            self.silence = (Tick(self.options.clock.read().ticks), numbers(self.root));
        }
        let mut result = if is_gone { Ok(()) } else { self.withdraw_stubbornly() };
        if self.options.follows {
            result = result.and(self.withdraw_heirs());
        }
        self.installed.ring.drain(Eagerness::Everything, |piece| self.spool.put(Item::Piece(piece)));
        match result {
            Ok(()) => None,
            Err(error @ Error::Heirs { .. }) => Some(error),
            Err(_) if !self.ground.process.is_alive() || !self.region_stands() => None,
            Err(error) => Some(error),
        }
    }

    /// Takes everything out of those that it forked.
    fn withdraw_heirs(&self) -> Result<(), Error> {
        let mut failed = withdraw_heirs(self.root)?;
        match failed.pop() {
            Some(Cleaned { pid, error: Some(why) }) => {
                Err(Error::Heirs { pid, more: failed.len(), why: Box::new(why) })
            }
            _ => Ok(()),
        }
    }

    /// Each step can be repeated: what failed by chance is tried once more.
    fn withdraw_stubbornly(&self) -> Result<(), Error> {
        match self.withdraw() {
            Err(error @ Error::StillInside { .. }) => Err(error),
            Err(_) => self.withdraw(),
            done => done,
        }
    }

    fn withdraw(&self) -> Result<(), Error> {
        let ground = self.ground.anew()?;
        match self.region_stands() {
            true => remove(&ground, &self.installed.region).map(drop),
            false => Err(Error::Unexpected("the target executed another program")),
        }
    }

    fn finish(mut self, reason: EndReason, residue: Option<Error>) -> Result<Outcome, Error> {
        let now = self.options.clock.read();
        self.about.clock.ticks_per_second = self.installed.opened.rate(&now) as u64;
        let losses = self.installed.ring.losses();
        let finished = self.spool.finish();
        let end = End {
            reason,
            unix_ns: now.unix_ns,
            events: finished.events,
            longest_pause_us: Pause::longest_by_this_thread().0.as_micros() as u64,
            losses: in_model(&losses, &finished, self.about.clock.ticks_per_second),
        };
        let mut sink = finished.sink;
        if let Some(modules) = &self.installed.modules {
            let _full_disk = sink.native_places(&modules.resolve(&finished.places));
        }
        let (silence, living) = &self.silence;
        for life in finished.processes.iter().filter(|life| !living.contains(&life.number)) {
            let _full_disk = sink.process(&ProcessLife { ended_tick: silence.0, ..life.clone() });
        }
        let children = carriers(&self.ground.process);
        if !children.is_empty() {
            let text = format!("{} forked children carry hooks, which do nothing", children.len());
            let _full_disk = sink.note(&Note { kind: NoteKind::Other, text, ..Note::default() });
        }
        if self.keeper.family.executed > 0 {
            let text = format!(
                "{} forked processes executed other programs, which are not recorded",
                self.keeper.family.executed
            );
            let _full_disk = sink.note(&Note { kind: NoteKind::Other, text, ..Note::default() });
        }
        if let Some(error) = &residue {
            let note = Note { kind: NoteKind::SoftError, text: error.to_string(), ..Note::default() };
            let _full_disk = sink.note(&note);
        }
        let _full_disk = sink.metadata(&self.about);
        sink.finish(&end)?;
        match finished.error {
            Some(error) if !matches!(error, crate::capture::Error::Full(_)) => Err(error.into()),
            _ => Ok(Outcome { path: self.path, end, children, residue }),
        }
    }
}

fn in_model(losses: &ring::Losses, finished: &Finished, ticks_per_second: u64) -> Losses {
    let waited_us = u128::from(losses.waited_ticks) * 1_000_000 / u128::from(ticks_per_second.max(1));
    Losses {
        allocations: losses.allocations,
        frees: losses.frees,
        threadless: losses.threadless,
        nested: losses.nested,
        truncated_stacks: losses.truncated,
        unreadable_stacks: losses.unreadable,
        waited_us: waited_us as u64,
        codes: finished.refused_codes,
        cut_texts: losses.texts,
        chunks: finished.damaged_chunks,
        unwritten: finished.unwritten,
    }
}
