//! Turns a capture that is full into one with figures only, while recording goes on.
//!
//! ```text
//!  spool    Writer ───────────────────────────┐ Aggregator ──►
//!  thread     └ full: read the file, fold ────┘ caught up, but for the last bytes
//! ```

use super::aggregator::{Aggregator, Folding};
use super::apart::Apart;
use super::clock::Clock;
use super::sink::Sink;
use crate::capture::{Begun, Error, Follower, Result, Writer};
use crate::model::{Note, NoteKind};
use std::io;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// It reads so much at once,
const STEP_BYTES: u64 = 8 << 20;
/// and so much is left to whoever writes.
const NEAR_BYTES: u64 = 1 << 20;

/// How a capture is turned.
pub struct Turning {
    path: PathBuf,
    capture: Option<Begun>,
    max_bytes: u64,
    interval: Duration,
    clock: Clock,
    reader: Option<JoinHandle<io::Result<(Follower, Folding)>>>,
}

impl Turning {
    /// With so many bytes in the capture that is written.
    pub fn at(writer: &Writer, max_bytes: u64, interval: Duration, clock: Clock) -> io::Result<Turning> {
        let capture = Some(writer.begun()?);
        Ok(Turning { path: writer.path().to_owned(), capture, max_bytes, interval, clock, reader: None })
    }

    /// What takes all from now on, if it is time, in the place of `sink`.
    pub fn turn(&mut self, sink: &dyn Sink) -> Result<Option<Box<dyn Sink>>> {
        match &self.reader {
            None if self.capture.is_some() && sink.length() >= self.max_bytes => self.begin().map(|()| None),
            Some(reader) if reader.is_finished() => self.end().map(Some),
            _ => Ok(None),
        }
    }

    fn begin(&mut self) -> Result<()> {
        let follower = Follower::open(&self.path)?;
        let interval = self.interval;
        let read = move || catch_up(follower, interval);
        let reader = Builder::new().name("prof-turning".into()).spawn(read);
        self.reader = Some(reader.map_err(|error| Error::Read(self.path.clone(), error))?);
        Ok(())
    }

    fn end(&mut self) -> Result<Box<dyn Sink>> {
        let fail = |error| Error::Read(self.path.clone(), error);
        let reader = self.reader.take().expect("it has finished");
        let read = reader.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        let (mut follower, folding) = read.map_err(fail)?;
        follower.read_on(u64::MAX).map_err(fail)?;
        let mut gathering = follower.into_gathering();
        let text =
            "the capture had the size asked for: events are not kept any more, only figures".to_owned();
        gathering.notes().push(Note { kind: NoteKind::Other, text, ..Note::default() });
        let capture = self.capture.take().expect("it is turned once");
        let sink = Aggregator::of(capture, gathering, Some(folding), self.interval, self.clock);
        Ok(Box::new(Apart::start(Box::new(sink)).map_err(fail)?))
    }
}

fn catch_up(mut follower: Follower, interval: Duration) -> io::Result<(Follower, Folding)> {
    let mut folding: Option<Folding> = None;
    loop {
        follower.read_on(STEP_BYTES)?;
        let gathering = follower.gathering();
        let folding_now = folding.get_or_insert_with(|| Folding::new(gathering, interval));
        folding_now.take(gathering);
        if follower.behind_bytes() <= NEAR_BYTES {
            return Ok((follower, folding.expect("it was made above")));
        }
    }
}
