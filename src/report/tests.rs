//! What reports say of a small capture: golden files with the recipe that made them.
//!
//! `PROF_BLESS=1 cargo test golden` writes the outputs anew. The capture itself is
//! written only if it is not there: it stands for all files of its version.

use std::fs;
use std::path::{Path, PathBuf};

use super::Reading;
use super::{Format, Order, Page, Profile, Records, Start, StatsReport, SummaryReport, Wanted};
use crate::analysis::{Fold, History, Question};
use crate::capture::testing::{Records as Chunk, Scratch, code, metadata, put_chunk};
use crate::capture::{Gathering, Reader, Writer};
use crate::model::{
    CodeObject, End, EndReason, Entry, Kind, Losses, MallocArena, Metadata, Module, Note, NoteKind,
    ProcessId, ProcessLife, Pymalloc, Python, RssSample, ThreadName, Tick,
};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn lines(code: &CodeObject, offset: i32) -> u32 {
    code.first_line + offset.max(0) as u32 / 2
}

fn stats(reader: &Reader, format: Format) -> String {
    let report = StatsReport::new(Profile::new(reader, &lines), 5);
    let mut out = Vec::new();
    report.write(format, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

fn parse(reader: &Reader, format: Format) -> String {
    let mut out = Vec::new();
    Records::new(reader, &lines, format).write(&mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

/// One of everything.
fn recipe(writer: &mut Writer) {
    let python =
        Python { version: "3.12.1".into(), implementation: "cpython".into(), allocator: "pymalloc".into() };
    let entry = Entry {
        name: "malloc".into(),
        module: "/lib/libc.so.6".into(),
        way: "one byte".into(),
        patch: "+0x9a0f0: 41 -> e9".into(),
    };
    let module =
        Module { path: "/lib/libc.so.6".into(), build_id: "c0ffee".into(), start: 0x1000, end: 0x2000 };
    let full = Metadata {
        prof_version: "0.1.0".into(),
        host: "web-1".into(),
        started_unix_ns: 1_790_000_000_000_000_000,
        libc: "glibc 2.36".into(),
        allocator: "glibc".into(),
        page_size: 4096,
        python,
        entries: vec![entry],
        modules: vec![module],
        ..metadata()
    };
    writer.metadata(&full).expect("room");
    writer.code(&code(1, "<module>")).expect("room");
    writer.code(&CodeObject { qualified_name: "Cache.add\x1b[31m".into(), ..code(2, "add") }).expect("room");
    writer.thread(&ThreadName { t_ns: 1, tid: 101, serial: Some(1), name: "main".into() }).expect("room");
    let sample = RssSample { t_ns: 1_500, resident_bytes: 10 << 20, ..RssSample::default() };
    writer.rss(&sample).expect("room");
    let text = "calloc was left alone".into();
    writer.note(&Note { kind: NoteKind::Refusal, text, ..Note::default() }).expect("room");
    put_chunk(writer, 1, &first_thread());
    put_chunk(writer, 2, &second_thread());
}

fn first_thread() -> Chunk {
    Chunk::new(1, 900)
        .malloc_from(0, &[(1, 20), (2, 8)], 1_000, 0x7f00_0000_1000, 1024)
        .malloc(1_100, 0x7f00_0000_2000, 100)
        .realloc(1_200, 0x7f00_0000_2000, 1_210, 0x7f00_0000_3000, 5000)
        .malloc_from(2, &[(0, -1), (9, 0)], 1_300, 0x7f00_0000_4000, 1)
        .put(|e| {
            e.tag(Kind::Mremap);
            e.block(2_000, 0x7f10_0000_0000, 8192);
            e.block(2_010, 0x7f20_0000_0000, 16384);
            e.number(1);
        })
}

fn second_thread() -> Chunk {
    let mapping = |chunk: Chunk, kind, ticks, addr, size| {
        chunk.put(|e| {
            e.tag(kind);
            e.block(ticks, addr, size);
        })
    };
    let chunk = mapping(Chunk::new(2, 0), Kind::ThreadStack, 950, 0x7f30_0000_0000, 8 << 20);
    let chunk = mapping(chunk, Kind::Mmap, 1_050, 0x7f10_0000_0000, 8192);
    let chunk = chunk.free(1_400, 0x7f00_0000_1000).free(1_450, 0x5555_0000_0000).put(|e| e.lost(3, 2));
    mapping(chunk, Kind::Munmap, 2_100, 0x7f20_0000_0000, 4096)
}

fn end() -> End {
    let losses = Losses { allocations: 3, frees: 2, truncated_stacks: 1, ..Losses::default() };
    let unix_ns = 1_790_000_000_000_100_000;
    End { reason: EndReason::TargetExited, unix_ns, events: 11, longest_pause_us: 84, losses }
}

fn screen(reader: &Reader, format: Format) -> String {
    let report = StatsReport::new(Profile::new(reader, &lines), 5);
    let mut out = Vec::new();
    report.write_screen(format, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

fn summary(reader: &Reader, order: Order, format: Format) -> String {
    let report =
        SummaryReport::new(&Profile::new(reader, &lines), Wanted { order, top: 5, ..Wanted::default() });
    let mut out = Vec::new();
    report.write(format, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

/// A minute in which `leak` keeps and `churn` does not, and a second look finds more.
fn grown() -> (Scratch, Reader) {
    const MIB: u64 = 1 << 20;
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let python = Python { version: "3.12.1".into(), allocator: "pymalloc".into(), ..Python::default() };
    writer.metadata(&Metadata { python, host: "web-1".into(), ..metadata() }).expect("room");
    for (id, name) in [(1, "main"), (2, "leak"), (3, "churn")] {
        writer.code(&code(id, name)).expect("room");
    }
    let sample = |t_ns, parts: &[(&str, u64)], arenas, ranges| {
        let parts = parts.iter().map(|&(name, mib)| (name.to_owned(), mib * MIB));
        let pymalloc =
            Pymalloc { arenas, arena_bytes: MIB, used_pools: 64 * arenas, ranges, ..Pymalloc::default() };
        let parts: std::collections::BTreeMap<_, _> = parts.collect();
        let resident_bytes =
            parts.iter().filter(|(name, _)| !name.contains(':')).map(|(_, bytes)| bytes).sum();
        let arena = |mib: u64, is_partial| MallocArena {
            system_bytes: mib * MIB,
            top_bytes: MIB / 8,
            free_bytes: MIB,
            is_partial,
        };
        let malloc_arenas = vec![arena(40, false), arena(7, arenas > 3)];
        RssSample {
            t_ns,
            resident_bytes,
            parts,
            pymalloc: Some(pymalloc),
            malloc_arenas,
            ..RssSample::default()
        }
    };
    let first = [("anonymous", 100), ("brk_heap", 50), ("files", 9), ("file:/lib/libc.so.6", 2)];
    let last = [("anonymous", 130), ("brk_heap", 49), ("files", 9), ("prof", 2)];
    writer.rss(&sample(1_000, &first, 3, Vec::new())).expect("room");
    writer.rss(&sample(60_000_001_000, &last, 5, vec![(0x7f50_0000_0000, 2 * MIB)])).expect("room");
    let mapped = |chunk: Chunk, ticks, addr, size| {
        chunk.put(|e| {
            e.tag(Kind::PymallocArena);
            e.block(ticks, addr, size);
        })
    };
    let chunk = Chunk::new(1, 500)
        .malloc_from(0, &[(1, 4), (2, 8)], 2_000, 0x7f00_0000_0000, 20 * MIB)
        .free(2_100, 0x1000)
        .malloc_from(1, &[(3, 2)], 3_000, 0x7f10_0000_0000, 7 * MIB)
        .free(3_100, 0x7f10_0000_0000)
        .malloc_from(1, &[(2, 8)], 4_000, 0x7f20_0000_0000, 3 * MIB);
    let chunk = mapped(mapped(chunk, 5_000, 0x7f50_0000_0000, MIB), 50_000_000_000, 0x7f60_0000_0000, MIB);
    put_chunk(&mut writer, 1, &chunk);
    writer
        .finish(&End { reason: EndReason::Duration, longest_pause_us: 84, ..End::default() })
        .expect("room");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    (scratch, reader)
}

#[test]
fn the_screen_and_the_summary_look_like_this() {
    let (_scratch, reader) = grown();
    for (name, text) in [
        ("grown.report.txt", screen(&reader, Format::WHOLE_TEXT)),
        ("grown.report.json", screen(&reader, Format::Json)),
        ("grown.summary.txt", summary(&reader, Order::Total, Format::WHOLE_TEXT)),
        ("grown.summary.json", summary(&reader, Order::Own, Format::Json)),
        ("grown.stats.txt", stats(&reader, Format::WHOLE_TEXT)),
    ] {
        if std::env::var_os("PROF_BLESS").is_some() {
            fs::write(golden(name), &text).expect("room");
        }
        assert_eq!(text, fs::read_to_string(golden(name)).expect("a golden file"), "{name}");
    }
}

#[test]
fn every_order_has_its_own_first() {
    let (_scratch, reader) = grown();
    let first = |order| {
        let text = summary(&reader, order, Format::Json);
        let rows: serde_json::Value = serde_json::from_str(&text).expect("valid");
        rows["functions"][0]["function"].as_str().map(str::to_owned)
    };
    let found = [Order::Own, Order::Total, Order::Count].map(first);
    assert_eq!(found, ["leak", "main", "leak"].map(|name| Some(name.to_owned())));
}

#[test]
fn the_screen_fits_whatever_the_names() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let long = "x".repeat(5000);
    let argv = vec![long.clone()];
    writer.metadata(&Metadata { command_line: argv, host: long.clone(), ..metadata() }).expect("room");
    for id in 1..9 {
        let file = format!("/{long}/{id}.py");
        writer.code(&CodeObject { file, name: format!("{long}{id}"), ..code(id, "") }).expect("room");
    }
    let mut chunk = Chunk::new(1, 0);
    for id in 1..9 {
        let at = u64::from(id) << 12;
        chunk = chunk.malloc_from(u32::from(id > 1), &[(id, 0)], at, at, 1 << 40).malloc(
            at + 1,
            at + 64,
            1 << 40,
        );
        chunk = chunk.free(at + 2, at);
    }
    put_chunk(&mut writer, 1, &chunk);
    for _ in 0..50 {
        writer.note(&Note { text: long.clone(), ..Note::default() }).expect("room");
    }
    let losses = Losses { allocations: u64::MAX, truncated_stacks: u64::MAX, ..Losses::default() };
    writer.finish(&End { losses, longest_pause_us: u64::MAX, ..End::default() }).expect("room");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let text = screen(&reader, Format::WHOLE_TEXT);
    assert!(text.lines().count() <= 29, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("1.py:10)"), "the end of a path and the line stay: {text}");
    // On a terminal; elsewhere names are whole, unless they are longer than anybody reads.
    let narrow = Format::Text { width: 80 };
    let figures = stats(&reader, narrow);
    let lists = figures.split("Top locations by size").nth(1).expect("lists");
    for list in [lists, &summary(&reader, Order::Own, narrow)] {
        assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
        assert!(list.contains("py"), "{list}");
    }
    let whole = stats(&reader, Format::WHOLE_TEXT);
    assert!(whole.contains(&format!("{}/1.py:10)", &long[..390])));
    assert!(!whole.contains(&long[..1200]));
}

/// Two processes that have the same block at the same address, of which one ends.
fn forked(writer: &mut Writer) {
    recipe(writer);
    let life = |number, ended_tick| ProcessLife {
        number,
        parent: 0,
        pid: 1000 + number,
        began_tick: 1_500,
        ended_tick,
    };
    for process in [life(1, 0), life(2, 0), life(2, 2_500)] {
        writer.process(&process).expect("room");
    }
    for (number, size) in [(1, 64), (2, 640)] {
        let thread = 2 + number;
        let chunk = Chunk::of_child(number, thread, 1_500)
            .malloc_from(0, &[(1, 20)], 1_600, 0x7f00_0000_4000, size)
            .malloc(1_700, 0x7f00_0000_5000, 10 * size)
            // What its parent had allocated before the fork.
            .free(1_800, 0x7f00_0000_3000);
        put_chunk(writer, u64::from(thread), &chunk);
    }
}

/// Each with the recipe that made it.
type Recipe = fn(&mut Writer);

#[test]
fn golden_captures_read_the_same() {
    for (name, recipe) in [("small-v1", recipe as Recipe), ("forked-v2", forked)] {
        let capture = golden(&format!("{name}.prof"));
        if is_blessing() && !capture.exists() {
            let mut writer = Writer::create(&capture, false, &metadata()).expect("a place for it");
            recipe(&mut writer);
            writer.finish(&end()).expect("room");
        }
        reads_the_same(name);
    }
}

/// Made of the events of another one.
#[test]
fn golden_figures_read_the_same() {
    let capture = golden("figures-v2.prof");
    if is_blessing() && !capture.exists() {
        let reader = Reader::open(&golden("forked-v2.prof")).expect("the golden capture");
        let metadata = reader.metadata();
        let history = History::growing(Tick(metadata.clock.origin_ticks), 16, 256, 1000);
        let mut fold = Fold::new(metadata, Question::default()).with_history(history);
        reader.processes().for_each(|life| fold.end_process(life));
        let mut events = reader.events();
        events.by_ref().for_each(|event| fold.add(&event));
        fold.finish();
        let length_ns = reader.end().expect("it has ended").unix_ns - metadata.started_unix_ns;
        let aggregate = fold.aggregate(events.into_stacks(), &[], metadata.clock.tick(length_ns));
        let mut gathering = Gathering::new(metadata);
        reader.codes().into_iter().for_each(|code| gathering.code(code));
        reader.processes().for_each(|life| gathering.process(life));
        gathering.notes().extend_from_slice(reader.notes());
        gathering.rss().extend_from_slice(reader.rss());
        let writer = Writer::create(&capture, false, metadata).expect("a place for it");
        let mut begun = writer.begun().expect("a file");
        gathering.write(&mut begun, &aggregate, reader.end()).expect("room");
    }
    reads_the_same("figures-v2");
}

/// A file can say anything.
#[test]
fn no_figures_are_too_strange() {
    let reader = Reader::open(&golden("figures-v2.prof")).expect("the golden capture");
    let aggregate: Value = reader.aggregate().expect("it has figures");
    let mut read = 0;
    for strange in [0, 1, 2, u64::from(u16::MAX), u64::from(u32::MAX), 1 << 63, u64::MAX] {
        for part in ["totals", "stacks", "threads", "occupied", "arena_bytes", "history"] {
            for every in [1, 2, 3, 5] {
                let mut aggregate = aggregate.clone();
                estrange(&mut aggregate[part], strange, every, &mut 0);
                let scratch = Scratch::new();
                let mut begun = scratch.writer().begun().expect("a file");
                let gathering = Gathering::new(reader.metadata());
                gathering.write(&mut begun, &aggregate, None).expect("room");
                let reader = Reader::open(&scratch.path()).expect("it opens");
                let profile = Profile::new(&reader, &lines);
                let is_damaged = profile.completeness.damaged_chunks > 0;
                read += u32::from(!is_damaged);
                let records = parse(&reader, Format::Json);
                assert!(!is_damaged || records.contains("chunks are damaged"), "{part} {strange}");
                let _text = stats(&reader, Format::WHOLE_TEXT);
                let start = Start::default();
                let page = Page { profile: &profile, file: "", before: None, start, with_source: false };
                page.write(&mut Vec::new()).expect("memory");
            }
        }
    }
    assert!(read > 20, "only {read} were believed");
}

/// Puts a strange number in the place of each so many of them.
fn estrange(value: &mut Value, strange: u64, every: u32, seen: &mut u32) {
    match value {
        Value::Number(number) => {
            *seen += 1;
            if seen.is_multiple_of(every) {
                *number = strange.into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| estrange(value, strange, every, seen)),
        Value::Object(fields) => fields.values_mut().for_each(|value| estrange(value, strange, every, seen)),
        _ => {}
    }
}

fn is_blessing() -> bool {
    std::env::var_os("PROF_BLESS").is_some()
}

fn reads_the_same(name: &str) {
    let reader = Reader::open(&golden(&format!("{name}.prof"))).expect("the golden capture");
    for (output, text) in [
        ("stats.json", stats(&reader, Format::Json)),
        ("stats.txt", stats(&reader, Format::WHOLE_TEXT)),
        ("parse.jsonl", parse(&reader, Format::Json)),
        ("parse.txt", parse(&reader, Format::WHOLE_TEXT)),
    ] {
        let name = format!("{name}.{output}");
        if is_blessing() {
            fs::write(golden(&name), &text).expect("room");
        }
        assert_eq!(text, fs::read_to_string(golden(&name)).expect("a golden file"), "{name}");
    }
}

/// What one process did is what it did alone: its end is that of its recording.
#[test]
fn one_process_of_several() {
    let reader = Reader::open(&golden("forked-v2.prof")).expect("the golden capture");
    for (process, bytes, held, unmatched) in [(1, 704, 704, 1), (2, 7040, 7040, 1)] {
        let question = Question { process: Some(ProcessId(process)), ..Question::default() };
        let reading = Reading { question, intervals: 0, progress: &mut |_| {} };
        let profile = Profile::read(&reader, &lines, reading);
        let found = (profile.totals.made.bytes, profile.totals.live.bytes, profile.totals.unmatched_frees);
        assert_eq!(found, (bytes, held, unmatched), "{process}");
    }
    let whole = Profile::new(&reader, &lines);
    let by_process = |process| {
        let is_of = |row: &&super::Row| whole.threads.process(row.thread) == ProcessId(process);
        whole.rows.iter().filter(is_of).map(|row| row.figures.live.bytes).sum::<u64>()
    };
    assert_eq!([by_process(1), by_process(2)], [704, 0], "what has ended holds nothing");
}

#[test]
fn what_is_written_today_reads_like_the_golden_capture() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    recipe(&mut writer);
    writer.finish(&end()).expect("room");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let expected = fs::read_to_string(golden("small-v1.parse.jsonl")).expect("a golden file");
    assert_eq!(parse(&reader, Format::Json), expected);
}

#[test]
fn json_is_valid_and_no_output_steers_a_terminal() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let hostile = "\x1b]0;pwned\x07\u{9b}2J\r\n\u{202e}\u{7f}\"\\";
    let argv = vec![hostile.to_owned()];
    writer.metadata(&Metadata { command_line: argv, host: hostile.into(), ..metadata() }).expect("room");
    writer.code(&CodeObject { file: hostile.into(), ..code(1, hostile) }).expect("room");
    writer.thread(&ThreadName { name: hostile.into(), ..ThreadName::default() }).expect("room");
    writer.note(&Note { text: hostile.into(), ..Note::default() }).expect("room");
    put_chunk(&mut writer, 1, &Chunk::new(1, 0).malloc_from(0, &[(1, 0)], 1, 16, 8));
    writer.finish(&End::default()).expect("room");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let lines = parse(&reader, Format::Json);
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
    let figures = stats(&reader, Format::Json);
    serde_json::from_str::<serde_json::Value>(&figures).expect("valid");
    let answers = screen(&reader, Format::Json);
    serde_json::from_str::<serde_json::Value>(&answers).expect("valid");
    let functions = summary(&reader, Order::Own, Format::Json);
    serde_json::from_str::<serde_json::Value>(&functions).expect("valid");
    let plain = [
        screen(&reader, Format::WHOLE_TEXT),
        summary(&reader, Order::Own, Format::WHOLE_TEXT),
        stats(&reader, Format::WHOLE_TEXT),
    ];
    for text in
        [lines, figures, answers, functions, parse(&reader, Format::WHOLE_TEXT)].into_iter().chain(plain)
    {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}

#[test]
fn instructions_of_one_line_are_one_site() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for id in [1, 2] {
        writer.code(&CodeObject { first_line: 5, file: "a.py".into(), ..code(id, "again") }).expect("room");
    }
    let chunk = Chunk::new(1, 0)
        .malloc_from(0, &[(1, 0)], 1, 16, 8)
        .malloc_from(1, &[(1, 1)], 2, 32, 8)
        .malloc_from(1, &[(2, 0)], 3, 48, 8)
        .malloc_from(1, &[(2, 2)], 4, 64, 8);
    put_chunk(&mut writer, 1, &chunk);
    writer.finish(&End::default()).expect("room");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let report = StatsReport::new(Profile::new(&reader, &lines), 5);
    let found = report.peak_sites().iter().map(|site| (site.stack[0].joined(), site.bytes, site.blocks));
    let expected = [("again:a.py:5".to_owned(), 24, 3), ("again:a.py:6".to_owned(), 8, 1)];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// A `realloc` frees a block and is no deallocation: of none, one was of an older block.
#[test]
fn older_blocks_are_no_part_of_the_deallocations() {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    put_chunk(&mut writer, 1, &Chunk::new(1, 0).realloc(1, 0x1000, 2, 0x2000, 64));
    writer.finish(&End::default()).expect("room");
    let text = stats(&Reader::open(&scratch.path()).expect("it opens"), Format::WHOLE_TEXT);
    for line in ["Deallocations      0", "Older blocks freed 1"] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
}

#[test]
fn an_empty_recording_has_reports_too() {
    let scratch = Scratch::new();
    drop(scratch.writer());
    let reader = Reader::open(&scratch.path()).expect("it opens");
    assert!(stats(&reader, Format::WHOLE_TEXT).contains("INCOMPLETE"));
    let figures: serde_json::Value = serde_json::from_str(&stats(&reader, Format::Json)).expect("valid");
    assert_eq!(figures["end_reason"], "unfinished");
    assert_eq!(figures["allocation_size_histogram"], serde_json::json!([]));
    assert_eq!(parse(&reader, Format::Json).lines().count(), 2, "metadata and a note");
}
