//! Decodes events in a thread of its own, while the caller makes something of them.
//!
//! ```text
//!  decoder  ─► batch ─► batch ─►  caller       a few batches go round, so that the one
//!           ◄───────── empty ◄──               that is slower sets the pace
//! ```

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::merge::Events;
use crate::model::Event;

/// Batches that wait for the caller.
const AHEAD: usize = 4;

/// Consecutive events.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The part of the capture that is read behind them, from 0 to 1.
    pub progress: f64,
}

impl Events<'_> {
    /// Has `take` look at all events. What is known of them is there afterwards.
    pub fn for_each_batch(&mut self, mut take: impl FnMut(&Batch)) {
        let (full, batches) = sync_channel(AHEAD);
        let (empty, used) = channel();
        thread::scope(|scope| {
            scope.spawn(move || self.decode(&full, &used));
            for batch in batches {
                take(&batch);
                // The decoder may be done.
                let _ = empty.send(batch);
            }
        });
    }

    /// Ends when there are no more events, or nobody who wants them.
    fn decode(&mut self, full: &SyncSender<Batch>, used: &Receiver<Batch>) {
        loop {
            let mut batch = used.try_recv().unwrap_or_default();
            self.fill(&mut batch.events);
            batch.progress = self.progress();
            if batch.events.is_empty() || full.send(batch).is_err() {
                return;
            }
        }
    }
}
