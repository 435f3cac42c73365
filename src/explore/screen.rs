//! The terminal: taken over, drawn on, and given back as it was, whatever happens.
//!
//! ```text
//!  shell's ──take()──► ours ──give_back()──► shell's      give_back() is also run by a panic,
//!                       ▲  └──suspend()──┐                before its message is printed, and by
//!                       └────────────────┘                Drop
//! ```

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::{Position, Rect};
use ratatui::{Frame, Terminal};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use std::io::{self, BufWriter, IsTerminal, Stdout, stdin, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// A frame goes out in few writes: many small ones flicker over ssh.
const BUFFER: usize = 1 << 16;

/// Whether the terminal is ours.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while it is ours.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

/// Whether there is a terminal that can be drawn on.
pub fn has_terminal() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    stdin().is_terminal() && stdout().is_terminal() && !is_dumb
}

/// Whether the terminal's keys are for us: one that a shell runs in the background is stopped
/// when it changes the terminal.
pub fn is_in_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

impl Screen {
    /// Takes the terminal over.
    pub fn take() -> io::Result<Screen> {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        take_over()?;
        let out = BufWriter::with_capacity(BUFFER, stdout());
        match Terminal::new(CrosstermBackend::new(out)) {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws, unless a panic, which may be another thread's, has given the terminal back.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let is_ours = || match IS_TAKEN.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(io::Error::other("something went wrong elsewhere in prof")),
        };
        is_ours()?;
        self.terminal.draw(render)?;
        is_ours().inspect_err(|_| drop(execute!(stdout(), Show)))
    }

    /// Gives the terminal back, runs `meanwhile` and takes it again.
    pub fn lend<T>(&mut self, meanwhile: impl FnOnce() -> T) -> io::Result<T> {
        give_back();
        let result = meanwhile();
        take_over()?;
        // Not `clear`: it asks the terminal for the cursor, and `Input` would read the answer.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))?;
        Ok(result)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(stdout(), EnterAlternateScreen, EnableMouseCapture));
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Makes the terminal what it was. If it is gone there is nobody to tell.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _gone = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
        let _gone = disable_raw_mode();
    }
}
