//! A thread that looks, so that nobody waits for a look.

use super::look::look;
use crate::cpython::ArenaTable;
use crate::model::RssSample;
use prof_injector::process::Process;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Looks take at most one part in so many of the time.
const SHARE: u32 = 100;

/// How thorough a look is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// By category, and only if the time for looking is not used up.
    Usual,
    /// In any case, with the largest files and the places of arenas.
    Thorough,
}

/// The thread.
pub struct Looker {
    /// `None` once it shall end.
    requests: Option<Sender<Request>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    is_busy: bool,
    not_before: Instant,
}

struct Request {
    t_ns: u64,
    detail: Detail,
}

/// What was seen, unless the process is gone, and how long it took.
struct Answer(io::Result<RssSample>, Duration);

impl Looker {
    /// Starts it. `own` is the recording's private memory in the process.
    pub fn start(process: Process, table: Option<ArenaTable>, own: Range<u64>) -> io::Result<Looker> {
        let (requests, to_do) = channel::<Request>();
        let (done, answers) = channel();
        let work = move || {
            for Request { t_ns, detail } in to_do {
                let began = Instant::now();
                let by_name = detail == Detail::Thorough;
                let seen = look(&process, table.as_ref(), std::slice::from_ref(&own), by_name, t_ns);
                if done.send(Answer(seen, began.elapsed())).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("prof-look".into()).spawn(work)?;
        let (requests, thread, not_before) = (Some(requests), Some(thread), Instant::now());
        Ok(Looker { requests, answers, thread, is_busy: false, not_before })
    }

    /// Begins a look; false if one is under way, or looking takes too much time.
    pub fn ask(&mut self, t_ns: u64, detail: Detail) -> bool {
        let may = !self.is_busy && (detail == Detail::Thorough || Instant::now() >= self.not_before);
        let requests = self.requests.as_ref().filter(|_| may);
        self.is_busy |= requests.is_some_and(|requests| requests.send(Request { t_ns, detail }).is_ok());
        may && self.is_busy
    }

    /// Whether a look is under way.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// What a look saw, if one has ended since the last call.
    pub fn take(&mut self, wait: Duration) -> Option<RssSample> {
        match self.answers.recv_timeout(wait) {
            Ok(Answer(seen, took)) => {
                self.is_busy = false;
                self.not_before = Instant::now() + took * SHARE;
                seen.ok()
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.is_busy = false;
                None
            }
        }
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed, and costs samples only.
            let _ended = thread.join();
        }
    }
}
