//! `prof attach --all`: several processes at once, each into a capture of its own. The longest
//! pause that each tells of is that of all of them.

use std::thread::scope;

use super::failure;
use super::talk::Talk;
use crate::model::EndReason;
use crate::record::{Company, Error, Options, Outcome, record};
use crate::report::Plain;

/// Why all of them shall end.
pub(super) type Stop<'s> = &'s (dyn Fn() -> Option<EndReason> + Sync);

/// Records each until it ends; what could not be recorded is told at once.
pub(super) fn record_each(
    all: &[Options],
    talk_of: &(dyn Fn(i32) -> Talk + Sync),
    stop: Stop<'_>,
) -> Vec<(Talk, Outcome)> {
    let record_one = |options: &Options| {
        let talk = talk_of(options.pid);
        let mut tell = |progress| talk.tell(progress);
        match record(options, &mut Company { stop: &|| stop(), tell: &mut tell }) {
            Ok(outcome) => Some((talk, outcome)),
            Err(error) => {
                tell_failure(options.pid, error);
                None
            }
        }
    };
    let record_one = &record_one;
    scope(|scope| {
        let threads: Vec<_> = all.iter().map(|options| scope.spawn(move || record_one(options))).collect();
        let outcome = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().filter_map(outcome).collect()
    })
}

fn tell_failure(pid: i32, error: Error) {
    let error = error.into();
    eprintln!("prof: process {pid} is not recorded: {}", Plain(&failure::line(&error)));
    if let Some(hint) = failure::hint(&error) {
        eprintln!("hint: {}", Plain(&hint));
    }
}
