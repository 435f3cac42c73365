//! A forked child that records itself, from its first event on.
//!
//! ```text
//!  gate shut ─► asked to follow? ring owned? another pid than that of the region?
//!      ─► claim ─► leave the parent's slots and chunks ─► number, pid ─► gate open
//! ```
//!
//! The child has a private copy of the region and shares the ring. What it must not touch
//! are the chunks of its parent's threads; what it inherits and keeps is the table of
//! codes, whose descriptions are in the stream already. Codes, threads and processes are
//! numbered by counters in the ring, so no two processes give out the same.
//!
//! A fork by a signal handler may have interrupted a hook that is in the middle of a record, in
//! a chunk of its parent's. That has to end first, finds the gate shut and publishes nothing:
//! what the handler allocates until then is counted as lost.
//!
//! Gate and claim lie on a page that each fork wipes: whatever happens in the middle of
//! this, a child of the child begins anew.

use crate::chunk;
use crate::event;
use crate::machine;
use crate::thread;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU32};
use prof_shared::record::Process;
use prof_shared::region::{CLAIM, GATE, HEADER, Region};

/// Whether this process is a child that records from now on. To be asked when the gate is
/// shut; the region may be incomplete.
#[cold]
#[inline(never)]
pub fn begins(region: u64) -> bool {
    // SAFETY: the header is mapped for as long as a hook can run.
    let header = unsafe { &*(region as *const Region) };
    // The ring is mapped before anybody is asked to follow, and unmapped after.
    if header.follow.load(Relaxed) == 0 || !chunk::has_owner(header) {
        return false;
    }
    let pid = machine::own_pid();
    if pid == header.own_pid.load(Relaxed) {
        return false;
    }
    if event::is_interrupted(header) {
        return false;
    }
    // SAFETY: the gate page is mapped like the header; these words are only used as atomics.
    let (gate, claim) = unsafe {
        let page = region - HEADER;
        (&*((page + GATE) as *const AtomicU8), &*((page + CLAIM) as *const AtomicU32))
    };
    if claim.compare_exchange(0, 1, AcqRel, Relaxed).is_err() {
        // A signal handler, or a thread that started meanwhile.
        chunk::header(header).losses.nested.fetch_add(1, Relaxed);
        return false;
    }
    thread::leave_all(header);
    header.parent.store(header.process.load(Relaxed), Relaxed);
    header.process.store(chunk::header(header).next.process.fetch_add(1, Relaxed), Relaxed);
    header.own_pid.store(pid, Relaxed);
    gate.store(1, Release);
    true
}

/// This process.
pub fn process(region: &Region) -> Process {
    Process {
        number: region.process.load(Relaxed),
        parent: region.parent.load(Relaxed),
        pid: region.own_pid.load(Relaxed),
    }
}
