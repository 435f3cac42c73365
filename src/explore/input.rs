//! Keys, resizes and signals, as one stream, which ends when it is dropped: the terminal may
//! then have another reader.

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::io::{self, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Within this time the reader of the terminal notices that nobody wants more.
const GLANCE: Duration = Duration::from_millis(50);

/// Something that came from outside.
#[derive(Debug)]
pub enum Message {
    /// From the terminal.
    Event(Event),
    /// A signal that ends us.
    End(i32),
    /// We were stopped and go on.
    Continued,
    /// The terminal cannot be read any more.
    Gone(io::Error),
}

/// The stream.
pub struct Input {
    messages: Receiver<Message>,
    is_over: Arc<AtomicBool>,
    signals: Handle,
    threads: Vec<JoinHandle<()>>,
}

impl Input {
    /// Starts to read. From now on the signals that would end us are messages.
    pub fn start() -> io::Result<Input> {
        let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGCONT])?;
        let (sender, messages) = channel();
        let (of_signals, handle) = (sender.clone(), signals.handle());
        let is_over = Arc::new(AtomicBool::new(false));
        let is_last = is_over.clone();
        let listen = move || {
            for signal in signals.forever() {
                let message = if signal == SIGCONT { Message::Continued } else { Message::End(signal) };
                if of_signals.send(message).is_err() {
                    return;
                }
            }
        };
        let threads = vec![thread::spawn(listen), thread::spawn(move || read(&sender, &is_last))];
        Ok(Input { messages, is_over, signals: handle, threads })
    }

    /// Waits for the next message.
    pub fn next(&self) -> Message {
        self.messages.recv().unwrap_or_else(|_| Message::Gone(io::ErrorKind::UnexpectedEof.into()))
    }

    /// The next message if it is there already.
    pub fn waiting(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// Waits for the next message, but not for long.
    pub fn within(&self, limit: Duration) -> Option<Message> {
        self.messages.recv_timeout(limit).ok()
    }

    /// Ends it, and gives what came up to then.
    pub fn end(mut self) -> Vec<Message> {
        self.stop();
        self.messages.try_iter().collect()
    }

    fn stop(&mut self) {
        self.is_over.store(true, Relaxed);
        self.signals.close();
        for thread in self.threads.drain(..) {
            // If it panicked it has said so itself.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Without any time at all the library would not look (`event/source/unix/tty.rs`).
const INSTANT: Duration = Duration::from_millis(1);

/// Reads until nobody wants more, and then all that is there.
fn read(sender: &Sender<Message>, is_over: &AtomicBool) {
    let mut patience = Duration::ZERO;
    loop {
        let is_end = is_over.load(Relaxed);
        match next_event(if is_end { Duration::ZERO } else { patience }) {
            Ok(None) if is_end => return,
            Ok(None) => patience = GLANCE,
            Ok(Some(event)) => {
                patience = Duration::ZERO;
                if sender.send(Message::Event(event)).is_err() {
                    return;
                }
            }
            Err(error) => {
                // Nobody may want to know.
                let _unheard = sender.send(Message::Gone(error));
                return;
            }
        }
    }
}

/// The next event if one comes within this time. A terminal that is gone is an error: the
/// library would read from its end for ever (crossterm 0.29, `event/source/unix/mio.rs`).
fn next_event(patience: Duration) -> io::Result<Option<Event>> {
    let terminal = stdin();
    let mut wanted = [PollFd::new(&terminal, PollFlags::IN)];
    let limit = Timespec::try_from(patience).expect("it is short");
    match poll(&mut wanted, Some(&limit)) {
        Ok(_) if wanted[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) => {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    event::poll(INSTANT)?.then(event::read).transpose()
}
