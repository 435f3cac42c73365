//! Programs of the region, run by its stub on the stub's own stack.
//!
//! ```text
//!  top of the stub's stack ─►┌────────────────────────────────────┐
//!                            │ xsave area                         │
//!                            │ frame: the thread as it was        │◄─ loaded by the stub at its end
//!  registers set to load ───►│ frame: entry of the stub           │
//!                            ├────────────────────────────────────┤
//!                            │ stack of the steps, growing down   │
//! ```
//!
//! The thread's own stack is not touched.

use super::forge::Pile;
use super::saved::Saved;
use super::{CallError, Caller, Flight, ProgramFlight};
use crate::arch::frame::Frame;
use crate::arch::stub;
use crate::failpoint::fail_point;
use crate::region::RegionHandle;
use crate::signals;
use crate::tracee::{Pause, Stopped};
use prof_shared::region::{Program, STEP_COUNT, Step, step};
use std::mem::offset_of;
use std::time::Duration;

/// Bytes of [`Program`]'s text.
const TEXT_BYTES: usize = size_of::<Program>() - offset_of!(Program, text);

impl Caller<'_> {
    /// Lets the thread execute `steps` and restore itself; `text` is put where
    /// [`RegionHandle::text`] says, for steps to point to.
    pub fn run_program(
        &self,
        mut stopped: Stopped,
        region: &RegionHandle,
        steps: &[Step],
        text: &[u8],
    ) -> Result<ProgramFlight, CallError> {
        let image = program_image(steps, text)?;
        let errno_location = self.errno_for(steps)?;
        if self.is_busy(region)? {
            return Err(CallError::Busy);
        }
        let saved = Saved::read(&stopped, &self.memory())?;
        let mut pile = Pile::new(region.stack_top());
        let frame = self.program_frames(&mut pile, &saved, region, errno_location);
        // Last what makes the region busy.
        pile.write(&self.writer)?;
        self.write(region.program(), &image)?;
        fail_point("program-written")?;
        stopped.set_registers(self.forge.loading(&saved.registers, frame))?;
        Ok(ProgramFlight { flight: Flight::start(stopped)?, program: region.program(), steps: steps.len() })
    }

    /// Runs a program of system calls and swaps, which any thread can do anywhere,
    /// on some thread, and waits for its end, `budget` for each.
    pub fn call_program(
        &self,
        region: &RegionHandle,
        steps: &[Step],
        budget: Duration,
    ) -> Result<(Vec<u64>, Pause), CallError> {
        let flight = self.on_some_thread(budget, |stopped| self.run_program(stopped, region, steps, &[]))?;
        self.land_program(flight, budget)
    }

    /// Whether a program was begun and has not ended.
    pub fn is_busy(&self, region: &RegionHandle) -> Result<bool, CallError> {
        let read = |offset: usize| {
            let word = self.memory().read_u64(region.program() + offset as u64);
            word.map_err(|source| CallError::Memory { what: "reading the program", source })
        };
        Ok(read(offset_of!(Program, len))? != 0 && read(offset_of!(Program, done))? == 0)
    }

    fn errno_for(&self, steps: &[Step]) -> Result<u64, CallError> {
        match steps.iter().any(|s| s.what == step::CALL) {
            true => self.errno_location.ok_or(CallError::NoErrno),
            false => Ok(0),
        }
    }

    /// Puts both frames on `pile`; the address of the one that enters the stub.
    fn program_frames(
        &self,
        pile: &mut Pile,
        saved: &Saved,
        region: &RegionHandle,
        errno_location: u64,
    ) -> u64 {
        let xstate = pile.push(&saved.xstate, 64);
        let restoring = Frame { registers: &saved.registers, mask: saved.mask, xstate };
        let restoring = pile.push(&restoring.to_bytes(), 8);
        // The steps' stack begins below the frame that is put next.
        let stack = (restoring - 0x1000) & !15;
        let entry = stub::Entry {
            code: region.stub(),
            stack,
            program: region.program(),
            errno_location,
            frame: restoring,
        };
        let entering = entry.registers(&saved.registers);
        pile.push(&Frame { registers: &entering, mask: signals::ALL, xstate: 0 }.to_bytes(), 8)
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), CallError> {
        let written = self.writer.write(addr, bytes);
        written.map_err(|source| CallError::Memory { what: "writing a program", source })
    }
}

/// The bytes of a [`Program`] that has not been run.
fn program_image(steps: &[Step], text: &[u8]) -> Result<Vec<u8>, CallError> {
    if steps.len() > STEP_COUNT || text.len() > TEXT_BYTES {
        return Err(CallError::TooLong { steps: steps.len(), text_bytes: text.len() });
    }
    let mut image = vec![0; size_of::<Program>()];
    let mut put = |at: usize, word: u64| image[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    put(offset_of!(Program, len), steps.len() as u64);
    for (index, step) in steps.iter().enumerate() {
        let at = offset_of!(Program, steps) + index * size_of::<Step>();
        put(at + offset_of!(Step, what), step.what);
        put(at + offset_of!(Step, target), step.target);
        for (number, arg) in step.args.into_iter().enumerate() {
            put(at + offset_of!(Step, args) + number * 8, arg);
        }
    }
    image[offset_of!(Program, text)..][..text.len()].copy_from_slice(text);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_fit_is_refused() {
        let steps = [Step::default(); STEP_COUNT];
        assert!(program_image(&steps, &[b'x'; TEXT_BYTES]).is_ok());
        assert!(matches!(program_image(&steps, &[0; TEXT_BYTES + 1]), Err(CallError::TooLong { .. })));
        let longer = [Step::default(); STEP_COUNT + 1];
        assert!(matches!(program_image(&longer, &[]), Err(CallError::TooLong { .. })));
    }
}
