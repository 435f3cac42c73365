//! The view of a recording that this prof makes: `prof live` on a thread of its own.
//!
//! ```text
//!  record ──► capture ──► view        it reads what is written, so nobody waits for it
//!     ▲ is_over ───────────▲ │
//!     └────────── SIGINT ────┘        as if Ctrl-C had sent it: in raw mode it is a key
//! ```
//!
//! If the view fails, the recording goes on.

use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::{Builder, JoinHandle};

use prof_injector::failpoint::panic_point;
use signal_hook::consts::SIGINT;

use super::{failure, live};
use crate::explore::live::{Left, Own};
use crate::explore::{Ending, may_take_terminal};
use crate::record::longest_pause_us;
use crate::report::Plain;

/// It has the terminal until it ends or is dropped.
pub(super) struct View {
    is_wanted: bool,
    is_over: Arc<AtomicBool>,
    /// The last signal that ends the recording.
    caught: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl View {
    /// Shown where that is wanted and there is a terminal for it.
    pub fn new(is_wanted: bool, caught: &Arc<AtomicUsize>) -> View {
        let is_wanted = is_wanted && stderr().is_terminal() && may_take_terminal();
        View { is_wanted, is_over: Arc::default(), caught: caught.clone(), thread: None }
    }

    /// Shows the recording to `file`.
    pub fn begin(&mut self, file: PathBuf) {
        if !self.is_wanted {
            return;
        }
        let (is_over, caught) = (self.is_over.clone(), self.caught.clone());
        let show = move || show(&file, &is_over, &caught);
        self.thread = Builder::new().name("prof-view".to_owned()).spawn(show).ok();
    }

    /// Whether it has the terminal.
    pub fn is_shown(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Gives the terminal back.
    pub fn end(&mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so itself.
            let _panicked = thread.join();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.end();
    }
}

fn show(file: &Path, is_over: &AtomicBool, caught: &AtomicUsize) {
    // It is asked again and again.
    let longest_pause_us = || {
        panic_point("view");
        longest_pause_us()
    };
    match live::watch(file, Some(Own { is_over, longest_pause_us })) {
        Ok(Left { ending, page }) => {
            // Whoever listens for a signal has it too.
            if ending == Ending::Quit {
                caught.store(SIGINT as usize, Relaxed);
            }
            page.into_iter().for_each(live::tell_page);
        }
        Err(error) => {
            let why = failure::line(&error);
            // The terminal may be what failed.
            let _gone = writeln!(stderr(), "note: no view any more, the recording goes on: {}", Plain(&why));
        }
    }
}
