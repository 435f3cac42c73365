//! A word in shared memory that the kernel marks when this thread dies, however it
//! dies (set_robust_list(2)).
//!
//! ```text
//!  private:  Head { list ─► Entry ─► Head, offset }      shared: word = our tid
//!                             └──── + offset ───────────────────►  │ death: OWNER_DIED
//! ```
//!
//! A robust `pthread_mutex_t` does the same, but keeps its list's pointers and its kind
//! beside the word: whoever can write to the shared memory would have libc follow
//! pointers of his when the mutex is unlocked. Here the list is private, and the
//! distance from its one entry to the word is part of the head.
//!
//! The thread's list of libc's (there are no other robust mutexes) is replaced for good.
#![expect(unsafe_code)]

use prof_shared::ring::OWNER_DIED;
use std::cell::UnsafeCell;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

/// `struct robust_list_head` (include/uapi/linux/futex.h), with one entry behind it.
#[repr(C)]
struct Head {
    /// The first entry, or this head itself.
    list: *const Link,
    /// From an entry to its word.
    offset: isize,
    /// Not used: the entry stands in the list before the word is written.
    pending: *const Link,
    entry: Link,
}

/// `struct robust_list`.
#[repr(C)]
struct Link {
    next: *const Link,
}

thread_local! {
    // The kernel reads it when the thread dies, after libc is through with the thread's
    // variables but before their memory can be gone.
    static HEAD: UnsafeCell<Head> = const {
        let none = std::ptr::null();
        UnsafeCell::new(Head { list: none, offset: 0, pending: none, entry: Link { next: none } })
    };
}

/// Holds `word` in this thread's name until [`let_go`], in place of another that it
/// may hold.
///
/// # Safety
/// `word` stays mapped until it is let go of in the same thread, or the thread ends.
pub unsafe fn hold(word: &AtomicU32) -> io::Result<()> {
    let head = HEAD.with(UnsafeCell::get);
    // SAFETY: nobody else in this process has a reference to it; the kernel looks at it
    // only when this thread dies, and each order of these writes makes a sound list.
    unsafe {
        let end: *const Link = head.cast();
        let entry = &raw const (*head).entry;
        (*head).list = end;
        (*head).entry.next = end;
        (*head).offset = (word.as_ptr() as isize).wrapping_sub(entry as isize);
        if libc::syscall(libc::SYS_set_robust_list, head, std::mem::offset_of!(Head, entry)) != 0 {
            return Err(io::Error::last_os_error());
        }
        word.store(own_tid(), Release);
        (&raw mut (*head).list).write_volatile(entry);
    }
    Ok(())
}

/// Lets go of it: nobody holds the word any more.
pub fn let_go(word: &AtomicU32) {
    let own = own_tid();
    // Whoever else has written there gets nothing from it either.
    let _overwritten = word.fetch_update(AcqRel, Relaxed, |found| (found & !OWNER_DIED == own).then_some(0));
    let head = HEAD.with(UnsafeCell::get);
    // SAFETY: as above; the list is empty from here on.
    unsafe { (&raw mut (*head).list).write_volatile(head.cast()) };
}

fn own_tid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold_in_a_thread(word: &AtomicU32, and_then: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: the word outlives the thread.
                unsafe { hold(word) }.expect("the kernel knows robust lists");
                assert_eq!(word.load(Relaxed), own_tid());
                and_then();
            });
            // The end of a scope waits for its threads' closures only.
            thread.join().expect("it does not panic");
        });
    }

    #[test]
    fn the_kernel_marks_the_word_of_a_dead_thread() {
        let word = AtomicU32::new(0);
        hold_in_a_thread(&word, || {});
        assert_eq!(word.load(Relaxed) & OWNER_DIED, OWNER_DIED);
    }

    #[test]
    fn a_word_that_was_let_go_of_is_nobodys() {
        let word = AtomicU32::new(0);
        hold_in_a_thread(&word, || let_go(&word));
        assert_eq!(word.load(Relaxed), 0);
    }

    #[test]
    fn a_word_that_was_overwritten_stays() {
        for noise in [1, 0x7fff_ffff, u32::MAX] {
            let word = AtomicU32::new(0);
            hold_in_a_thread(&word, || {
                word.store(noise, Relaxed);
                let_go(&word);
            });
            assert_eq!(word.load(Relaxed), noise);
        }
    }
}
