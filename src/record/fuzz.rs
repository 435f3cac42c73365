//! Doors for fuzzers to the ring, as a hostile target writes to it.

use super::clock::Clock;
use super::figures::Figures;
use super::ring::{Eagerness, Ring};
use super::sieve::Sieve;
use crate::capture::CodeAssembler;
use crate::model::ProcessId;
use prof_injector::memfd;
use prof_shared::record::Decoder;
use prof_shared::ring::Shape;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Takes the bytes for what the target writes where, and when the attacher looks.
pub fn ring(data: &[u8]) {
    let file = memfd::create("fuzz").expect("memory files can be made");
    let target = file.try_clone().expect("there are descriptors left");
    let shape = Shape::new(Shape::MIN_BYTES);
    let ring = Ring::create(file, shape).expect("it is a new memory file");
    let mut attacher = Attacher {
        ring,
        shape,
        sieve: Sieve::default(),
        figures: Figures::default(),
        codes: CodeAssembler::new(),
    };
    let mut rest = data;
    while let Some((&[what, low, high, length], behind)) = rest.split_first_chunk() {
        let (bytes, behind) = behind.split_at(usize::from(length).min(behind.len()));
        rest = behind;
        attacher.turn(&target, what, u16::from_le_bytes([low, high]), bytes);
    }
    attacher.drain(Eagerness::Everything);
}

struct Attacher {
    ring: Ring,
    shape: Shape,
    sieve: Sieve,
    figures: Figures,
    codes: CodeAssembler,
}

impl Attacher {
    fn turn(&mut self, target: &File, what: u8, place: u16, bytes: &[u8]) {
        let place = u64::from(place);
        let chunk = place % u64::from(self.shape.chunk_count);
        match what % 8 {
            // The ring's header and the headers of chunks, at any byte.
            0 => put(target, bytes, place % self.shape.data_offset()),
            1 => put(target, bytes, prof_shared::ring::TABLE_OFFSET as u64 + chunk * 64),
            2 | 3 => put(target, bytes, self.shape.data_offset() + chunk * u64::from(self.shape.chunk_size)),
            4 => self.ring.beat(Clock::Sequence),
            5 => {
                let open: Vec<_> = self.ring.open_chunks().collect();
                assert!(open.len() <= self.shape.chunk_count as usize);
                open.into_iter()
                    .filter(|&chunk| self.ring.revoke(chunk))
                    .for_each(|chunk| self.ring.reclaim(chunk));
            }
            6 => self.drain(Eagerness::Batches),
            _ => self.drain(Eagerness::Everything),
        }
        self.ring.losses().events();
    }

    fn drain(&mut self, eagerness: Eagerness) {
        let Attacher { ring, shape, sieve, figures, codes } = self;
        let total = ring.drain(eagerness, |piece| {
            assert!(u64::from(piece.offset) + piece.bytes.len() as u64 <= shape.chunk_size.into());
            let kept = sieve.add(&piece, |process, record| {
                figures.count(ProcessId(process.number), record);
                codes.add(record);
            });
            if piece.offset == 0 {
                assert!(is_records(&piece.bytes[..kept]), "what passes is records");
            }
        });
        assert!(total as u64 <= shape.total_bytes());
        figures.live_bytes();
    }
}

fn put(target: &File, bytes: &[u8], at: u64) {
    let room = Shape::new(Shape::MIN_BYTES).total_bytes() - at;
    let bytes = &bytes[..bytes.len().min(room as usize)];
    target.write_all_at(bytes, at).expect("it lies in the file");
}

fn is_records(mut bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new();
    loop {
        match decoder.next(&mut bytes) {
            Ok(None) => return true,
            Ok(Some(_)) => {}
            Err(_) => return false,
        }
    }
}
