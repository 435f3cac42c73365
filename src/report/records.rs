//! Every record of a capture, one a line, in the order of time.
//!
//! What has no moment comes first (metadata, code objects), the ending last.

use hashbrown::HashMap;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::Format;
use super::json;
use super::native;
use super::place::{LineResolver, Place, Places};
use super::plain::Plain;
use crate::analysis::{Aggregate, Figures, Site, Sum, weight};
use crate::capture::{Events, Reader};
use crate::model::{
    Clock, CodeObject, End, Event, Frame, Metadata, NativeModule, Note, NoteKind, ProcessId, ProcessLife,
    RssSample, StackId, Stacks, ThreadName, ThreadSerial, Tick, Tid, What,
};

/// Writes the records of a capture.
pub struct Records<'a> {
    reader: &'a Reader,
    format: Format,
    places: Places<'a>,
    /// Frames as they are printed.
    frames: HashMap<Frame, String>,
    /// When the unfinished call of a thread began.
    began: HashMap<ThreadSerial, Tick>,
    /// The interval between samples of each thread of which only samples were recorded.
    sampling: HashMap<ThreadSerial, u64>,
    /// Of each process, if there are several.
    pids: HashMap<ProcessId, u32>,
    line: String,
}

/// A record that is not an event.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Other<'a> {
    Metadata(&'a Metadata),
    Code { id: u32, name: &'a str, qualified_name: &'a str, file: &'a str, first_line: u32 },
    Module(&'a NativeModule),
    Thread(&'a ThreadName),
    Process { process: u32, parent: u32, pid: u32, began_ns: u64, ended_ns: Option<u64> },
    Rss(&'a RssSample),
    Note { note: NoteKind, text: &'a str, from_ns: u64, to_ns: u64, allocations: u64, frees: u64 },
    End(&'a End),
}

impl<'a> Records<'a> {
    /// For all of `reader`.
    pub fn new(reader: &'a Reader, lines: LineResolver<'a>, format: Format) -> Records<'a> {
        let places = Places::new(reader, lines);
        let pids = pids(reader);
        let (frames, began, sampling) = (HashMap::new(), HashMap::new(), HashMap::new());
        Records { reader, format, places, frames, began, sampling, pids, line: String::new() }
    }

    /// Writes them.
    pub fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.other(&Other::Metadata(self.reader.metadata()), out)?;
        for code in self.reader.codes() {
            self.other(&Other::from(code), out)?;
        }
        for module in self.reader.modules().values() {
            self.other(&Other::Module(module), out)?;
        }
        let timed = timed(self.reader);
        let mut timed = timed.iter().peekable();
        let mut events = self.reader.events();
        while let Some(event) = events.next() {
            let t_ns = self.clock().nanos(event.at);
            while let Some((_, other)) = timed.next_if(|(when, _)| *when <= t_ns) {
                self.other(other, out)?;
            }
            self.event(&event, t_ns, &events, out)?;
        }
        for (_, other) in timed {
            self.other(other, out)?;
        }
        let damaged = self.sites(out)?;
        self.damage(damaged.saturating_add(events.damaged_chunks()), out)?;
        self.reader.end().map_or(Ok(()), |end| self.other(&Other::End(end), out))
    }

    fn clock(&self) -> &'a Clock {
        &self.reader.metadata().clock
    }

    fn damage(&self, chunks: u64, out: &mut dyn Write) -> io::Result<()> {
        if chunks == 0 {
            return Ok(());
        }
        let text = format!("{chunks} chunks are damaged; what they held after the damage is missing");
        self.other(&Other::from(&Note { kind: NoteKind::Damage, text, ..Note::default() }), out)
    }

    fn event(
        &mut self,
        event: &Event,
        t_ns: u64,
        events: &Events<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if matches!(event.what, What::ReallocBegin { .. } | What::MremapBegin { .. }) {
            self.began.insert(event.thread, event.at);
            return Ok(());
        }
        if let What::Sampling { interval } = event.what
            && self.sampling.insert(event.thread, interval) == Some(interval)
        {
            return Ok(());
        }
        let before = self.began.remove(&event.thread).map(|at| self.clock().nanos(at)).unwrap_or(t_ns);
        self.line.clear();
        let pid = self.pids.get(&event.process).copied();
        let since = since(event).map(|at| self.clock().nanos(at));
        let fields = Fields { event, pid, t_ns, before, since, weight: self.weight(event) };
        match self.format {
            Format::Json => fields.json(&mut self.line),
            Format::Text { .. } => fields.text(&mut self.line),
        }
        .map_err(io::Error::other)?;
        if event.what.begins().is_some() {
            self.stack(event.stack, events.stacks())?;
        }
        self.line.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
        out.write_all(self.line.as_bytes())
    }

    /// How many blocks a sample stands for.
    fn weight(&self, event: &Event) -> Option<f64> {
        let interval = *self.sampling.get(&event.thread)?;
        let (kind, _, size) = event.what.begins()?;
        (!kind.is_mapping()).then(|| weight(interval, size))
    }

    /// Where events were not kept: what became of them, by who allocated from where. Chunks that
    /// are damaged.
    fn sites(&mut self, out: &mut dyn Write) -> io::Result<u64> {
        if !self.reader.is_aggregated() {
            return Ok(0);
        }
        let aggregate = Aggregate::of_file(self.reader.aggregate());
        let whose = |&(thread, tid, process)| (thread, (tid, process));
        let whose: HashMap<_, _> = aggregate.threads.iter().map(whose).collect();
        for (site, figures) in &aggregate.totals.sites {
            let (tid, process) = whose.get(&site.thread).copied().unwrap_or_default();
            let pid = self.pids.get(&process).map(|&pid| (pid, process));
            let fields = SiteFields { site, tid, pid, figures };
            self.line.clear();
            match self.format {
                Format::Json => fields.json(&mut self.line),
                Format::Text { .. } => fields.text(&mut self.line),
            }
            .map_err(io::Error::other)?;
            self.stack(site.stack, &aggregate.stacks)?;
            self.line.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
            out.write_all(self.line.as_bytes())?;
        }
        Ok(aggregate.damaged_chunks)
    }

    fn stack(&mut self, stack: StackId, stacks: &Stacks) -> io::Result<()> {
        let (open, between, close) = match self.format {
            Format::Json => (",\"stack\":[", ",", "]"),
            Format::Text { .. } => ("  ", " < ", ""),
        };
        if self.format != Format::Json && stack == StackId::EMPTY {
            return Ok(());
        }
        self.line.push_str(open);
        for (index, frame) in stacks.frames(stack).enumerate() {
            if index > 0 {
                self.line.push_str(between);
            }
            if let Some(known) = self.frames.get(&frame) {
                self.line.push_str(known);
                continue;
            }
            let text = self.frame(frame, between)?;
            self.line.push_str(&text);
            self.frames.insert(frame, text);
        }
        self.line.push_str(close);
        Ok(())
    }

    /// A frame as it is printed: several, if others were compiled into it.
    fn frame(&mut self, frame: Frame, between: &str) -> io::Result<String> {
        let native = native::of(self.reader, frame).filter(|_| self.format == Format::Json);
        let texts: Vec<String> = match native {
            Some(native) => native.objects().iter().map(json::text).collect::<io::Result<_>>()?,
            None => {
                let text = |place: &Place| match self.format {
                    Format::Json => json::text(&(&place.function, place.file, place.line)),
                    Format::Text { .. } => Ok(place.plain()),
                };
                self.places.places(frame).iter().rev().map(text).collect::<io::Result<_>>()?
            }
        };
        Ok(texts.join(between))
    }

    fn other(&self, other: &Other<'_>, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Format::Json => json::write_line(out, other),
            Format::Text { .. } => writeln!(out, "{}", other.text()?),
        }
    }
}

/// The pid of every process; nothing if there is only one.
fn pids(reader: &Reader) -> HashMap<ProcessId, u32> {
    let mut pids: HashMap<_, _> =
        reader.processes().map(|process| (ProcessId(process.number), process.pid)).collect();
    if !pids.is_empty() {
        pids.insert(ProcessId::ROOT, reader.metadata().pid);
    }
    pids
}

/// With addresses as the process has them.
fn in_its_process(process: ProcessId, what: What) -> What {
    let own = |addr| process.own_addr(addr);
    match what {
        What::Alloc { kind, addr, size } => What::Alloc { kind, addr: own(addr), size },
        What::Free { kind, addr } => What::Free { kind, addr: own(addr) },
        What::Realloc { kind, old_addr, addr, size } => {
            What::Realloc { kind, old_addr: own(old_addr), addr: own(addr), size }
        }
        What::Mremap { old_addr, old_size, addr, size, flags } => {
            What::Mremap { old_addr: own(old_addr), old_size, addr: own(addr), size, flags }
        }
        What::Munmap { addr, size } => What::Munmap { addr: own(addr), size },
        What::ReallocBegin { .. } | What::MremapBegin { .. } | What::ProcessEnd => what,
        What::Lost { .. } | What::Sampling { .. } | What::Passed { .. } => what,
    }
}

fn since(event: &Event) -> Option<Tick> {
    match event.what {
        What::Lost { since, .. } => Some(since),
        _ => None,
    }
}

/// Thread names, samples and notes by time.
fn timed(reader: &Reader) -> Vec<(u64, Other<'_>)> {
    let threads = reader.threads().iter().map(|thread| (thread.t_ns, Other::Thread(thread)));
    let samples = reader.rss().iter().map(|sample| (sample.t_ns, Other::Rss(sample)));
    let notes = reader.notes().iter().map(|note| (note.from_ns, Other::from(note)));
    let clock = &reader.metadata().clock;
    let processes = reader.processes().map(|life| {
        let began_ns = clock.nanos(Tick(life.began_tick));
        let ended_ns = (life.ended_tick > 0).then(|| clock.nanos(Tick(life.ended_tick)));
        let ProcessLife { number, parent, pid, .. } = *life;
        (began_ns, Other::Process { process: number, parent, pid, began_ns, ended_ns })
    });
    let mut timed: Vec<_> = processes.chain(threads).chain(samples).chain(notes).collect();
    timed.sort_by_key(|(when, _)| *when);
    timed
}

/// An event with its times in nanoseconds. Its parts are numbers and fixed names,
/// so that JSON needs no escaping.
struct Fields<'a> {
    event: &'a Event,
    pid: Option<u32>,
    t_ns: u64,
    before: u64,
    since: Option<u64>,
    weight: Option<f64>,
}

impl Fields<'_> {
    fn kind(&self) -> &'static str {
        match self.event.what {
            What::Alloc { kind, .. } | What::Realloc { kind, .. } => kind.name(),
            What::Free { kind, .. } => kind.name(),
            What::Mremap { .. } => "mremap",
            What::Munmap { .. } => "munmap",
            What::ProcessEnd => "process_end",
            What::Lost { .. } => "lost",
            What::Sampling { .. } => "sampling",
            What::Passed { .. } => "passed",
            What::ReallocBegin { .. } => "realloc_begin",
            What::MremapBegin { .. } => "mremap_begin",
        }
    }

    /// Without the closing brace.
    fn json(&self, line: &mut String) -> std::fmt::Result {
        let Event { process, tid, thread, what, .. } = *self.event;
        let (kind, t_ns, before) = (self.kind(), self.t_ns, self.before);
        write!(line, r#"{{"kind":"{kind}","t_ns":{t_ns},"tid":{},"thread":{}"#, tid.0, thread.0)?;
        if let Some(pid) = self.pid {
            write!(line, r#","pid":{pid},"process":{}"#, process.0)?;
        }
        match in_its_process(process, what) {
            What::Alloc { addr, size, .. } | What::Munmap { addr, size } => {
                write!(line, r#","addr":"{addr}","size":{size}"#)
            }
            What::Free { addr, .. } => write!(line, r#","addr":"{addr}""#),
            What::Realloc { old_addr, addr, size, .. } => {
                write!(line, r#","before_ns":{before},"old_addr":"{old_addr}","addr":"{addr}","size":{size}"#)
            }
            What::Mremap { old_addr, old_size, addr, size, flags } => {
                write!(line, r#","before_ns":{before},"old_addr":"{old_addr}","old_size":{old_size}"#)?;
                write!(line, r#","addr":"{addr}","size":{size},"flags":{flags}"#)
            }
            What::Lost { allocations, frees, .. } => {
                let since = self.since.unwrap_or(t_ns);
                write!(line, r#","since_ns":{since},"allocations":{allocations},"frees":{frees}"#)
            }
            What::Sampling { interval } => write!(line, r#","interval":{interval}"#),
            What::Passed { allocations, bytes } => {
                write!(line, r#","allocations":{allocations},"bytes":{bytes}"#)
            }
            What::ReallocBegin { .. } | What::MremapBegin { .. } | What::ProcessEnd => Ok(()),
        }?;
        self.weight.map_or(Ok(()), |weight| write!(line, r#","weight":{weight}"#))
    }

    fn text(&self, line: &mut String) -> std::fmt::Result {
        let Event { process, tid, what, .. } = *self.event;
        let (seconds, nanos) = (self.t_ns / 1_000_000_000, self.t_ns % 1_000_000_000);
        write!(line, "{seconds:>5}.{nanos:09}  {:>7}  {:<14}  ", tid.0, self.kind())?;
        if let Some(pid) = self.pid {
            write!(line, "pid {pid}  ")?;
        }
        match in_its_process(process, what) {
            What::Alloc { addr, size, .. } | What::Munmap { addr, size } => write!(line, "{addr}  {size}"),
            What::Free { addr, .. } => write!(line, "{addr}"),
            What::Realloc { old_addr, addr, size, .. } => write!(line, "{old_addr} -> {addr}  {size}"),
            What::Mremap { old_addr, old_size, addr, size, flags } => {
                write!(line, "{old_addr}  {old_size} -> {addr}  {size}  flags {flags}")
            }
            What::Lost { allocations, frees, .. } => write!(line, "{allocations} allocations, {frees} frees"),
            What::Sampling { interval } => write!(line, "a sample every {interval} bytes"),
            What::Passed { allocations, bytes } => write!(line, "{allocations} allocations, {bytes} bytes"),
            What::ReallocBegin { .. } | What::MremapBegin { .. } | What::ProcessEnd => Ok(()),
        }?;
        self.weight.map_or(Ok(()), |weight| write!(line, "  for {weight:.1}"))
    }
}

/// What became of the events of a site. Its parts are numbers and fixed names.
struct SiteFields<'a> {
    site: &'a Site,
    tid: Tid,
    /// Where there are several processes.
    pid: Option<(u32, ProcessId)>,
    figures: &'a Figures,
}

impl SiteFields<'_> {
    fn named(&self) -> [(&'static str, Sum); 4] {
        let Figures { made, temporary, peak, live, .. } = *self.figures;
        [("made", made), ("temporary", temporary), ("peak", peak), ("live", live)]
    }

    /// Without the closing brace.
    fn json(&self, line: &mut String) -> std::fmt::Result {
        let (function, thread, Tid(tid)) = (self.site.kind.name(), self.site.thread.0, self.tid);
        write!(line, r#"{{"kind":"site","function":"{function}","tid":{tid},"thread":{thread}"#)?;
        if let Some((pid, process)) = self.pid {
            write!(line, r#","pid":{pid},"process":{}"#, process.0)?;
        }
        self.named().iter().try_for_each(|(name, Sum { bytes, blocks })| {
            write!(line, r#","{name}_bytes":{bytes},"{name}_blocks":{blocks}"#)
        })
    }

    fn text(&self, line: &mut String) -> std::fmt::Result {
        write!(line, "site  {:>7}  {:<14}", self.tid.0, self.site.kind.name())?;
        if let Some((pid, _)) = self.pid {
            write!(line, "  pid {pid}")?;
        }
        let figures = self.named();
        figures
            .iter()
            .try_for_each(|(name, Sum { bytes, blocks })| write!(line, "  {name} {bytes} in {blocks}"))
    }
}

impl<'a> From<&'a CodeObject> for Other<'a> {
    fn from(code: &'a CodeObject) -> Self {
        Other::Code {
            id: code.id.0,
            name: &code.name,
            qualified_name: &code.qualified_name,
            file: &code.file,
            first_line: code.first_line,
        }
    }
}

impl<'a> From<&'a Note> for Other<'a> {
    fn from(note: &'a Note) -> Self {
        let Note { kind, from_ns, to_ns, allocations, frees, .. } = *note;
        Other::Note { note: kind, text: &note.text, from_ns, to_ns, allocations, frees }
    }
}

impl Other<'_> {
    fn text(&self) -> io::Result<String> {
        Ok(match self {
            Other::Metadata(metadata) => format!("metadata  {}", json::text(metadata)?),
            Other::Code { id, name, qualified_name, file, first_line } => {
                let name = if qualified_name.is_empty() { name } else { qualified_name };
                format!("code  {id}  {} ({}:{first_line})", Plain(name), Plain(file))
            }
            Other::Module(module) => {
                format!("module  {}  {}  {}", module.id, Plain(&module.path), module.build_id)
            }
            Other::Thread(thread) => format!("thread  {}  {}", thread.tid, Plain(&thread.name)),
            Other::Process { process, parent, pid, .. } => {
                format!("process  {process}  pid {pid}, forked by process {parent}")
            }
            Other::Rss(sample) => format!("rss  {} ns  {} bytes", sample.t_ns, sample.resident_bytes),
            Other::Note { note, text, .. } => format!("note  {}  {}", note.name(), Plain(text)),
            Other::End(end) => format!("end  {}", json::text(end)?),
        })
    }
}
