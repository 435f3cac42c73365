//! `prof attach --all`: several processes at once, each into a capture of its own.

use std::sync::{Mutex, PoisonError};
use std::thread::{ScopedJoinHandle, scope};

use super::failure;
use super::talk::Talk;
use crate::model::EndReason;
use crate::record::{Company, Error, Options, Outcome, record};
use crate::report::Plain;

/// Why all of them shall end.
pub(super) type Stop<'s> = &'s (dyn Fn() -> Option<EndReason> + Sync);

/// What is done once one has ended.
pub(super) type Conclude<'c> = &'c (dyn Fn(&Talk, Outcome) -> anyhow::Result<()> + Sync);

/// Records each until it ends, and concludes it then, one at a time; how many went well. What
/// went wrong is told at once.
pub(super) fn record_each(
    all: &[Options],
    talk_of: &(dyn Fn(i32) -> Talk + Sync),
    stop: Stop<'_>,
    conclude: Conclude<'_>,
) -> usize {
    let concluding = Mutex::new(());
    let record_one = |options: &Options| {
        let talk = talk_of(options.pid);
        let mut tell = |progress| talk.tell(progress);
        let recorded = record(options, &mut Company { stop: &|| stop(), tell: &mut tell });
        let _one_at_a_time = concluding.lock().unwrap_or_else(PoisonError::into_inner);
        match recorded.map(|outcome| conclude(&talk, outcome)) {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => drop(failure::tell(&error)),
            Err(error) => tell_failure(options.pid, error),
        }
        false
    };
    let record_one = &record_one;
    scope(|scope| {
        let threads: Vec<_> = all.iter().map(|options| scope.spawn(move || record_one(options))).collect();
        let went_well = |thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(went_well).filter(|&went_well| went_well).count()
    })
}

fn tell_failure(pid: i32, error: Error) {
    let error = error.into();
    say!("prof: process {pid} is not recorded: {}", Plain(&failure::line(&error)));
    if let Some(hint) = failure::hint(&error) {
        say!("hint: {}", Plain(&hint));
    }
}
