//! A recording on a full screen while it runs: that of another prof (`prof live`), or our own
//! (`prof attach` on a terminal), then on a thread beside the one that records.
//!
//! ```text
//!  Watch ─► Snapshot ─┐
//!  Event ─► State::on ┴─► draw ─► Buffer      State and draw know no terminal
//! ```
//!
//! It only reads the capture, so however slow the terminal is, the recording does not wait.

mod draw;
mod state;
mod tree;

#[cfg(test)]
mod tests;

use rustix::process::setpriority_process;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::input::{Input, Message};
use super::screen::Screen;
use super::theme::Theme;
use super::{Ending, Error, check_terminal, stop_job};
use crate::report::{Plain, Watch};
use state::{Outcome, Role, State};

/// Keys wait no longer than it takes to read so many bytes of the capture.
const STEP_BYTES: u64 = 128 << 10;
/// With nothing to read, so often is looked whether there is more.
const NAP: Duration = Duration::from_millis(100);
/// Figures are no newer than this.
const REFRESH: Duration = Duration::from_millis(500);
/// Making them takes no larger part of the time than one in so many.
const SHARE: u32 = 20;

/// Where processors are short, the recorder and its target go before its view (nice(2)).
const NICE: i32 = 10;

/// A page that is being written: where to, or why it was not.
pub type Page = JoinHandle<Result<PathBuf, String>>;
/// Begins a page of what is recorded so far.
pub type BeginPage<'w> = &'w dyn Fn() -> Page;

/// What is known of a recording of our own besides its capture.
#[derive(Clone, Copy)]
pub struct Own<'w> {
    /// Whether it has ended, and with it the view.
    pub is_over: &'w AtomicBool,
    /// The longest stop of a thread so far.
    pub longest_pause_us: fn() -> u64,
}

/// How the view was left.
pub struct Left {
    /// Why.
    pub ending: Ending,
    /// It is still being written.
    pub page: Option<Page>,
}

/// Shows the recording that is watched, which `file` is. The view of our own ends with it, and the
/// calling thread gives way to others.
pub fn live(
    watch: Watch<'_>,
    file: &Path,
    own: Option<Own<'_>>,
    begin_page: BeginPage<'_>,
) -> Result<Left, Error> {
    check_terminal()?;
    let role = if own.is_some() { Role::Recorder } else { Role::Viewer };
    let metadata = watch.metadata();
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let command = metadata.command_line.join(" ");
    let title =
        format!("prof {} · {} · pid {} · {}", role.command(), Plain(&name), metadata.pid, Plain(&command));
    let mut viewer = Viewer {
        watch,
        state: State::new(title, role),
        own,
        theme: Theme::of_environment(),
        begin_page,
        page: None,
        // From here on a signal ends us by way of giving the terminal back.
        input: Input::start()?,
        screen: Screen::take()?,
        latest: (0, Instant::now()),
    };
    // Not before its threads were started: keys are heard at once.
    if role == Role::Recorder {
        let _as_before = setpriority_process(None, NICE);
    }
    let ending = viewer.run()?;
    Ok(Left { ending, page: viewer.page })
}

struct Viewer<'w> {
    watch: Watch<'w>,
    state: State,
    own: Option<Own<'w>>,
    theme: Theme,
    begin_page: BeginPage<'w>,
    page: Option<Page>,
    screen: Screen,
    input: Input,
    /// Bytes read when something was read last, and when that was.
    latest: (u64, Instant),
}

impl Viewer<'_> {
    fn run(&mut self) -> Result<Ending, Error> {
        let mut due = Instant::now();
        self.watch.read_on(STEP_BYTES)?;
        loop {
            if Instant::now() >= due {
                due = self.refresh();
            }
            self.draw()?;
            // Until something is to be drawn anew.
            let mut message = None;
            while message.is_none() && Instant::now() < due {
                if self.own.is_some_and(|own| own.is_over.load(Relaxed)) {
                    return Ok(Ending::Quit);
                }
                let nap = if self.watch.is_up_to_date() { NAP } else { Duration::ZERO };
                message = self.input.within(nap);
                if message.is_none() {
                    self.watch.read_on(STEP_BYTES)?;
                }
            }
            // Of many that wait, as after a turn of the wheel, only the last is drawn.
            while let Some(next) = message {
                match next {
                    Message::Event(event) => match self.state.on(&event) {
                        Outcome::Quit => return Ok(Ending::Quit),
                        outcome => self.act(outcome)?,
                    },
                    Message::End(signal) => return Ok(Ending::Signal(signal)),
                    Message::Continued => self.screen.lend(|| ())?,
                    Message::Gone(error) => return Err(error.into()),
                }
                message = self.input.waiting();
            }
        }
    }

    /// Makes new figures; tells when the next ones are due.
    fn refresh(&mut self) -> Instant {
        let began = Instant::now();
        let read_bytes = self.watch.read_bytes();
        if read_bytes != self.latest.0 {
            self.latest = (read_bytes, began);
        }
        self.state.quiet = began - self.latest.1;
        self.hear_of_page();
        if !self.state.is_paused {
            self.look();
        }
        let now = Instant::now();
        now + REFRESH.max((now - began) * SHARE)
    }

    fn look(&mut self) {
        let mut snapshot = self.watch.snapshot(self.state.grouping);
        // In the capture it stands at its end.
        snapshot.longest_pause_us =
            snapshot.longest_pause_us.or(self.own.map(|own| (own.longest_pause_us)()));
        self.state.take(snapshot);
    }

    fn act(&mut self, outcome: Outcome) -> Result<(), Error> {
        match outcome {
            Outcome::Stay | Outcome::Quit => return Ok(()),
            Outcome::Suspend => {
                let input = &self.input;
                // What comes first is that we were continued, or nothing.
                let _continued = self.screen.lend(|| stop_job(input))?;
                return Ok(());
            }
            Outcome::Mark => self.watch.mark(),
            Outcome::Unmark => self.watch.unmark(),
            Outcome::Regroup => {}
            Outcome::Write => {
                self.page.get_or_insert_with(self.begin_page);
                self.state.say("writing the page …".to_owned());
                return Ok(());
            }
        }
        self.look();
        Ok(())
    }

    /// Says so if a page is written.
    fn hear_of_page(&mut self) {
        if let Some(page) = self.page.take_if(|page| page.is_finished()) {
            self.state.say(told(page));
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let (state, theme) = (&mut self.state, self.theme);
        Ok(self.screen.draw(|frame| draw::draw(frame, state, theme))?)
    }
}

/// Waits for a page, and says what became of it.
pub fn told(page: Page) -> String {
    match page.join() {
        Ok(Ok(path)) => format!("wrote {}", Plain(&path.display().to_string())),
        Ok(Err(why)) => format!("the page could not be written: {}", Plain(&why)),
        Err(_panicked) => "the page could not be written".to_owned(),
    }
}
