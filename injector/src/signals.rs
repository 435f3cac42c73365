//! Sets of signals as the kernel keeps them: signal n in bit n - 1.

/// All that can be blocked.
pub const ALL: u64 = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
