//! `prof tree`: a capture on a full screen, to be walked through by keys.
//!
//! ```text
//!  Profile ─► Material ─► Shape::tree ─► Tree      pure
//!  Event ───► State::on ─► Outcome                 pure
//!  State, Scene ─► draw ─► Buffer                  pure but for the buffer
//!  Screen, Input, Snippets                         the terminal, signals, source files
//! ```
//!
//! Everything foreign goes through `Plain` before it is drawn. What a colour says is also
//! said by a word or a mark.

mod draw;
mod facts;
mod input;
mod keys;
pub mod live;
mod material;
mod outline;
pub mod picker;
mod screen;
mod search;
mod shape;
mod snippet;
mod state;
mod theme;
mod tree;

#[cfg(test)]
mod draw_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use ratatui::layout::Rect;
use rustix::process::{Signal, kill_current_process_group};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use draw::{Areas, Scene};
use facts::Facts;
use input::{Input, Message};
use material::Material;
use screen::Screen;
use shape::Shape;
use snippet::Snippets;
use state::{Outcome, State};
use theme::Theme;

use crate::report::{Profile, Source, View};

/// What is explored, and how it begins.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Which memory is shown first.
    pub view: View,
    /// So many places have lines of their own.
    pub biggest: usize,
    /// Whether source files are read.
    pub has_source: bool,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard input or output is no terminal, or one that cannot be drawn on.
    #[error("a full-screen view needs a terminal")]
    NoTerminal,
    /// The terminal failed.
    #[error("the terminal failed")]
    Terminal(#[from] io::Error),
    /// There is no list of processes.
    #[error("the processes cannot be listed")]
    Processes(#[source] io::Error),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As wanted.
    Quit,
    /// By a signal. The terminal is as it was; it is time to die of it.
    Signal(i32),
}

/// Fails if [`explore`] would have no terminal. To be asked before a long file is read.
pub fn check_terminal() -> Result<(), Error> {
    if screen::has_terminal() { Ok(()) } else { Err(Error::NoTerminal) }
}

/// Whether a view may come up unasked: there is a terminal, and we have its keys.
pub fn may_take_terminal() -> bool {
    screen::has_terminal() && screen::is_in_foreground()
}

/// Shows a profile that was read from `file` until there was enough of it.
pub fn explore(profile: &Profile<'_>, file: &Path, wanted: Wanted) -> Result<Ending, Error> {
    check_terminal()?;
    let material = Material::new(profile);
    let shape = Shape {
        view: wanted.view,
        biggest: wanted.biggest,
        by_thread: false,
        is_inverted: false,
        hides_imports: false,
        hides_plumbing: true,
    };
    let mut explorer = Explorer {
        state: State::new(&material, shape),
        facts: Facts::new(profile, file),
        snippets: Snippets::new(wanted.has_source.then(|| Source::new(profile.metadata))),
        theme: Theme::of_environment(),
        postponed: VecDeque::new(),
        // From here on a signal ends us by way of giving the terminal back.
        input: Input::start()?,
        screen: Screen::take()?,
    };
    explorer.run()
}

struct Explorer<'p> {
    state: State<'p>,
    facts: Facts,
    snippets: Snippets,
    theme: Theme,
    /// Came while we were about to stop.
    postponed: VecDeque<Message>,
    screen: Screen,
    input: Input,
}

impl Explorer<'_> {
    fn run(&mut self) -> Result<Ending, Error> {
        loop {
            self.draw()?;
            let mut next = Some(self.postponed.pop_front().unwrap_or_else(|| self.input.next()));
            // Of many that wait, as after a turn of the wheel, only the last is drawn.
            while let Some(message) = next {
                match message {
                    Message::Event(event) => match self.state.on(&event) {
                        Outcome::Stay => {}
                        Outcome::Quit => return Ok(Ending::Quit),
                        Outcome::Suspend => self.suspend()?,
                    },
                    Message::End(signal) => return Ok(Ending::Signal(signal)),
                    Message::Continued => self.screen.lend(|| ())?,
                    Message::Gone(error) => return Err(error.into()),
                }
                next = self.postponed.pop_front().or_else(|| self.input.waiting());
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let source = self.snippets.of(self.state.spot(), self.state.material);
        let scene = Scene { facts: &self.facts, source, theme: self.theme };
        let state = &mut self.state;
        self.screen.draw(|frame| {
            let areas = Areas::new(frame.area(), scene.facts, state);
            let Rect { y, height, .. } = areas.lines;
            state.outline.fit(y, height);
            draw::draw(frame, &areas, state, &scene);
        })
    }

    fn suspend(&mut self) -> io::Result<()> {
        let input = &self.input;
        let message = self.screen.lend(|| stop_job(input))?;
        self.postponed.extend(message.filter(|message| !matches!(message, Message::Continued)));
        Ok(())
    }
}

/// Stops this process and those it shares a job with, as Ctrl-Z does, and goes on when
/// somebody has them continued. Where nobody could, the kernel does not stop them. Gives what
/// came meanwhile.
fn stop_job(input: &Input) -> Option<Message> {
    /// Within this time the kernel has stopped us.
    const STOPPING: Duration = Duration::from_millis(200);
    let _nobody_else = kill_current_process_group(Signal::TSTP);
    input.within(STOPPING)
}
