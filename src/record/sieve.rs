//! Lets records pass and nothing else.
//!
//! What the target puts into its ring is its word. A chunk is believed up to the first
//! byte that is no record; what follows in it is counted and goes nowhere. So noise costs
//! neither room on the disk nor time of a reader.

use super::ring::Piece;
use hashbrown::HashMap;
use prof_shared::record::{Decoder, Process, Record};

/// A chunk as far as it was read.
#[derive(Debug, Default)]
struct Chunk {
    decoder: Decoder,
    process: Process,
}

/// The chunks that are not through.
#[derive(Debug, Default)]
pub struct Sieve {
    /// By serial; `None` where something else than records came.
    chunks: HashMap<u64, Option<Chunk>>,
    damaged: u64,
}

impl Sieve {
    /// Hands the records of a piece to `each`, with the process that they are of; how many
    /// bytes of it they are.
    pub fn add(&mut self, piece: &Piece, mut each: impl FnMut(Process, &Record<'_>)) -> usize {
        let known = self.chunks.remove(&piece.chunk);
        let is_new = known.is_none();
        let mut chunk = known.unwrap_or_else(|| Some(Chunk::default()));
        let mut kept = 0;
        if let Some(found) = &mut chunk {
            let is_whole;
            (kept, is_whole) = pass(found, is_new, &piece.bytes, &mut each);
            if !is_whole {
                self.damaged += 1;
                chunk = None;
            }
        }
        if !piece.is_last {
            self.chunks.insert(piece.chunk, chunk);
        }
        kept
    }

    /// Chunks that held something else than records.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

/// The bytes that are records, and whether all are. A chunk begins with an `Origin`
/// and has no second one.
fn pass(
    chunk: &mut Chunk,
    is_new: bool,
    bytes: &[u8],
    each: &mut impl FnMut(Process, &Record<'_>),
) -> (usize, bool) {
    let mut rest = bytes;
    let mut kept = 0;
    loop {
        let is_first = is_new && kept == 0;
        let record = match chunk.decoder.next(&mut rest) {
            Ok(None) => return (kept, !is_first || bytes.is_empty()),
            Ok(Some(record)) if is_first == matches!(record, Record::Origin { .. }) => record,
            Ok(Some(_)) | Err(_) => return (kept, false),
        };
        if let Record::Origin { process, .. } = record {
            chunk.process = process;
        }
        each(chunk.process, &record);
        kept = bytes.len() - rest.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_shared::kind::Kind;
    use prof_shared::record::{Delta, Encoder};

    fn piece(chunk: u64, bytes: &[u8], is_last: bool) -> Piece {
        Piece { chunk, offset: 0, bytes: bytes.to_vec(), is_last }
    }

    fn records(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
        let (mut out, mut delta) = ([0; 256], Delta::default());
        let mut encoder = Encoder::new(&mut out, &mut delta);
        write(&mut encoder);
        let len = encoder.len();
        out[..len].to_vec()
    }

    fn event(encoder: &mut Encoder) {
        encoder.tag(Kind::Malloc);
        encoder.block(5, 64, 8);
    }

    #[test]
    fn records_pass_until_something_else_comes() {
        let whole = records(|e| {
            e.origin(1, 2, 0, 3);
            event(e);
        });
        let more = records(event);
        for (noise, kept) in [(&[0, 0][..], 0), (&[0xff; 8], 0), (&more[..more.len() - 1], 0), (&whole, 0)] {
            let mut sieve = Sieve::default();
            assert_eq!(sieve.add(&piece(7, &whole, false), |_, _| ()), whole.len());
            assert_eq!(sieve.add(&piece(7, &more, false), |_, _| ()), more.len());
            assert_eq!(sieve.add(&piece(7, noise, false), |_, _| ()), kept);
            assert_eq!(sieve.add(&piece(7, &more, true), |_, _| ()), 0, "the chunk is not believed any more");
            assert_eq!((sieve.damaged(), sieve.chunks.len()), (1, 0));
        }
    }

    #[test]
    fn a_chunk_begins_with_its_origin() {
        let mut sieve = Sieve::default();
        assert_eq!(sieve.add(&piece(1, &records(event), true), |_, _| ()), 0);
        assert_eq!(sieve.add(&piece(1, &records(|e| e.origin(1, 1, 0, 1)), true), |_, _| ()), 5);
        assert_eq!((sieve.damaged(), sieve.chunks.len()), (1, 0));
    }

    #[test]
    fn nothing_is_kept_of_chunks_that_are_through() {
        let mut sieve = Sieve::default();
        let origin = records(|e| e.origin(1, 1, 0, 1));
        for chunk in 0..100 {
            sieve.add(&piece(chunk, &origin, false), |_, _| ());
            sieve.add(&piece(chunk, &[], true), |_, _| ());
        }
        assert!(sieve.chunks.is_empty());
    }
}
