//! What is known about a recording besides its events.
//!
//! These travel as JSON inside a capture. A field that is missing takes its
//! default and one that is unknown is ignored, so captures of other versions open.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::Tick;

/// Who was recorded, how and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Version of the `prof` that recorded.
    pub prof_version: String,
    /// The target, as the attacher names it.
    pub pid: u32,
    /// The target's arguments.
    pub command_line: Vec<String>,
    /// Name of the machine or container.
    pub host: String,
    /// Wall time at which recording began, ns since 1970.
    pub started_unix_ns: u64,
    /// The interpreter.
    pub python: Python,
    /// Name and version of the C library, as `glibc 2.36`.
    pub libc: String,
    /// What serves `malloc`: the C library, jemalloc, …
    pub allocator: String,
    /// Whether each call of Python's own allocators was recorded, not only their
    /// requests to the C library.
    pub domains: bool,
    /// Bytes a page of the target.
    pub page_size: u64,
    /// What a tick is.
    pub clock: Clock,
    /// Options of the command, by name.
    pub options: BTreeMap<String, String>,
    /// The hooked functions.
    pub entries: Vec<Entry>,
    /// The target's loaded files.
    pub modules: Vec<Module>,
}

/// The target's interpreter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Python {
    /// As `3.12.1`.
    pub version: String,
    /// As `cpython`.
    pub implementation: String,
    /// What serves Python objects: `pymalloc`, `malloc`, `mimalloc`, with `_debug`.
    pub allocator: String,
}

impl Python {
    /// Major and minor number of the version; zeros where it is not known.
    pub fn major_minor(&self) -> (u8, u8) {
        let mut numbers = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// How ticks relate to time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// Ticks in one second.
    pub ticks_per_second: u64,
    /// The tick that counts as the start of the recording.
    pub origin_ticks: u64,
    /// The same moment as wall time, ns since 1970.
    pub origin_unix_ns: u64,
    /// Bits dropped from the cycle counter.
    pub shift: u32,
}

impl Clock {
    /// Nanoseconds from the start of the recording; 0 for what came before it.
    pub fn nanos(&self, tick: Tick) -> u64 {
        let since = u128::from(tick.0.saturating_sub(self.origin_ticks));
        let nanos = since * 1_000_000_000 / u128::from(self.ticks_per_second.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The tick so long after the start.
    pub fn tick(&self, nanos: u64) -> Tick {
        let ticks = u128::from(nanos) * u128::from(self.ticks_per_second) / 1_000_000_000;
        Tick(self.origin_ticks.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)))
    }
}

/// A hooked function of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Its name, as `malloc`.
    pub name: String,
    /// Path of the module that defines it.
    pub module: String,
    /// How it was entered, as `one byte`.
    pub way: String,
    /// Where it was entered: the function's address and the offset, as `0x7f67dd4b6ef0+10`.
    pub patch: String,
}

/// A file loaded into the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    /// As the target names it.
    pub path: String,
    /// In hexadecimal; empty if it has none.
    pub build_id: String,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
}

/// The name that a thread had from some moment on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadName {
    /// When it was read, ns since the start.
    pub t_ns: u64,
    /// The kernel's id.
    pub tid: u32,
    /// The serial within the recording, where the thread has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The name.
    pub name: String,
}

/// A process that was forked while recording. The last one of a number counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessLife {
    /// Counts the processes of a recording; the one that it began with is 0.
    pub number: u32,
    /// The number of the one that forked it.
    pub parent: u32,
    /// Its pid, as it sees itself.
    pub pid: u32,
    /// Its first event, in ticks.
    pub began_tick: u64,
    /// When it was seen to have ended, or to have executed another program, in ticks; 0 if
    /// it was there until the end.
    pub ended_tick: u64,
}

/// What the target held in physical memory at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RssSample {
    /// When, ns since the start.
    pub t_ns: u64,
    /// Resident set in bytes.
    pub resident_bytes: u64,
    /// Parts of it by name, in bytes. Those with a colon are part of another one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, u64>,
    /// The allocator of small Python objects, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pymalloc: Option<Pymalloc>,
    /// The arenas of glibc's malloc, the main one first, where they could be read. Only
    /// in the first and the last sample.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malloc_arenas: Vec<MallocArena>,
    /// Where resident memory is: first address, bytes, resident bytes of the parts that
    /// hold most, ascending. Only in the first and the last sample.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extents: Vec<(u64, u64, u64)>,
}

/// What an arena of glibc's malloc held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MallocArena {
    /// Bytes that it has from the system.
    pub system_bytes: u64,
    /// Free bytes at its end.
    pub top_bytes: u64,
    /// All free bytes, those at its end too. Blocks in the caches of threads count as used.
    pub free_bytes: u64,
    /// Whether more may be free: its lists were too long, or changed meanwhile.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
}

/// What pymalloc held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pymalloc {
    /// Its arenas.
    pub arenas: u64,
    /// Bytes of each.
    pub arena_bytes: u64,
    /// Pools that hold objects.
    pub used_pools: u64,
    /// Pools that are empty.
    pub free_pools: u64,
    /// Bytes of each.
    pub pool_bytes: u64,
    /// Where the arenas are: first address and bytes, neighbours as one. Only in
    /// the first and the last sample.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<(u64, u64)>,
}

/// What sort of note it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Events are missing.
    Loss,
    /// Events of a stretch of time are missing.
    Gap,
    /// Something was left alone, and why.
    Refusal,
    /// Something failed without harm.
    SoftError,
    /// The capture itself is hurt. Made by the reader.
    Damage,
    /// Of a kind this version does not know.
    #[default]
    #[serde(other)]
    Other,
}

impl NoteKind {
    /// The name used in every output.
    pub fn name(self) -> &'static str {
        match self {
            NoteKind::Loss => "loss",
            NoteKind::Gap => "gap",
            NoteKind::Refusal => "refusal",
            NoteKind::SoftError => "soft_error",
            NoteKind::Damage => "damage",
            NoteKind::Other => "other",
        }
    }
}

/// Something that a reader of any report should know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// What sort.
    pub kind: NoteKind,
    /// In words.
    pub text: String,
    /// When it began, ns since the start.
    pub from_ns: u64,
    /// When it ended, ns since the start.
    pub to_ns: u64,
    /// Allocations concerned.
    pub allocations: u64,
    /// Frees concerned.
    pub frees: u64,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The time asked for was over.
    Duration,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP.
    Hangup,
    /// The target ended by itself.
    TargetExited,
    /// The target was ended by a signal.
    TargetKilled,
    /// The target became another program.
    TargetExec,
    /// The capture has the size asked for.
    MaxSize,
    /// No room for the capture.
    DiskFull,
    /// Recording failed.
    Failed,
    /// The capture has no ending: its writer was killed, or it was cut off.
    #[default]
    Unfinished,
    /// Of a kind this version does not know.
    #[serde(other)]
    Other,
}

impl EndReason {
    /// The name used in every output.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Duration => "duration",
            EndReason::Interrupted => "interrupted",
            EndReason::Terminated => "terminated",
            EndReason::Hangup => "hangup",
            EndReason::TargetExited => "target_exited",
            EndReason::TargetKilled => "target_killed",
            EndReason::TargetExec => "target_exec",
            EndReason::MaxSize => "max_size",
            EndReason::DiskFull => "disk_full",
            EndReason::Failed => "failed",
            EndReason::Unfinished => "unfinished",
            EndReason::Other => "other",
        }
    }
}

/// How a recording ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Wall time, ns since 1970.
    pub unix_ns: u64,
    /// Events drained from the ring.
    pub events: u64,
    /// The longest time a thread was stopped, µs.
    pub longest_pause_us: u64,
    /// What the ring counted.
    pub losses: Losses,
}

/// What was dropped or cut, over the whole recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    /// Allocations that found no room.
    pub allocations: u64,
    /// Frees that found no room.
    pub frees: u64,
    /// Events of threads for which there was no slot.
    pub threadless: u64,
    /// Events inside another event of their thread.
    pub nested: u64,
    /// Stacks cut at the root.
    pub truncated_stacks: u64,
    /// Stacks that could not be read.
    pub unreadable_stacks: u64,
    /// Time that threads waited for room, µs.
    pub waited_us: u64,
    /// Code objects whose description was malformed or too large.
    pub codes: u64,
    /// Names and line tables of code objects that were cut.
    pub cut_texts: u64,
    /// Chunks of the ring that held something else than records.
    pub chunks: u64,
    /// Events that were taken from the ring and not written: the disk was full.
    pub unwritten: u64,
}

impl Losses {
    /// Events that are not in the capture.
    pub fn events(&self) -> u64 {
        let each = [self.allocations, self.frees, self.threadless, self.nested, self.unwritten];
        each.into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds() {
        let clock = Clock { ticks_per_second: 3, origin_ticks: 100, ..Clock::default() };
        assert_eq!(clock.nanos(Tick(103)), 1_000_000_000);
        assert_eq!(clock.nanos(Tick(101)), 333_333_333);
        assert_eq!(clock.nanos(Tick(7)), 0);
        assert_eq!(clock.nanos(Tick(u64::MAX)), u64::MAX);
        assert_eq!(Clock::default().nanos(Tick(1)), 1_000_000_000, "no division by zero");
    }

    #[test]
    fn other_versions_open() {
        let json = r#"{"pid": 7, "colour": "red", "python": {"version": "3.12.1"}}"#;
        let metadata: Metadata = serde_json::from_str(json).expect("opens");
        assert_eq!((metadata.pid, metadata.python.major_minor()), (7, (3, 12)));
        let end: End = serde_json::from_str(r#"{"reason": "moonrise"}"#).expect("opens");
        assert_eq!(end.reason, EndReason::Other);
    }

    #[test]
    fn names_are_those_in_the_file() {
        for reason in [EndReason::TargetExec, EndReason::DiskFull, EndReason::Unfinished] {
            assert_eq!(serde_json::to_value(reason).expect("plain"), reason.name());
        }
        assert_eq!(serde_json::to_value(NoteKind::SoftError).expect("plain"), NoteKind::SoftError.name());
    }
}
