//! The processes that may be recorded, on a full screen, for one to be chosen.
//!
//! ```text
//!  look, on a thread ─► Seen ─► State::take ─┐
//!  Event ─────────────────────► State::on ───┴─► draw ─► Buffer
//! ```
//!
//! When it returns its threads have ended: who records must be alone when it begins.

mod draw;
mod state;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::input::{Input, Message};
use super::screen::Screen;
use super::theme::Theme;
use super::{Error, check_terminal, stop_job};
use state::{Outcome, State};

/// What is shown is no newer than this; growth is that of about so long.
const REFRESH: Duration = Duration::from_secs(1);
/// Where looking takes long, so many times as long nobody looks.
const REST: u32 = 4;
/// A newer list waits no longer than this to be drawn.
const NAP: Duration = Duration::from_millis(100);

/// A process that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its pid.
    pub pid: i32,
    /// When it was started: with the pid it means one process.
    pub start_ticks: u64,
    /// Whether it belongs to the one who chooses.
    pub is_own: bool,
    /// Whom it belongs to.
    pub user: String,
    /// The interpreter's version.
    pub python: Option<String>,
    /// Its resident set.
    pub resident_bytes: u64,
    /// The container that it runs in.
    pub container: Option<String>,
    /// Its whole command line.
    pub command: String,
    /// Why it cannot be recorded, if so.
    pub obstacle: Option<String>,
}

/// What one look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// In the order in which they are shown.
    pub offers: Vec<Offer>,
    /// What else there is to say, for people.
    pub note: Option<String>,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// A process, by pid and start.
    Process(i32, u64),
    /// Nothing: it was left.
    Nothing,
    /// Nothing, by a signal or the key for it. The terminal is as it was; it is time to die of it.
    Signal(i32),
}

/// Has one of the processes chosen, beginning with what was seen `first`. Meanwhile `look` is
/// called about once a second.
pub fn pick(first: Seen, look: impl FnMut() -> io::Result<Seen> + Send) -> Result<Picked, Error> {
    check_terminal()?;
    thread::scope(|scope| {
        let (sender, looks) = channel();
        let (goes_on, is_over) = channel();
        let mut picker = Picker {
            state: State::new(first),
            theme: Theme::of_environment(),
            // From here on a signal ends us by way of giving the terminal back.
            input: Input::start()?,
            screen: Screen::take()?,
            looks,
            _goes_on: goes_on,
        };
        scope.spawn(move || look_on(look, &sender, &is_over));
        let picked = picker.run()?;
        Ok(picker.end().map_or(picked, Picked::Signal))
    })
}

/// Looks again and again, until nobody wants to know it.
fn look_on(
    mut look: impl FnMut() -> io::Result<Seen>,
    looks: &Sender<io::Result<Seen>>,
    is_over: &Receiver<()>,
) {
    let mut took = Duration::ZERO;
    while is_over.recv_timeout(REFRESH.max(took * REST)) == Err(RecvTimeoutError::Timeout) {
        let began = Instant::now();
        if looks.send(look()).is_err() {
            return;
        }
        took = began.elapsed();
    }
}

struct Picker {
    state: State,
    theme: Theme,
    screen: Screen,
    input: Input,
    looks: Receiver<io::Result<Seen>>,
    /// Without it nobody looks any more.
    _goes_on: Sender<()>,
}

impl Picker {
    fn run(&mut self) -> Result<Picked, Error> {
        loop {
            self.draw()?;
            let mut message = self.wait()?;
            // Of many that wait, as after a turn of the wheel, only the last is drawn.
            while let Some(next) = message {
                match next {
                    Message::Event(event) => match self.state.on(&event) {
                        Outcome::Stay => {}
                        Outcome::Leave(picked) => return Ok(picked),
                        Outcome::Suspend => self.suspend()?,
                    },
                    Message::End(signal) => return Ok(Picked::Signal(signal)),
                    Message::Continued => self.screen.lend(|| ())?,
                    Message::Gone(error) => return Err(error.into()),
                }
                message = self.input.waiting();
            }
        }
    }

    /// Ends, and gives the signal that came behind the last key, as such or as the key for it.
    /// The terminal comes first: from then on the key is a signal, and what was typed before is
    /// still read.
    fn end(self) -> Option<i32> {
        let Picker { mut state, screen, input, .. } = self;
        drop(screen);
        input.end().into_iter().find_map(|message| match message {
            Message::End(signal) => Some(signal),
            Message::Event(event) => match state.on(&event) {
                Outcome::Leave(Picked::Signal(signal)) => Some(signal),
                _ => None,
            },
            Message::Continued | Message::Gone(_) => None,
        })
    }

    /// Waits for a message, or until the list is newer.
    fn wait(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if let Ok(seen) = self.looks.try_recv() {
                self.state.take(seen.map_err(Error::Processes)?);
                return Ok(None);
            }
            if let Some(message) = self.input.within(NAP) {
                return Ok(Some(message));
            }
        }
    }

    fn suspend(&mut self) -> io::Result<()> {
        let input = &self.input;
        // What comes first is that we were continued, or nothing.
        let _continued = self.screen.lend(|| stop_job(input))?;
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        let (state, theme) = (&mut self.state, self.theme);
        self.screen.draw(|frame| draw::draw(frame, state, theme))
    }
}
