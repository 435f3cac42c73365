//! What survives writing, reading, damage and a full disk.

use prof_shared::record::CodeField;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::format::MAX_PIECE;
use super::piece::PIECE_HEAD;
use super::testing::{Records, Scratch, code, metadata, put_chunk};
use super::*;
use crate::model::{
    Addr, ChunkSerial, CodeId, CodeObject, End, EndReason, Event, Kind, Metadata, Note, RssSample, StackId,
    ThreadName, ThreadSerial, Tick, Tid, What,
};

fn events(scratch: &Scratch) -> (Vec<Event>, u64) {
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let mut events = reader.events();
    let all = events.by_ref().collect();
    (all, events.damaged_chunks())
}

fn ticks(scratch: &Scratch) -> (Vec<u64>, u64) {
    let (events, damaged) = events(scratch);
    (events.iter().map(|event| event.at.0).collect(), damaged)
}

fn finish(writer: Writer) {
    writer.finish(&End { reason: EndReason::Duration, ..End::default() }).expect("there is room");
}

#[test]
fn everything_comes_back() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    writer.code(&code(1, "main")).expect("room");
    writer.thread(&ThreadName { tid: 101, name: "worker".into(), ..ThreadName::default() }).expect("room");
    writer.rss(&RssSample { t_ns: 5, resident_bytes: 4096, ..RssSample::default() }).expect("room");
    writer.note(&Note { text: "calloc was left alone".into(), ..Note::default() }).expect("room");
    put_chunk(
        &mut writer,
        1,
        &Records::new(1, 10).malloc_from(0, &[(1, 6)], 11, 0x1000, 64).free(20, 0x1000),
    );
    writer.metadata(&Metadata { pid: 43, ..metadata() }).expect("room");
    finish(writer);

    let reader = Reader::open(&scratch.path()).expect("it opens");
    assert_eq!(reader.metadata().pid, 43, "the last metadata count");
    assert_eq!(reader.code(CodeId(1)), Some(&code(1, "main")));
    assert_eq!((reader.threads().len(), reader.rss().len(), reader.notes().len()), (1, 1, 1));
    assert_eq!(reader.end().map(|end| end.reason), Some(EndReason::Duration));
    assert!(reader.damage().is_none());
    let mut events = reader.events();
    let first = events.next().expect("an allocation");
    let what = What::Alloc { kind: Kind::Malloc, addr: Addr(0x1000), size: 64 };
    let (thread, tid) = (ThreadSerial(1), Tid(101));
    assert_eq!(first, Event { at: Tick(11), process: first.process, thread, tid, stack: first.stack, what });
    assert_eq!(events.stacks().frames(first.stack).map(|frame| frame.code).collect::<Vec<_>>(), [CodeId(1)]);
    let second = events.next().expect("a free");
    assert_eq!(
        (second.stack, second.what),
        (StackId::EMPTY, What::Free { kind: Kind::Free, addr: Addr(0x1000) })
    );
    assert_eq!((events.next(), events.damaged_chunks()), (None, 0));
}

#[test]
fn threads_are_merged_by_time() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    put_chunk(&mut writer, 1, &Records::of(1, 1, 50).malloc(55, 0x30, 1));
    put_chunk(&mut writer, 2, &Records::new(2, 5).malloc(15, 0x40, 1).malloc(52, 0x50, 1));
    put_chunk(&mut writer, 4, &Records::new(1, 0).malloc(10, 0x10, 1).malloc(20, 0x20, 1));
    put_chunk(&mut writer, 3, &Records::new(3, 18).free(20, 0x10));
    finish(writer);
    let (events, _) = events(&scratch);
    let order: Vec<_> = events.iter().map(|event| (event.at.0, event.thread.0)).collect();
    assert_eq!(order, [(10, 1), (15, 2), (20, 3), (20, 1), (52, 2), (55, 1)], "at 20 the free comes first");
}

#[test]
fn pieces_of_a_chunk_are_joined() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let first = Records::new(1, 0).malloc_from(0, &[(1, 0), (2, 0)], 1, 0x10, 8);
    let cut = first.len();
    let whole = first.malloc_from(1, &[(3, 0)], 2, 0x20, 8);
    writer.piece(ChunkSerial(1), cut as u32, &whole.bytes()[cut..]).expect("room");
    writer.piece(ChunkSerial(1), 0, &whole.bytes()[..cut]).expect("room");
    finish(writer);
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let mut events = reader.events();
    let second = events.by_ref().nth(1).expect("two events");
    let codes: Vec<_> = events.stacks().frames(second.stack).map(|frame| frame.code.0).collect();
    assert_eq!(codes, [3, 1]);
}

#[test]
fn a_realloc_happens_twice() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    put_chunk(
        &mut writer,
        1,
        &Records::new(1, 0).realloc(10, 0x10, 30, 0x20, 64).realloc(40, 0, 41, 0x30, 8),
    );
    put_chunk(&mut writer, 2, &Records::new(2, 0).malloc(20, 0x10, 1));
    finish(writer);
    let (events, _) = events(&scratch);
    let (kind, old_addr) = (Kind::Realloc, Addr(0x10));
    let expected = [
        (10, What::ReallocBegin { old_addr }),
        (20, What::Alloc { kind: Kind::Malloc, addr: old_addr, size: 1 }),
        (30, What::Realloc { kind, old_addr, addr: Addr(0x20), size: 64 }),
        (41, What::Realloc { kind, old_addr: Addr(0), addr: Addr(0x30), size: 8 }),
    ];
    assert_eq!(events.iter().map(|event| (event.at.0, event.what)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_gap_lies_between_the_events_around_it() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    put_chunk(&mut writer, 1, &Records::new(1, 0).malloc(10, 0x10, 1));
    put_chunk(&mut writer, 2, &Records::of(1, 1, 70).put(|e| e.lost(5, 6)).malloc(71, 0x20, 1));
    finish(writer);
    let (events, _) = events(&scratch);
    assert_eq!(events[1].at, Tick(70));
    assert_eq!(events[1].what, What::Lost { since: Tick(10), allocations: 5, frees: 6 });
}

#[test]
fn without_its_trailer_a_capture_is_walked() {
    let scratch = three_chunks();
    let bytes = scratch.bytes();
    let cut = Scratch::holding(&bytes[..bytes.len() - 1]);
    assert_eq!(ticks(&cut), ticks(&scratch));
    assert_eq!(Reader::open(&cut.path()).expect("it opens").notes().len(), 1, "the cut is noted");
}

#[test]
fn an_unfinished_capture_opens() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    put_chunk(&mut writer, 1, &Records::new(1, 0).malloc(10, 0x10, 1));
    drop(writer);
    let reader = Reader::open(&scratch.path()).expect("it opens");
    assert_eq!((reader.end(), reader.notes().len()), (None, 1));
    assert_eq!(ticks(&scratch), (vec![10], 0));
}

fn three_chunks() -> Scratch {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for serial in 1..=3 {
        put_chunk(&mut writer, serial, &Records::new(serial as u32, 0).malloc(10 * serial, 0x10 * serial, 1));
    }
    finish(writer);
    scratch
}

#[test]
fn damage_costs_the_chunk_it_hits() {
    let scratch = three_chunks();
    let bytes = scratch.bytes();
    let second_piece = nth_block(&bytes, format::BlockKind::Piece, 1);
    for (what, at) in [("sync word", 0), ("length", 9), ("head checksum", 17), ("body", 30)] {
        for indexed in [true, false] {
            let end = if indexed { bytes.len() } else { bytes.len() - 1 };
            let mut hurt = bytes[..end].to_vec();
            hurt[second_piece + at] ^= 0x10;
            let hurt = Scratch::holding(&hurt);
            let (ticks, damaged_chunks) = ticks(&hurt);
            assert_eq!(ticks, [10, 30], "{what}, indexed: {indexed}");
            let blocks = Reader::open(&hurt.path()).expect("it opens").damage().blocks;
            assert_eq!(damaged_chunks + blocks, 1, "{what} is counted, indexed: {indexed}");
        }
    }
}

fn nth_block(bytes: &[u8], kind: format::BlockKind, n: usize) -> usize {
    let mut at = format::FILE_HEAD as usize;
    let mut seen = 0;
    loop {
        let head = bytes[at..at + format::BLOCK_HEAD].try_into().expect("a whole head");
        let head = format::BlockHead::from_bytes(&head).expect("undamaged");
        if head.kind == kind as u32 {
            if seen == n {
                return at;
            }
            seen += 1;
        }
        at += head.total() as usize;
    }
}

#[test]
fn a_missing_piece_ends_its_chunk() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let first = Records::new(1, 0).malloc(1, 0x10, 8);
    let hole = first.len();
    let whole = first.malloc(2, 0x20, 8);
    let end = whole.len();
    let whole = whole.malloc(3, 0x30, 8);
    writer.piece(ChunkSerial(1), 0, &whole.bytes()[..hole]).expect("room");
    writer.piece(ChunkSerial(1), end as u32, &whole.bytes()[end..]).expect("room");
    writer.piece(ChunkSerial(2), 8, &whole.bytes()[hole..end]).expect("room");
    put_chunk(&mut writer, 3, &Records::of(1, 1, 4).malloc(5, 0x40, 8));
    finish(writer);
    assert_eq!(ticks(&scratch), (vec![1, 5], 2));
}

/// An index that names one block again and again: nothing is read more often than it
/// could be there.
#[test]
fn blocks_on_top_of_each_other_are_damage() {
    use super::index::{self, BlockEntry, PieceEntry};
    const TIMES: usize = 1 << 17;
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    writer.code(&CodeObject { line_table: vec![7; 1 << 20], ..code(1, "main") }).expect("room");
    let records = Records::new(1, 0).put(|e| {
        e.code_bytes(1, CodeField::Name, 1, 0, 60_000).fill(7);
    });
    put_chunk(&mut writer, 1, &records);
    finish(writer);
    let mut bytes = scratch.bytes();
    let [codes, piece] =
        [format::BlockKind::Codes, format::BlockKind::Piece].map(|kind| nth_block(&bytes, kind, 0) as u64);
    let position = bytes.len() as u64;
    let block = |kind: format::BlockKind, position| BlockEntry { kind: kind as u32, position, piece: None };
    let mut entries = vec![block(format::BlockKind::Metadata, format::FILE_HEAD)];
    entries.extend((0..TIMES).map(|_| block(format::BlockKind::Codes, codes)));
    entries.extend((0..TIMES).map(|n| {
        let chunk = ChunkSerial(n as u64 + 2);
        let thread = ThreadSerial(n as u32);
        let head = PieceEntry { chunk, offset: 0, thread, sequence: 0, first_tick: Tick(0) };
        BlockEntry { piece: Some(head), ..block(format::BlockKind::Piece, piece) }
    }));
    for (kind, body) in [
        (format::BlockKind::Index, index::encode(&entries)),
        (format::BlockKind::Trailer, position.to_le_bytes().to_vec()),
    ] {
        bytes.extend(format::BlockHead::new(kind, &body).to_bytes());
        bytes.extend(body);
    }
    let scratch = Scratch::holding(&bytes);
    let reader = Reader::open(&scratch.path()).expect("it opens");
    assert!(reader.damage().blocks > TIMES as u64 - 5);
    let mut events = reader.events();
    assert_eq!((events.by_ref().count(), events.damaged_chunks()), (0, TIMES as u64));
}

#[test]
fn unknown_blocks_are_skipped() {
    let scratch = Scratch::new();
    drop(scratch.writer());
    let mut bytes = scratch.bytes();
    let mut head = format::BlockHead::new(format::BlockKind::Note, b"future");
    head.kind = 4711;
    bytes.extend_from_slice(&head.to_bytes());
    bytes.extend_from_slice(b"future");
    let reader = Scratch::holding(&bytes);
    assert!(Reader::open(&reader.path()).expect("it opens").damage().is_none());
}

#[test]
fn other_files_are_refused() {
    let refusal = |bytes: &[u8]| Reader::open(&Scratch::holding(bytes).path()).expect_err("no capture");
    assert!(matches!(refusal(b""), Error::NotACapture(_)));
    assert!(matches!(refusal(&[0; 64]), Error::NotACapture(_)));
    let mut head = [0; 16];
    head[..8].copy_from_slice(&format::MAGIC);
    head[8] = 1;
    assert!(matches!(refusal(&head), Error::NoMetadata(_)));
    head[8] = 3;
    assert!(matches!(refusal(&head), Error::Version { found: 3, .. }));
}

#[test]
fn the_file_is_private_and_nothing_is_overwritten_or_followed() {
    let scratch = Scratch::new();
    drop(scratch.writer());
    let found = fs::metadata(scratch.path()).expect("it is there");
    assert_eq!(found.mode() & 0o777 & !0o600, 0);
    let create = |force| Writer::create(&scratch.path(), force, &metadata());
    assert!(matches!(create(false), Err(Error::Exists(_))));
    create(true).expect("forced");

    let victim = scratch.path().with_extension("victim");
    fs::write(&victim, "precious").expect("room");
    fs::remove_file(scratch.path()).expect("it is there");
    symlink(&victim, scratch.path()).expect("room");
    assert!(matches!(create(false), Err(Error::Exists(_))));
    create(true).expect("forced");
    assert_eq!(fs::read_to_string(&victim).expect("still there"), "precious");
    assert!(fs::symlink_metadata(scratch.path()).expect("it is there").is_file());

    fs::remove_file(scratch.path()).expect("it is there");
    fs::create_dir(scratch.path()).expect("room");
    assert!(matches!(create(true), Err(Error::NotRegular(_))));
}

#[test]
fn a_capture_that_was_not_begun_goes_and_nothing_else_does() {
    let scratch = Scratch::new();
    let begun = |writer: Writer| writer.begun().expect("it is open");
    begun(scratch.writer()).remove();
    assert!(!scratch.path().exists());
    let first = begun(scratch.writer());
    fs::rename(scratch.path(), scratch.path().with_extension("old")).expect("it is there");
    fs::write(scratch.path(), "precious").expect("room");
    first.remove();
    assert_eq!(fs::read_to_string(scratch.path()).expect("still there"), "precious");
}

#[test]
fn a_full_disk_ends_in_a_finished_capture() {
    let complete = three_chunks().bytes().len() as u64;
    let start = {
        let scratch = Scratch::new();
        scratch.writer().length()
    };
    for full_at in start..complete {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        writer.full_at = Some(full_at);
        let mut written = 0;
        for serial in 1..=3 {
            let records = Records::new(serial as u32, 0).malloc(10 * serial, 0x10 * serial, 1);
            match writer.piece(ChunkSerial(serial), 0, records.bytes()) {
                Ok(()) => written += 1,
                Err(error) => assert!(matches!(error, Error::Full(_)), "{error}"),
            }
        }
        let finished = writer.finish(&End { reason: EndReason::DiskFull, ..End::default() });
        let reader = Reader::open(&scratch.path()).expect("it opens");
        assert!(reader.damage().is_none());
        assert_eq!(finished.is_ok(), reader.end().is_some(), "at {full_at} of {complete}");
        let kept = reader.events().count();
        assert!(
            kept == written
                || finished.is_err()
                || reader.notes().iter().any(|note| note.text.contains("gave way"))
        );
    }
}

#[test]
fn the_ending_needs_less_room_than_a_piece() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let noise: Vec<u64> = (0..2000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16).collect();
    let mut serial = 0;
    let mut piece = |writer: &mut Writer| {
        serial += 1;
        let start = Records::new(1, serial);
        let records = noise.iter().fold(start, |records, &addr| records.malloc(serial, addr, 1));
        writer.piece(ChunkSerial(serial), 0, records.bytes())
    };
    piece(&mut writer).expect("room");
    writer.code(&code(1, "late")).expect("room");
    writer.full_at = Some(writer.length() + 10);
    piece(&mut writer).expect_err("full");
    writer.finish(&End { reason: EndReason::DiskFull, ..End::default() }).expect("the last piece gives way");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    assert_eq!(reader.end().map(|end| end.reason), Some(EndReason::DiskFull));
    assert!(reader.code(CodeId(1)).is_some(), "codes that waited are written");
    assert!(reader.notes()[0].text.contains("the last 1 blocks gave way"));
}

/// Reads all of a file; the limits are those of a small input.
fn read_all(bytes: &[u8]) {
    let scratch = Scratch::holding(bytes);
    let Ok(reader) = Reader::open(&scratch.path()) else { return };
    let mut events = reader.events();
    let count = events.by_ref().count();
    let pieces = bytes.len() / PIECE_HEAD;
    assert!(count <= pieces * MAX_PIECE / 3, "a piece has a head and a bound, an event has 3 bytes at least");
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(tail in prop::collection::vec(any::<u8>(), 0..512)) {
        read_all(&tail);
        let scratch = Scratch::new();
        drop(scratch.writer());
        let mut bytes = scratch.bytes();
        bytes.extend_from_slice(&tail);
        read_all(&bytes);
    }

    #[test]
    fn hurt_captures_do_no_harm(
        hurts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = three_chunks().bytes();
        for (at, value) in hurts {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_all(&bytes);
        read_all(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn random_records_with_right_checksums_do_no_harm(
        records in prop::collection::vec(any::<u8>(), 0..256),
        offsets in prop::collection::vec(0u32..64, 1..4),
        json in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        let mut body = Records::new(1, 0).bytes().to_vec();
        body.extend_from_slice(&records);
        writer.piece(ChunkSerial(1), 0, &body).expect("room");
        writer.piece(ChunkSerial(2), 0, &records).expect("room");
        for offset in offsets {
            writer.piece(ChunkSerial(1), offset, &records).expect("room");
        }
        finish(writer);
        let mut bytes = scratch.bytes();
        for kind in format::BlockKind::ALL {
            bytes.extend_from_slice(&format::BlockHead::new(kind, &json).to_bytes());
            bytes.extend_from_slice(&json);
        }
        read_all(&bytes);
    }

    #[test]
    fn an_assembler_holds_no_more_than_it_was_given(
        records in prop::collection::vec((0u32..4, 0u8..6, 0u8..5, 0u32..8, prop::collection::vec(any::<u8>(), 0..8)), 0..64),
    ) {
        use prof_shared::record::Record;
        let mut assembler = CodeAssembler::new();
        for (id, field, width, offset, bytes) in &records {
            let (id, field, width, offset) = (*id, *field, *width, *offset);
            assembler.add(&Record::CodeBytes { id, field, width, offset, bytes });
            assembler.add(&Record::Code { id, first_line: 1, lengths: [offset, 0, 0, 0] });
        }
        prop_assert!(assembler.unfinished() <= 4);
    }
}
