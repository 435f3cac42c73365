//! A stream of lines from a child process, read by a thread of its own.

use super::DEADLINE;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a child wrote so far to one of its streams.
pub struct Stream {
    shared: Arc<Shared>,
    /// Lines before this one were looked at by [`Stream::find`].
    cursor: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    closed: bool,
}

impl Stream {
    /// Reads `source` to its end in the background.
    pub fn follow(source: impl Read + Send + 'static) -> Stream {
        Stream::split(source, b'\n')
    }

    /// Reads what a terminal shows, where a line may be written over by the next.
    pub fn watch(screen: impl Read + Send + 'static) -> Stream {
        Stream::split(screen, b'\r')
    }

    fn split(source: impl Read + Send + 'static, end: u8) -> Stream {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(end).map_while(Result::ok) {
                let line = line.strip_prefix(b"\n").unwrap_or(&line);
                writer.lock().lines.push(String::from_utf8_lossy(line).into_owned());
                writer.changed.notify_all();
            }
            writer.lock().closed = true;
            writer.changed.notify_all();
        });
        Stream { shared, cursor: 0 }
    }

    /// Waits for the next line that `wanted` likes and steps over it. `None` if
    /// the stream ended without it, or not within the deadline.
    pub fn find(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.lock();
        loop {
            while let Some(line) = state.lines.get(self.cursor) {
                self.cursor += 1;
                if wanted(line) {
                    return Some(line.clone());
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self.shared.wait(state, left);
        }
    }

    /// Waits for the end of the stream; whether it came within the deadline.
    pub fn ended(&self) -> bool {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.lock();
        while !state.closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.wait(state, left);
        }
        true
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.shared.lock().lines.join("\n")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a reader thread does not panic")
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).expect("a reader thread does not panic").0
    }
}
