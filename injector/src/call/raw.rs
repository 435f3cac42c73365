//! Raw system calls by a chain of signal frames on the thread's own stack.
//!
//! ```text
//!  rsp of the thread ─►┌──────────────────────────────────────────────┐
//!                      │ red zone, 128 bytes: not ours                │
//!                      ├──────────────────────────────────────────────┤
//!                      │ xsave area                                   │
//!                      │ way back · frame: the thread as it was       │◄─┐
//!                      │ way back · frame: registers of the last call ├──┘ its ret
//!                      │ …                                            │
//!  registers set to ──►│ way back · frame: registers of call 1        │
//!  load this frame     └──────────────────────────────────────────────┘
//! ```
//!
//! Each frame blocks all signals, but for the last, which restores the mask.
//! Results are lost: what a call did must be looked up.

use super::forge::Pile;
use super::saved::{Saved, Unsuitable};
use super::{CallError, Caller, Flight};
use crate::arch::RED_ZONE;
use crate::arch::frame::Frame;
use crate::failpoint::fail_point;
use crate::process::Maps;
use crate::signals;
use crate::tracee::Stopped;
use prof_shared::region::PAGE;

/// A system call and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCall {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Caller<'_> {
    /// Lets the thread make `calls` and restore itself. `stacks` is what was
    /// mapped shortly before; the thread's stack must be among it.
    pub fn run_raw(
        &self,
        mut stopped: Stopped,
        stacks: &Maps,
        calls: &[RawCall],
    ) -> Result<Flight, CallError> {
        let saved = Saved::read(&stopped, &self.memory())?;
        let mut pile = Pile::new(saved.registers.rsp.wrapping_sub(RED_ZONE));
        let first = self.chain(&mut pile, &saved, calls);
        if !has_room(stacks, saved.registers.rsp, pile.bottom()) {
            return Err(CallError::Unsuitable { tid: stopped.tid(), why: Unsuitable::NoStackRoom });
        }
        pile.write(&self.writer)?;
        fail_point("frames-written")?;
        stopped.set_registers(self.forge.loading(&saved.registers, first))?;
        Flight::start(stopped)
    }

    /// Puts the frames on `pile`; the address of the first.
    fn chain(&self, pile: &mut Pile, saved: &Saved, calls: &[RawCall]) -> u64 {
        let xstate = pile.push(&saved.xstate, 64);
        let last = Frame { registers: &saved.registers, mask: saved.mask, xstate };
        let last = self.forge.put(pile, &last);
        let first = calls.iter().rev().fold(last, |next, call| {
            let registers = self.forge.calling(&saved.registers, next.returning, call.number, call.args);
            self.forge.put(pile, &Frame { registers: &registers, mask: signals::ALL, xstate: 0 })
        });
        first.frame
    }
}

/// Whether everything from a page below `bottom` up to `sp` is one writable mapping.
pub(super) fn has_room(maps: &Maps, sp: u64, bottom: u64) -> bool {
    let Some(low) = bottom.checked_sub(PAGE).filter(|low| *low < sp) else { return false };
    maps.at(low).is_some_and(|m| m.read && m.write && !m.shared && m.range.contains(&sp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Mapping;

    #[test]
    fn room_is_one_writable_mapping_with_a_page_to_spare() {
        let lines = [
            "10000-11000 ---p 00000000 00:00 0",
            "11000-20000 rw-p 00000000 00:00 0",
            "30000-40000 r--p 00000000 00:00 0",
        ];
        let maps = Maps(lines.iter().map(|line| Mapping::parse(line).unwrap()).collect());
        let cases = [
            (0x1f000, 0x1e000, true),
            (0x13000, 0x12000, true),
            (0x13000, 0x11fff, false),
            (0x11800, 0x10800, false),
            (0x3f000, 0x3e000, false),
            (0x28000, 0x27000, false),
            (0x100, 0x80, false),
        ];
        for (sp, bottom, expected) in cases {
            assert_eq!(has_room(&maps, sp, bottom), expected, "{sp:#x} {bottom:#x}");
        }
    }
}
