//! The records of a piece that waits until its events are due.

use super::chunk::{ChunkDecoder, Item};
use super::columns::Records;
use crate::model::{Event, Stacks};
use prof_shared::fields::Source;

/// Records, as far as they are not read.
#[derive(Debug)]
pub(super) enum Waiting {
    /// By field, as a file has them.
    Sorted(Records),
    /// As the target wrote them.
    Raw {
        /// All of them.
        bytes: Vec<u8>,
        /// Bytes that are read.
        read: usize,
    },
}

/// What is left after a look at the events of a piece.
#[derive(Debug)]
pub(super) enum Left {
    /// An event that was not taken, and perhaps more.
    Event(Event),
    /// Nothing.
    Nothing,
    /// Something that is no records.
    Damage,
}

impl Waiting {
    /// Offers the events to `offer`, until one is not taken.
    pub fn read(
        &mut self,
        decoder: &mut ChunkDecoder,
        stacks: &mut Stacks,
        offer: impl FnMut(&Event) -> bool,
    ) -> Left {
        match self {
            Waiting::Sorted(records) => {
                let mut unread = records.unread();
                let left = events(decoder, &mut unread, stacks, offer);
                let (bytes, is_empty) = (unread.left(), unread.is_empty());
                records.read_until(bytes);
                match left {
                    Left::Nothing if !is_empty => Left::Damage,
                    left => left,
                }
            }
            Waiting::Raw { bytes, read } => {
                let mut unread = &bytes[*read..];
                let left = events(decoder, &mut unread, stacks, offer);
                *read = bytes.len() - unread.len();
                left
            }
        }
    }
}

#[inline(always)]
fn events<'a>(
    decoder: &mut ChunkDecoder,
    source: &mut impl Source<'a>,
    stacks: &mut Stacks,
    mut offer: impl FnMut(&Event) -> bool,
) -> Left {
    loop {
        match decoder.next(source, stacks) {
            Ok(Some(Item::Event(event))) if offer(&event) => {}
            Ok(Some(Item::Event(event))) => return Left::Event(event),
            Ok(Some(Item::Code(_))) => {}
            Ok(None) => return Left::Nothing,
            Err(_) => return Left::Damage,
        }
    }
}
