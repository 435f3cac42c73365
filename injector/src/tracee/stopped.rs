//! A thread that is traced and stopped.

use super::request::{self, RseqArea};
use super::{Pause, Seized, TraceError, Tracer};
use crate::arch::{Registers, restart};
use crate::process::{Tid, patience};
use crate::seccomp::{self, Filter};
use std::marker::PhantomData;
use std::time::Instant;

/// A thread that is traced and stopped, anywhere in user code or at the end of a
/// system call. Be quick: somebody waits for it.
pub struct Stopped<'t> {
    tid: Tid,
    since: Instant,
    owned: bool,
    tracer: PhantomData<&'t Tracer>,
}

impl<'t> Stopped<'t> {
    pub(super) fn new(tid: Tid, since: Instant) -> Stopped<'t> {
        patience::hold();
        Stopped { tid, since, owned: true, tracer: PhantomData }
    }

    /// The thread.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Its general registers.
    pub fn registers(&self) -> Result<Registers, TraceError> {
        request::registers(self.tid)
    }

    /// Sets them.
    pub fn set_registers(&mut self, registers: Registers) -> Result<(), TraceError> {
        request::set_registers(self.tid, registers)
    }

    /// Its vector and floating point state in the standard xsave format.
    pub fn xstate(&self) -> Result<Vec<u8>, TraceError> {
        request::xstate(self.tid)
    }

    /// The signals it blocks (n in bit n - 1).
    pub fn signal_mask(&self) -> Result<u64, TraceError> {
        request::signal_mask(self.tid)
    }

    /// Sets them.
    pub fn set_signal_mask(&mut self, mask: u64) -> Result<(), TraceError> {
        request::set_signal_mask(self.tid, mask)
    }

    /// The signals that wait for it or for its process.
    pub fn pending_signals(&self) -> Result<u64, TraceError> {
        request::pending_signals(self.tid)
    }

    /// Its rseq registration; `None` where the kernel (before 5.13) cannot tell.
    pub fn rseq(&self) -> Result<Option<RseqArea>, TraceError> {
        request::rseq(self.tid)
    }

    /// Its seccomp filters; `None` where we may not read them.
    pub fn seccomp_filters(&self) -> Result<Option<Vec<Filter>>, TraceError> {
        let filters = request::seccomp_filters(self.tid)?;
        Ok(filters.map(|filters| filters.into_iter().map(Filter).collect()))
    }

    /// Lets it run, still traced.
    pub fn resume(mut self) -> Result<(Seized<'t>, Pause), TraceError> {
        request::resume(self.tid, 0)?;
        self.owned = false;
        Ok((Seized::again(self.tid), self.pause()))
    }

    /// Lets it go.
    pub fn detach(mut self) -> Result<Pause, TraceError> {
        request::detach(self.tid)?;
        self.owned = false;
        Ok(self.pause())
    }

    /// A wait without limit, or up to a moment, that only because of this stop the kernel would
    /// let return EINTR, or go on with by `restart_syscall`, begins anew. One that a filter of the
    /// thread does not let go on so begins anew too, or returns EINTR. Not anew if a signal is
    /// to be handled: then EINTR is meant.
    fn go_on_waiting(&mut self) -> Result<(), TraceError> {
        let registers = self.registers()?;
        if let Some(registers) = restart::interrupted(&registers)
            && !seccomp::may_restart(self)
        {
            return self.set_registers(registers);
        }
        let Some(registers) = restart::uninterrupted(&registers) else { return Ok(()) };
        match self.pending_signals()? & !self.signal_mask()? {
            0 => self.set_registers(registers),
            _ => Ok(()),
        }
    }

    fn pause(&self) -> Pause {
        Pause::since(self.since)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        patience::release();
        if self.owned {
            // It may have been killed meanwhile; then there is nothing to do.
            let _ = self.go_on_waiting();
            let _ = request::detach(self.tid);
            self.pause();
        }
    }
}
