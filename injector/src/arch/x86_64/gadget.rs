//! Instructions that calls borrow from the target's own code.
//!
//! A system call needs `syscall; ret`. What it returns to must begin an
//! `rt_sigreturn`: libc's restorer does (every libc has one, signal handlers
//! return through it), else `pop rax; ret` and the first pair again.

use super::RT_SIGRETURN;

const SYSCALL_RET: &[u8] = &[0x0f, 0x05, 0xc3];
/// `mov rax, 15; syscall` as glibc and musl write it, and the shorter form.
const RESTORERS: [&[u8]; 2] =
    [&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], &[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05]];
const POP_RAX_RET: &[u8] = &[0x58, 0xc3];

/// The longest pattern, less one: how far two searched pieces must overlap.
pub const OVERLAP: usize = 8;

/// What was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gadgets {
    syscall_ret: Option<u64>,
    restorer: Option<u64>,
    pop_rax_ret: Option<u64>,
}

impl Gadgets {
    /// Adds what `code`, which lies at `addr`, has.
    pub fn search(&mut self, code: &[u8], addr: u64) {
        let find = |pattern: &[u8]| {
            let offset = code.windows(pattern.len()).position(|window| window == pattern)?;
            Some(addr + offset as u64)
        };
        self.syscall_ret = self.syscall_ret.or_else(|| find(SYSCALL_RET));
        self.restorer = self.restorer.or_else(|| RESTORERS.into_iter().find_map(find));
        self.pop_rax_ret = self.pop_rax_ret.or_else(|| find(POP_RAX_RET));
    }

    /// Whether the best of each kind is there.
    pub fn is_complete(&self) -> bool {
        self.syscall_ret.is_some() && self.restorer.is_some()
    }

    /// The address of `syscall; ret`, and the words that lead from its `ret` to an
    /// `rt_sigreturn` of the frame right behind them.
    pub fn way(&self) -> Option<(u64, Vec<u64>)> {
        let syscall_ret = self.syscall_ret?;
        let way_back = match (self.restorer, self.pop_rax_ret) {
            (Some(restorer), _) => vec![restorer],
            (None, Some(pop)) => vec![pop, RT_SIGRETURN, syscall_ret],
            (None, None) => return None,
        };
        Some((syscall_ret, way_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_restorer_is_preferred_to_popping_its_number() {
        let mut gadgets = Gadgets::default();
        gadgets.search(b"\x90\x58\xc3\x0f\x05\xc3", 0x1000);
        assert_eq!(gadgets.way(), Some((0x1003, vec![0x1001, 15, 0x1003])));
        assert!(!gadgets.is_complete());
        gadgets.search(b"\xcc\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05\x0f\x05\xc3", 0x2000);
        assert_eq!(gadgets.way(), Some((0x1003, vec![0x2001])));
        assert!(gadgets.is_complete());
    }
}
