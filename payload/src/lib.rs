//! The code that lives in the target.
//!
//! Pure code: no data, no thread-local storage, no constructor, no libc, no
//! allocation, no lock, no loop without a bound. It is given numbers by the
//! attacher ([`prof_shared::region`]) and knows no version of anything.
//!
//! ```text
//!  function ─► island ─► hooks ─► thread (whose event?) ─► the function itself
//!                          │
//!                          └────► event ─► walk (Python stack) ─► codes ─► chunk
//!                                            └──► native ─► unwind ─► rows   if wanted
//! ```
//!
//! Signals, forks and vforks can interrupt it anywhere. What it writes lies in
//! the thread's own slot and in the chunk that the thread holds; a record counts
//! only once `committed` covers it.

#![no_std]

mod chunk;
mod codes;
mod event;
mod follow;
mod frame;
mod hooks;
mod machine;
mod memory;
mod native;
mod near;
mod rewalk;
mod rows;
mod sample;
mod stack;
mod territory;
mod thread;
mod unwind;
mod walk;

/// Nothing here can panic; the compiler wants a handler all the same.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
