//! `prof` on a full screen: a terminal, somebody at its keys, and what it shows.

use super::prof::terminal;
use super::{binary, until};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::Signal;
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// A terminal with a `prof` that runs on it; killed when dropped.
pub struct Screen {
    person: Option<File>,
    reader: Option<JoinHandle<()>>,
    /// Whether nobody sits before it any more.
    is_left: Arc<AtomicBool>,
    program: File,
    parser: Arc<Mutex<vt100::Parser>>,
    before: Termios,
    child: Child,
}

impl Screen {
    /// Starts `prof` on a new terminal of 24 rows and 80 columns.
    #[track_caller]
    pub fn of(args: &[&str]) -> Screen {
        Screen::under(&[], args)
    }

    /// Starts it through another command, which gets it as its last arguments. Both are
    /// a session of their own, as in a window of a terminal.
    #[track_caller]
    pub fn under(words: &[&str], args: &[&str]) -> Screen {
        Screen::with(words, args, &[])
    }

    /// The same with variables of the environment.
    #[track_caller]
    pub fn with(words: &[&str], args: &[&str], variables: &[(&str, &str)]) -> Screen {
        let (person, program) = terminal();
        tcsetwinsize(&person, size(24, 80)).expect("a terminal has a size");
        let before = tcgetattr(&program).expect("it is a terminal");
        let end = || program.try_clone().expect("a descriptor");
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .args(words)
            .arg(binary())
            .args(args)
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied())
            .env_remove("NO_COLOR");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid can be started");
        let parser = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)));
        let (shown, mut output) = (Arc::clone(&parser), person.try_clone().expect("a descriptor"));
        let is_left = Arc::new(AtomicBool::new(false));
        let is_over = is_left.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while !is_over.load(Relaxed) {
                let mut wanted = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
                if poll(&mut wanted, PollTimeout::from(50u8)) == Ok(0) {
                    continue;
                }
                // It ends with an error when no program has the terminal any more.
                let Ok(count @ 1..) = output.read(&mut bytes) else { return };
                shown.lock().expect("no reader panics").process(&bytes[..count]);
            }
        });
        Screen { person: Some(person), reader: Some(reader), is_left, program, parser, before, child }
    }

    fn person(&self) -> &File {
        self.person.as_ref().expect("it is not gone")
    }

    /// Has it go away, as where a window is closed or a connection ends.
    pub fn hang_up(&mut self) {
        self.is_left.store(true, Relaxed);
        self.reader.take().into_iter().for_each(|reader| reader.join().expect("no reader panics"));
        self.person = None;
    }

    fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.parser.lock().expect("no reader panics")
    }

    /// What it shows.
    pub fn text(&self) -> String {
        self.parser().screen().contents()
    }

    /// Waits until it shows all of these.
    #[track_caller]
    pub fn shows(&self, words: &[&str]) -> &Screen {
        let has_all = |text: &str| words.iter().all(|word| text.contains(word));
        let shown = super::within(super::DEADLINE, || has_all(&self.text()).then_some(()));
        assert!(shown.is_some(), "{words:?} are not shown:\n{}", self.text());
        self
    }

    /// Types something.
    #[track_caller]
    pub fn press(&self, keys: &str) -> &Screen {
        self.person().write_all(keys.as_bytes()).expect("somebody reads");
        self
    }

    /// Changes its size.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        self.parser().screen_mut().set_size(cells(rows), cells(columns));
        tcsetwinsize(self.person(), size(rows, columns)).expect("a terminal has a size");
    }

    /// Sends a signal to what was started on it.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        super::signal(self.child.id(), signal);
    }

    /// Whether a program has changed how the terminal works.
    pub fn is_taken(&self) -> bool {
        let now = tcgetattr(&self.program).expect("it is a terminal");
        let modes = |termios: &Termios| {
            (termios.input_modes, termios.output_modes, termios.control_modes, termios.local_modes)
        };
        let parser = self.parser();
        let screen = parser.screen();
        modes(&now) != modes(&self.before)
            || screen.alternate_screen()
            || screen.hide_cursor()
            || screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// Waits for the end of what was started.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        until("it ends", || self.child.try_wait().expect("a child can be waited for"))
    }
}

fn cells(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a screen has cells")
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended; then both fail, and that is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
