//! Recordings and their figures in a few characters, for tables of cases.
//!
//! ```text
//!  A+1:5      at A a block at address 1, of 5 bytes    -1        it is freed
//!  A~1>2:9    at A, 1 is reallocated to 2, 9 bytes     ~1>0      … and freed by that
//!  A@10+4     at A the pages 10..14 are mapped         @11-2     11..13 are unmapped
//!  A@10+4>50+8      at A they are remapped             A@10+4=50+8   … and stay, too
//!  2A+1:5     the same by thread 2                     |         the next interval
//!  A#10+4     a thread's stack                         ?         events are missing
//! ```
//!
//! A page is a byte here. Figures are `A:5x1`, bytes and blocks of each site that has any;
//! a site of another thread than 1 is `2A`.

use std::collections::BTreeMap;

use super::history::{History, Intervals, Span};
use super::ledger::{Figures, Sum};
use super::stats::{Question, Stats};
use crate::model::{Addr, Event, Kind, Metadata, ProcessId, StackId, ThreadSerial, Tick, Tid, What};

const WIDTH: u64 = 100;
const PAGES: u64 = 1 << 32;
const MAYMOVE: u32 = 1;
const DONTUNMAP: u32 = 5;

/// A recording that was read.
pub struct Folded {
    stats: Stats,
    intervals: Intervals,
}

/// Reads a recording; temporary is what ends within so many further allocations.
pub fn fold(recording: &str, temporary_within: u32) -> Folded {
    let count = 1 + recording.matches('|').count() as u16;
    let metadata = Metadata { page_size: 1, ..Metadata::default() };
    let history = History::new(Tick(0), Tick(u64::from(count) * WIDTH - 1), count, 1000);
    let question = Question { temporary_within, ..Question::default() };
    let mut stats = Stats::new(&metadata, question).with_history(history);
    let mut at = 0;
    for word in recording.split_whitespace() {
        if word == "|" {
            at = (at / WIDTH + 1) * WIDTH;
            continue;
        }
        let (thread, stack, whats) = step(word);
        for what in whats {
            let (thread, stack) = (ThreadSerial(thread), StackId(stack));
            stats.add(&Event {
                at: Tick(at),
                process: ProcessId::ROOT,
                thread,
                tid: Tid(thread.0),
                stack,
                what,
            });
        }
        at += 1;
    }
    stats.finish();
    let intervals = stats.history(Tick(u64::MAX)).expect("there is room");
    Folded { stats, intervals }
}

impl Folded {
    /// The figures of every site that has any.
    pub fn sites(&self, pick: fn(&Figures) -> Sum) -> String {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for (site, figures) in self.stats.totals().sites {
            sums.entry(name(site.thread.0, site.stack.0)).or_default().add(pick(&figures));
        }
        written(sums)
    }

    /// The most heap bytes of the recording, and of each interval.
    pub fn heaps(&self) -> String {
        let peak = self.stats.ledger.peak().0;
        let heaps: Vec<_> = self.intervals.heap.iter().map(u64::to_string).collect();
        format!("{peak} = {}", heaps.join(" "))
    }

    /// What was held at the largest heap of an interval.
    pub fn held_in(&self, interval: u16) -> String {
        let mut sums = BTreeMap::new();
        let steps = self.intervals.held.iter().filter(|step| step.interval <= interval);
        let latest: BTreeMap<_, _> = steps.map(|step| (step.site, step.held)).collect();
        for (site, held) in latest {
            let site = self.stats.live.sites().get(site);
            sums.entry(name(site.thread.0, site.stack.0)).or_insert_with(Sum::default).add(held);
        }
        written(sums)
    }

    /// When what lasted longer than an interval began and ended: `A0-2:5x1`; if it did not
    /// end `A0-end:5x1`.
    pub fn lifetimes(&self) -> String {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for &(Span { site, born, freed }, sum) in &self.intervals.kept {
            let site = self.stats.live.sites().get(site);
            let name = name(site.thread.0, site.stack.0);
            let freed = if freed == Span::NEVER { "end".to_owned() } else { freed.to_string() };
            sums.entry(format!("{name}{born}-{freed}")).or_default().add(sum);
        }
        written(sums)
    }
}

fn written(sums: BTreeMap<String, Sum>) -> String {
    let sums = sums.into_iter().filter(|(_, sum)| !sum.is_zero());
    let words: Vec<_> =
        sums.map(|(name, Sum { bytes, blocks })| format!("{name}:{bytes}x{blocks}")).collect();
    words.join(" ")
}

fn name(thread: u32, stack: u32) -> String {
    let letter = char::from(b'A' + (stack as u8 - 1));
    if thread == 1 { letter.to_string() } else { format!("{thread}{letter}") }
}

/// Thread, stack, and what happens.
fn step(word: &str) -> (u32, u32, Vec<What>) {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let thread = word[..word.len() - rest.len()].parse().unwrap_or(1);
    let call = rest.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let stack = rest.bytes().next().filter(u8::is_ascii_uppercase).map_or(0, |letter| letter - b'A' + 1);
    (thread, stack.into(), whats(call))
}

fn whats(call: &str) -> Vec<What> {
    let numbers: Vec<u64> = call.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse).collect();
    let page = |number: u64| Addr(PAGES + number);
    let sort: String = call.chars().filter(|c| !c.is_ascii_digit()).collect();
    match (&*sort, &numbers[..]) {
        ("+:", &[addr, size]) => vec![What::Alloc { kind: Kind::Malloc, addr: Addr(addr), size }],
        ("-", &[addr]) => vec![What::Free { kind: Kind::Free, addr: Addr(addr) }],
        ("~>:", &[old, addr, size]) => {
            let (kind, old_addr, addr) = (Kind::Realloc, Addr(old), Addr(addr));
            vec![What::ReallocBegin { old_addr }, What::Realloc { kind, old_addr, addr, size }]
        }
        ("~>", &[old, 0]) => vec![What::ReallocBegin { old_addr: Addr(old) }],
        ("@+", &[start, size]) => vec![What::Alloc { kind: Kind::Mmap, addr: page(start), size }],
        ("#+", &[start, size]) => vec![What::Alloc { kind: Kind::ThreadStack, addr: page(start), size }],
        ("@-", &[start, size]) => vec![What::Munmap { addr: page(start), size }],
        ("@+>+" | "@+=+", &[start, old_size, new, size]) => {
            let flags = if sort.contains('=') { DONTUNMAP } else { MAYMOVE };
            let (old_addr, addr) = (page(start), page(new));
            vec![
                What::MremapBegin { old_addr, old_size, flags },
                What::Mremap { old_addr, old_size, addr, size, flags },
            ]
        }
        ("%", &[interval]) => vec![What::Sampling { interval }],
        ("%+:", &[allocations, bytes]) => vec![What::Passed { allocations, bytes }],
        ("?", []) => vec![What::Lost { since: Tick(0), allocations: 1, frees: 1 }],
        _ => panic!("what is {call}?"),
    }
}
