//! Keys, resizes and signals, as one stream.

use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

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
}

impl Input {
    /// Starts to read. From now on the signals that would end us are messages.
    pub fn start() -> io::Result<Input> {
        let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGCONT])?;
        let (sender, messages) = channel();
        let of_signals = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let message = if signal == SIGCONT { Message::Continued } else { Message::End(signal) };
                if of_signals.send(message).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || read(&sender));
        Ok(Input { messages })
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
}

fn read(sender: &Sender<Message>) {
    loop {
        let (message, is_last) = match event::read() {
            Ok(event) => (Message::Event(event), false),
            Err(error) => (Message::Gone(error), true),
        };
        if sender.send(message).is_err() || is_last {
            return;
        }
    }
}
