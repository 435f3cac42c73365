//! Doors for fuzzers to what is read of an interpreter.

use super::Version;
use super::arenas::ArenaTable;
use super::looks;
use super::object::Objects;
use super::offsets::{self, Layout};
use prof_injector::Pid;
use prof_injector::process::Memory;
use prof_shared::region::ABSENT;

const OLDEST: u8 = 6;
const VERSIONS: u8 = 10;

fn version(lot: u8) -> Version {
    Version::from_hex(0x0300_00f0 | u32::from(OLDEST + lot % VERSIONS) << 16).expect("a release")
}

/// A version, a first line, an offset, and a line table.
pub fn lines(data: &[u8]) {
    let Some((&[lot, a, b, c, d, e, f, g, h], table)) = data.split_first_chunk() else { return };
    let (first, offset) = (u32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]));
    let offsets = [offset, -1, 0, 1, 2, 100, i32::MAX];
    offsets.into_iter().for_each(|offset| drop(super::line(version(lot), first, table, offset).to_string()));
}

/// In a word of the image: the rest is an offset in it.
const POINTS: u64 = 0x7a7a << 48;

/// A version, and an image that the runtime's structures lie in. Words that begin with
/// `7a7a` become pointers into it.
pub fn structures(data: &[u8]) {
    let Some((&lot, image)) = data.split_first() else { return };
    let (version, mut layout) = (version(lot), Layout::of(OLDEST + lot % VERSIONS).expect("a table"));
    if let Some(words) = layout.debug {
        let _bad = offsets::apply(&mut layout, &words, version, &image[..image.len().min(words.bytes())]);
    }
    let mut words: Vec<u64> = image.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect();
    let Some(base) = words.first().map(|first| &raw const *first as u64) else { return };
    let bytes = words.len() as u64 * 8;
    for word in words.iter_mut().filter(|word| **word & POINTS == POINTS) {
        *word = base + (*word & !POINTS) % bytes / 8 * 8;
    }
    layout.walk.code_type = base;
    let memory = Memory::new(Pid::from_raw(std::process::id().cast_signed()));
    let _wrong = looks::verify(&memory, &layout, version, base);
    let objects = Objects { memory: &memory, offsets: &layout.walk, object_type: layout.object_type };
    let _damaged = objects.code(base);
    let at = |offset: u32| if offset == ABSENT { base } else { base.wrapping_add(offset.into()) };
    let table =
        ArenaTable::at(at(layout.arenas.state_objects), at(layout.arenas.state_length), &layout.arenas);
    if let Some(arenas) = table.read(&memory) {
        assert!(arenas.ranges().is_sorted_by_key(|range| range.start));
    }
}
