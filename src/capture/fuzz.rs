//! Doors for fuzzers to the parts of a capture.

use super::CodeAssembler;
use super::chunk::{ChunkDecoder, Item};
use super::columns::Records;
use super::format::{BlockHead, BlockKind, FILE_HEAD, MAGIC, MAX_PIECE, VERSION};
use super::piece::{Packer, PieceHead, Unpacker};
use crate::model::{ChunkSerial, Event, Stacks};
use prof_shared::fields::Source;

/// Takes the bytes for the records of a chunk, and for the body of a piece.
pub fn records(data: &[u8]) {
    let data = &data[..data.len().min(MAX_PIECE)];
    let head = PieceHead::of(ChunkSerial(1), 0, data);
    let body = Packer::new().pack(head, data).expect("it is small");
    let mut records = Records::default();
    assert_eq!(Unpacker::new().unpack(&body, &mut records), Some(head));
    assert_eq!(through(records.unread()), through(data), "sorted by field they are the same");
    let mut malformed = Records::default();
    let _none = Unpacker::new().unpack(data, &mut malformed);
    assert!(malformed.unread().left().iter().sum::<usize>() <= MAX_PIECE);
    through(malformed.unread());
}

/// The events up to the first record that is none.
fn through<'a>(mut source: impl Source<'a>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let (mut decoder, mut stacks, mut codes) = (ChunkDecoder::new(None), Stacks::new(), CodeAssembler::new());
    while let Ok(Some(item)) = decoder.next(&mut source, &mut stacks) {
        match item {
            Item::Event(event) => {
                assert!(events.last().is_none_or(|last| last.at <= event.at), "time does not run backwards");
                events.push(event);
            }
            Item::Code(record) => drop(codes.add(&record)),
        }
    }
    events
}

/// A file of the blocks that the bytes say, with checksums that hold: no fuzzer guesses
/// those. Each block is a kind, a length of two bytes, and its body.
pub fn frame(mut data: &[u8]) -> Vec<u8> {
    let mut file = vec![0; FILE_HEAD as usize];
    file[..MAGIC.len()].copy_from_slice(&MAGIC);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    while let Some((&[kind, low, high], rest)) = data.split_first_chunk() {
        let (body, behind) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
        let kind = BlockKind::from_number(kind.into()).unwrap_or(BlockKind::Note);
        let is_trailer = kind == BlockKind::Trailer && body.is_empty();
        let last = (file.len() as u64).to_le_bytes();
        let body = if is_trailer { &last } else { body };
        file.extend(BlockHead::new(kind, body).to_bytes());
        file.extend(body);
        data = behind;
    }
    file
}
