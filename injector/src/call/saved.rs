//! What a stopped thread is restored to, and whether it may be used at all.

use super::CallError;
use crate::arch::{self, Registers, USER_CODE_SEGMENT, rseq};
use crate::process::{Memory, is_late};
use crate::seccomp::Objection;
use crate::signals;
use crate::tracee::Stopped;

/// What is in the way of using a thread, here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// A signal is about to be handled; its handler comes first.
    #[error("a signal waits for it")]
    SignalPending,
    /// It blocks all signals: libc is starting or ending a thread, or forking.
    #[error("it blocks all signals")]
    AllSignalsBlocked,
    /// It does not execute 64-bit code.
    #[error("it does not execute 64-bit code")]
    NotLongMode,
    /// It is inside a restartable sequence.
    #[error("it is inside a restartable sequence")]
    RestartableSequence,
    /// Its stack pointer is not on a stack with room below.
    #[error("its stack has no room")]
    NoStackRoom,
    /// It is not at a place where it may call into libc.
    #[error("libc may be in the middle of something there")]
    UnsafePlace,
    /// It would be killed.
    #[error("{0}")]
    Filtered(Objection),
    /// Its vector registers cannot be read.
    #[error("its vector registers cannot be read")]
    NoVectorState,
}

/// All that makes a thread what it was.
pub struct Saved {
    /// Registers as they are to be restored.
    pub registers: Registers,
    /// Blocked signals.
    pub mask: u64,
    /// The xsave area for a frame.
    pub xstate: Vec<u8>,
}

impl Saved {
    /// Reads a stopped thread; refuses the moment if it cannot be restored from here.
    pub fn read(stopped: &Stopped, memory: &Memory) -> Result<Saved, CallError> {
        let tid = stopped.tid();
        let unsuitable = |why| CallError::Unsuitable { tid, why };
        let registers = stopped.registers()?;
        let mask = stopped.signal_mask()?;
        if registers.cs != USER_CODE_SEGMENT {
            return Err(unsuitable(Unsuitable::NotLongMode));
        }
        // It would look like a thread that is still in a call of ours.
        if mask == signals::ALL {
            return Err(unsuitable(Unsuitable::AllSignalsBlocked));
        }
        if stopped.pending_signals()? & !mask != 0 {
            return Err(unsuitable(Unsuitable::SignalPending));
        }
        if in_restartable_sequence(stopped, memory, registers.rip)? {
            return Err(unsuitable(Unsuitable::RestartableSequence));
        }
        let xstate = arch::xstate::for_frame(&stopped.xstate()?);
        let xstate = xstate.ok_or_else(|| unsuitable(Unsuitable::NoVectorState))?;
        Ok(Saved { registers: arch::restart::resumed(&registers), mask, xstate })
    }
}

/// An area that cannot be read counts as a sequence: let the kernel sort it out.
fn in_restartable_sequence(stopped: &Stopped, memory: &Memory, pc: u64) -> Result<bool, CallError> {
    let Some(area) = stopped.rseq()?.filter(|area| area.addr != 0) else { return Ok(false) };
    let is_inside = || {
        let addr = memory.read_u64(area.addr + rseq::RSEQ_CS)?;
        let mut descriptor = [0; rseq::DESCRIPTOR_BYTES];
        Ok(addr != 0 && {
            memory.read(addr, &mut descriptor)?;
            rseq::covers(&descriptor, pc)
        })
    };
    match is_inside() {
        Err(source) if is_late(&source) => Err(CallError::Memory { what: "reading its sequence", source }),
        inside => Ok(inside.unwrap_or(true)),
    }
}
