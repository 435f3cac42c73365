//! A thread of a child of ours that waits until we are ready.
//!
//! ```text
//!  the thread as it was ◄── frame ── close(fd) ◄── frame ── read(fd)   here it waits
//!                                                             └ the pipe's other end is ours
//! ```
//!
//! It is led through the same frames as in [`super::raw`], with its own signal mask: it
//! is a thread that waits in `read`, which can be stopped and used like any other. The read
//! ends when the other end of the pipe is closed, by us or by our death.

use super::forge::Pile;
use super::raw::has_room;
use super::saved::{Saved, Unsuitable};
use super::{CallError, Caller};
use crate::arch::frame::Frame;
use crate::arch::{RED_ZONE, Registers};
use crate::process::Maps;
use crate::tracee::Stopped;
use std::os::fd::RawFd;

/// A thread that waits at our wish.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Its stack pointer meanwhile.
    sp: u64,
    /// What it will be restored to.
    registers: Registers,
}

impl Held {
    /// Where a thread with these registers will go on, if it is the one that waits.
    pub fn beyond(&self, registers: &Registers) -> Option<Registers> {
        (registers.rsp == self.sp).then_some(self.registers)
    }
}

impl Caller<'_> {
    /// Lets the thread wait until nobody holds the other end of the pipe `fd`, then close
    /// `fd` and go on. `stacks` is what was mapped shortly before.
    pub fn hold(&self, mut stopped: Stopped, stacks: &Maps, fd: RawFd) -> Result<Held, CallError> {
        let saved = Saved::read(&stopped, &self.memory())?;
        let mut pile = Pile::new(saved.registers.rsp.wrapping_sub(RED_ZONE));
        let xstate = pile.push(&saved.xstate, 64);
        let room = pile.push(&[0; 8], 8);
        let going_on = Frame { registers: &saved.registers, mask: saved.mask, xstate };
        let going_on = self.forge.put(&mut pile, &going_on);
        let calls = [(libc::SYS_close, [fd as u64, 0, 0]), (libc::SYS_read, [fd as u64, room, 1])];
        let (mut sp, mut first) = (0, going_on);
        for (number, [a, b, c]) in calls {
            let registers =
                self.forge.calling(&saved.registers, first.returning, number as u64, [a, b, c, 0, 0, 0]);
            sp = registers.rsp;
            first = self.forge.put(&mut pile, &Frame { registers: &registers, mask: saved.mask, xstate: 0 });
        }
        if !has_room(stacks, saved.registers.rsp, pile.bottom()) {
            return Err(CallError::Unsuitable { tid: stopped.tid(), why: Unsuitable::NoStackRoom });
        }
        pile.write(&self.writer)?;
        stopped.set_registers(self.forge.loading(&saved.registers, first.frame))?;
        stopped.detach()?;
        Ok(Held { sp, registers: saved.registers })
    }
}
