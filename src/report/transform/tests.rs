//! Each form of a small recording with a gap and with hostile names, read back by
//! parsers that are not ours.

use flate2::read::GzDecoder;
use prost::Message;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;

use super::*;
use crate::analysis::Question;
use crate::capture::testing::{Records, Scratch, code, metadata, put_chunk};
use crate::capture::{Reader, Writer};
use crate::model::{CodeObject, End, EndReason, Losses, Metadata, ThreadName};
use crate::report::{Profile, Reading};

/// Of pprof's `profile.proto`, as far as it is used.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub duration_nanos: i64,
        #[prost(int64, tag = "12")]
        pub period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub default_sample_type: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ValueType {
        #[prost(int64, tag = "1")]
        pub r#type: i64,
        #[prost(int64, tag = "2")]
        pub unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub label: Vec<Label>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        #[prost(int64, tag = "1")]
        pub key: i64,
        #[prost(int64, tag = "2")]
        pub str: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Location {
        #[prost(uint64, tag = "1")]
        pub id: u64,
        #[prost(message, repeated, tag = "4")]
        pub line: Vec<Line>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Line {
        #[prost(uint64, tag = "1")]
        pub function_id: u64,
        #[prost(int64, tag = "2")]
        pub line: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Function {
        #[prost(uint64, tag = "1")]
        pub id: u64,
        #[prost(int64, tag = "2")]
        pub name: i64,
        #[prost(int64, tag = "4")]
        pub filename: i64,
    }
}

const STARTED: u64 = 1_790_000_000_000_000_000;

/// ```text
///  thread 1  1000 main add 1024   1100 main add 100   1200 free of that   1300 main third 50
///  thread 2  1050 no Python 7                            lost 3, 2        1400 no Python 9
/// ```
fn recipe(writer: &mut Writer) {
    let full = Metadata { started_unix_ns: STARTED, page_size: 4096, ..metadata() };
    writer.metadata(&full).expect("room");
    writer.code(&code(1, "main")).expect("room");
    writer.code(&CodeObject { file: "a;b|c\n.py".into(), ..code(2, "add;\x1b[2J\u{9b}") }).expect("room");
    writer.code(&CodeObject { file: "evil.py".into(), ..code(3, "=cmd|' /C calc'!A0,\"") }).expect("room");
    let name = |serial, name: &str| ThreadName {
        t_ns: 1,
        tid: 100 + serial,
        serial: Some(serial),
        name: name.into(),
    };
    writer.thread(&name(1, "main")).expect("room");
    writer.thread(&name(2, "@pool\u{202e}")).expect("room");
    let first = Records::new(1, 900)
        .malloc_from(0, &[(1, 4), (2, 8)], 1000, 0x1000, 1024)
        .malloc(1100, 0x2000, 100)
        .free(1200, 0x2000)
        .malloc_from(1, &[(3, 0)], 1300, 0x3000, 50);
    let second = Records::new(2, 950).malloc(1050, 0x5000, 7).put(|e| e.lost(3, 2)).malloc(1400, 0x6000, 9);
    put_chunk(writer, 1, &first);
    put_chunk(writer, 2, &second);
}

fn with_recording<T>(
    record: impl FnOnce(&mut Writer),
    question: Question,
    test: impl FnOnce(&Profile<'_>) -> T,
) -> T {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    record(&mut writer);
    let losses = Losses { allocations: 3, frees: 2, ..Losses::default() };
    let end = End { reason: EndReason::Duration, unix_ns: STARTED + 2000, losses, ..End::default() };
    writer.finish(&end).expect("room");
    let reader = Reader::open(&scratch.path()).expect("it opens");
    let lines = |code: &CodeObject, offset: i32| code.first_line + offset.max(0) as u32 / 2;
    let reading = Reading { question, intervals: 0, progress: &mut |_| {} };
    test(&Profile::read(&reader, &lines, reading))
}

fn bytes(transform: &Transform<'_, '_>, format: TransformFormat) -> Vec<u8> {
    let mut out = Vec::new();
    transform.write(format, &mut out).expect("memory");
    if format != TransformFormat::Pprof {
        return out;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(&out[..]).read_to_end(&mut unpacked).expect("gzip");
    unpacked
}

fn text(transform: &Transform<'_, '_>, format: TransformFormat) -> String {
    String::from_utf8(bytes(transform, format)).expect("text")
}

/// What every view, in bytes and in blocks, looks like.
fn for_all(test: impl Fn(&Transform<'_, '_>, Sum)) {
    with_recording(recipe, Question::default(), |profile| {
        for view in View::ALL {
            for blocks in [false, true] {
                test(&Transform { profile, view, blocks, window: None }, profile.total(view));
            }
        }
    });
}

fn json(transform: &Transform<'_, '_>, format: TransformFormat) -> Value {
    serde_json::from_str(&text(transform, format)).expect("valid")
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().map(|number| number.as_u64().expect("a number")).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[test]
fn the_recording_has_something_in_every_view() {
    with_recording(recipe, Question::default(), |profile| {
        let totals = View::ALL.map(|view| profile.total(view)).map(|sum| (sum.bytes, sum.blocks));
        assert_eq!(totals, [(1131, 3), (1090, 4), (59, 2), (100, 1), (1190, 5)]);
    });
}

#[test]
fn collapsed_stacks() {
    with_recording(recipe, Question::default(), |profile| {
        let mut transform = Transform { profile, view: View::Leaks, blocks: false, window: None };
        let add = r"main (main.py:12);add:\u{1b}[2J\u{9b} (a:b|c\n.py:24)";
        let evil = "main (main.py:12);=cmd|' /C calc'!A0,\" (evil.py:30)";
        let expected = format!("{add} 1024\n{evil} 50\n(no Python stack) 16\n");
        assert_eq!(text(&transform, TransformFormat::Collapsed), expected);
        transform.blocks = true;
        let expected = format!("{add} 1\n{evil} 1\n(no Python stack) 2\n");
        assert_eq!(text(&transform, TransformFormat::Collapsed), expected);
    });
}

#[test]
fn tables_are_read_as_they_were_meant() {
    with_recording(recipe, Question::default(), |profile| {
        let transform = Transform { profile, view: View::Leaks, blocks: false, window: None };
        let expected = concat!(
            "allocator,num_allocations,size,tid,thread_name,stack_trace\r\n",
            "malloc,1,1024,101,main,add:\\u{1b}[2J\\u{9b};a:b:c\\n.py;24|main;main.py;12\r\n",
            "malloc,1,50,101,main,\"'=cmd:' /C calc'!A0,\"\";evil.py;30|main;main.py;12\"\r\n",
            "malloc,2,16,102,'@pool\\u{202e},\r\n",
        );
        assert_eq!(text(&transform, TransformFormat::Csv), expected);
    });
    for_all(|transform, total| {
        let table = bytes(transform, TransformFormat::Csv);
        let rows: Vec<Vec<String>> = ::csv::Reader::from_reader(&table[..])
            .records()
            .map(|row| row.expect("six columns").iter().map(str::to_owned).collect())
            .collect();
        let sum = |column: usize| rows.iter().map(|row| row[column].parse::<u64>().expect("a number")).sum();
        assert_eq!(Sum { blocks: sum(1), bytes: sum(2) }, total);
        let is_formula = |cell: &&String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert_eq!(rows.iter().flatten().find(is_formula), None);
    });
}

#[test]
fn pprof_is_whole() {
    for_all(|transform, _| {
        let profile =
            proto::Profile::decode(&bytes(transform, TransformFormat::Pprof)[..]).expect("protobuf");
        let text = |number: i64| profile.string_table[number as usize].as_str();
        assert_eq!(text(0), "");
        let types: Vec<_> =
            profile.sample_type.iter().map(|value| (text(value.r#type), text(value.unit))).collect();
        let expected = ["alloc", "inuse", "peak", "temporary", "inuse_late"]
            .map(|view| [(format!("{view}_objects"), "count"), (format!("{view}_space"), "bytes")]);
        assert!(
            expected.as_flattened().iter().map(|(name, unit)| (&**name, *unit)).eq(types.iter().copied())
        );

        let order = [View::Allocations, View::Leaks, View::Peak, View::Temporary, View::LateLeaks];
        let sums =
            order.map(|view| transform.profile.total(view)).map(|sum| [sum.blocks as i64, sum.bytes as i64]);
        for (number, expected) in sums.as_flattened().iter().enumerate() {
            let sum: i64 = profile.sample.iter().map(|sample| sample.value[number]).sum();
            assert_eq!(sum, *expected, "{}", types[number].0);
        }
        let shown = order.iter().position(|view| *view == transform.view).expect("it is one of them");
        let shown = types[2 * shown + usize::from(!transform.blocks)].0;
        assert_eq!(text(profile.default_sample_type), shown);

        assert!(profile.location.iter().map(|location| location.id).eq(1..=profile.location.len() as u64));
        assert!(profile.function.iter().map(|function| function.id).eq(1..=profile.function.len() as u64));
        let place = |id: &u64| {
            let [line] = &profile.location[*id as usize - 1].line[..] else { panic!("one line") };
            let function = &profile.function[line.function_id as usize - 1];
            (text(function.name), text(function.filename), line.line)
        };
        let largest = profile.sample.iter().max_by_key(|sample| sample.value[1]).expect("samples");
        let stack: Vec<_> = largest.location_id.iter().map(place).collect();
        assert_eq!(stack, [(r"add;\u{1b}[2J\u{9b}", r"a;b|c\n.py", 24), ("main", "main.py", 12)]);
        let labels: Vec<_> = largest.label.iter().map(|label| (text(label.key), text(label.str))).collect();
        assert_eq!(labels, [("thread", "main (tid 101)"), ("allocator", "malloc")]);

        assert_eq!((profile.time_nanos, profile.duration_nanos, profile.period), (STARTED as i64, 2000, 1));
        let comments: Vec<_> = profile.comment.iter().map(|number| text(*number)).collect();
        assert!(
            comments.iter().any(|comment| comment.starts_with("INCOMPLETE: 5 events lost")),
            "{comments:?}"
        );
    });
}

/// A part of the recording has its own beginning, length and figures.
#[test]
fn a_window() {
    let window = Some((Tick(1150), Tick(1350)));
    with_recording(recipe, Question { window, ..Question::default() }, |profile| {
        let transform = Transform { profile, view: View::Allocations, blocks: false, window };
        let pprof = proto::Profile::decode(&bytes(&transform, TransformFormat::Pprof)[..]).expect("protobuf");
        assert_eq!((pprof.time_nanos, pprof.duration_nanos), (STARTED as i64 + 1150, 200));
        let value = json(&transform, TransformFormat::Json);
        assert_eq!((&value["from_ns"], &value["to_ns"]), (&1150.into(), &1350.into()));
        assert_eq!(value["total"]["allocations"], serde_json::json!({"bytes": 50, "blocks": 1}));
        assert_eq!(text(&transform, TransformFormat::Collapsed).lines().count(), 1);
    });
}

#[test]
fn speedscope_shows_a_flame_graph() {
    for_all(|transform, total| {
        let file = json(transform, TransformFormat::Speedscope);
        assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
        assert_eq!(file["activeProfileIndex"], u64::from(transform.blocks));
        let frames = list(&file["shared"]["frames"]);
        assert!(frames.iter().all(|frame| frame["name"].is_string()), "{frames:?}");
        let [bytes, blocks] = list(&file["profiles"]) else { panic!("two profiles") };
        for (profile, unit, total) in [(bytes, "bytes", total.bytes), (blocks, "none", total.blocks)] {
            assert_eq!((&profile["type"], &profile["unit"]), (&"sampled".into(), &unit.into()));
            let weights = numbers(&profile["weights"]);
            assert!(weights.iter().all(|weight| *weight > 0));
            let ends = (&profile["startValue"], &profile["endValue"]);
            assert_eq!((ends, weights.iter().sum()), ((&0.into(), &total.into()), total));
            let samples: Vec<_> = list(&profile["samples"]).iter().map(numbers).collect();
            assert_eq!(samples.len(), weights.len());
            assert!(samples.iter().flatten().all(|frame| (*frame as usize) < frames.len()));
            is_joined(&samples);
            assert!(profile["name"].as_str().is_some_and(|name| name.contains("INCOMPLETE: 5 events")));
        }
    });
}

/// No callers are drawn twice: whoever has been left does not come again.
fn is_joined(samples: &[Vec<u64>]) {
    let (mut left, mut open) = (HashSet::new(), Vec::new());
    for sample in samples {
        for depth in 1..=open.len() {
            if !sample.starts_with(&open[..depth]) {
                left.insert(open[..depth].to_vec());
            }
        }
        assert!((1..=sample.len()).all(|depth| !left.contains(&sample[..depth])), "{samples:?}");
        open.clone_from(sample);
    }
}

#[test]
fn gprof2dot_takes_only_what_its_schema_names() {
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for_all(|transform, total| {
        let file = json(transform, TransformFormat::Gprof2dot);
        assert_eq!(
            (keys(&file), &file["version"]),
            (["costs", "events", "functions", "version"].map(str::to_owned).to_vec(), &0.into())
        );
        let units = list(&file["costs"]).iter().map(|cost| cost["unit"].as_str().expect("text"));
        let expected = [("bytes", total.bytes), ("allocations", total.blocks)];
        let expected = if transform.blocks { [expected[1], expected[0]] } else { expected };
        assert!(units.eq(expected.iter().map(|(unit, _)| *unit)));
        let functions = list(&file["functions"]);
        assert!(functions.iter().all(|function| keys(function) == ["module", "name"]));
        for (number, (unit, total)) in expected.iter().enumerate() {
            let costs = list(&file["events"]).iter().map(|event| numbers(&event["cost"])[number]);
            assert_eq!(costs.sum::<u64>(), *total, "{unit}");
        }
        let chains: Vec<_> = list(&file["events"]).iter().map(|event| numbers(&event["callchain"])).collect();
        assert!(chains.iter().all(|chain| !chain.is_empty()));
        assert!(chains.iter().flatten().all(|function| (*function as usize) < functions.len()));
    });
}

#[test]
fn firefox_tables_fit_together() {
    for_all(|transform, total| {
        let file = json(transform, TransformFormat::Firefox);
        let shared = &file["shared"];
        for (table, columns) in [
            ("stackTable", ["frame", "prefix"].as_slice()),
            ("frameTable", &["address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol"]),
            ("frameTable", &["innerWindowID", "line", "column"]),
            (
                "funcTable",
                &["name", "isJS", "relevantForJS", "resource", "source", "lineNumber", "columnNumber"],
            ),
            ("sources", &["uuid", "filename"]),
            ("resourceTable", &["lib", "name", "host", "type"]),
            ("nativeSymbols", &["libIndex", "address", "name", "functionSize"]),
        ] {
            let table = &shared[table];
            assert!(
                columns.iter().all(|column| list(&table[column]).len() as u64 == table["length"]),
                "{table}"
            );
        }
        for (table, column, target) in [
            ("stackTable", "frame", "frameTable"),
            ("frameTable", "func", "funcTable"),
            ("funcTable", "source", "sources"),
        ] {
            let length = shared[target]["length"].as_u64();
            assert!(
                list(&shared[table][column])
                    .iter()
                    .all(|number| number.is_null() || number.as_u64() < length)
            );
        }
        let texts = list(&shared["stringArray"]).len() as u64;
        let named =
            numbers(&shared["funcTable"]["name"]).into_iter().chain(numbers(&shared["sources"]["filename"]));
        assert_eq!(named.max().map(|last| last < texts), Some(true));
        for (stack, prefix) in (0u64..).zip(list(&shared["stackTable"]["prefix"])) {
            assert!(prefix.is_null() || prefix.as_u64() < Some(stack), "callers come first");
        }
        let (table, unit, total) = match transform.blocks {
            true => ("samples", "samples", total.blocks),
            false => ("nativeAllocations", "bytes", total.bytes),
        };
        let threads = list(&file["threads"]);
        let weights = threads.iter().flat_map(|thread| numbers(&thread[table]["weight"]));
        assert_eq!(weights.sum::<u64>(), total);
        assert!(threads.iter().all(|thread| thread[table]["weightType"] == unit));
        let tids: HashSet<_> = threads.iter().map(|thread| thread["tid"].as_str()).collect();
        assert_eq!(tids.len(), threads.len());
        assert_eq!(threads[0]["markers"]["length"], 1, "the gap");
        let counts = list(&file["counters"][0]["samples"]["count"]);
        assert_eq!(
            counts.iter().map(|count| count.as_i64().expect("a number")).sum::<i64>(),
            1090,
            "live at the end"
        );
        let remarks = file["meta"]["extra"][0]["entries"].to_string();
        assert!(remarks.contains("INCOMPLETE: 5 events"), "{remarks}");
    });
}

#[test]
fn json_has_every_figure() {
    for_all(|transform, _| {
        let file = json(transform, TransformFormat::Json);
        for view in View::ALL {
            let sum = |of: &str| {
                list(&file["rows"]).iter().map(|row| row[view.name()][of].as_u64().expect("a number")).sum()
            };
            let total = Sum { bytes: sum("bytes"), blocks: sum("blocks") };
            assert_eq!(total, transform.profile.total(view), "{}", view.name());
            assert_eq!(file["total"][view.name()]["bytes"], total.bytes);
        }
        let first = &list(&file["rows"])[0];
        let figure = if transform.blocks { "blocks" } else { "bytes" };
        let most = list(&file["rows"]).iter().map(|row| row[transform.view.name()][figure].as_u64()).max();
        assert_eq!(Some(first[transform.view.name()][figure].as_u64()), most);
        assert_eq!((&file["view"], &file["lost_events"]), (&transform.view.name().into(), &5.into()));
        let names: HashSet<_> = list(&file["rows"]).iter().map(|row| row["thread_name"].as_str()).collect();
        assert_eq!(names, HashSet::from([Some("main"), Some("@pool\u{202e}")]), "as they are");
    });
}

/// Where there are several, rows say whose they are.
#[test]
fn processes_are_told_apart() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/forked-v2.prof");
    let reader = Reader::open(&golden).expect("the golden capture");
    let profile = Profile::new(&reader, &|code: &CodeObject, _| code.first_line);
    let transform = Transform { profile: &profile, view: View::Allocations, blocks: false, window: None };
    let table = text(&transform, TransformFormat::Csv);
    let whose: BTreeMap<_, u64> = table.lines().skip(1).fold(BTreeMap::new(), |mut sums, line| {
        let cells: Vec<_> = line.split(',').collect();
        let bytes: u64 = cells[2].parse().expect("a number");
        *sums.entry([cells[6], cells[7]].map(str::to_owned)).or_default() += bytes;
        sums
    });
    let key = |pid: &str, process: &str| [pid.to_owned(), process.to_owned()];
    let expected = [(key("1001", "1"), 704), (key("1002", "2"), 7040), (key("42", "0"), 30701)];
    assert_eq!(whose.into_iter().collect::<Vec<_>>(), expected);
    assert!(table.starts_with("allocator,num_allocations,size,tid,thread_name,stack_trace,pid,process\r\n"));
    let rows = json(&transform, TransformFormat::Json)["rows"].clone();
    let of = |pid: u64| list(&rows).iter().filter(|row| row["pid"] == pid).count();
    assert_eq!([of(42), of(1001), of(1002)], [5, 1, 1]);
}

#[test]
fn no_form_steers_a_terminal() {
    for_all(|transform, _| {
        for format in TransformFormat::ALL.into_iter().filter(|format| *format != TransformFormat::Pprof) {
            let text = text(transform, format).replace("\r\n", "\n");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{format:?}: {text}");
        }
        let pprof = proto::Profile::decode(&bytes(transform, TransformFormat::Pprof)[..]).expect("protobuf");
        assert!(!pprof.string_table.iter().any(|text| text.contains(char::is_control)));
    });
}

#[test]
fn an_empty_recording_has_every_form() {
    with_recording(
        |_| {},
        Question::default(),
        |profile| {
            let transform = Transform { profile, view: View::Peak, blocks: false, window: None };
            for format in TransformFormat::ALL {
                let bytes = bytes(&transform, format);
                match format {
                    TransformFormat::Pprof => assert!(proto::Profile::decode(&bytes[..]).is_ok()),
                    TransformFormat::Collapsed => assert!(bytes.is_empty()),
                    TransformFormat::Csv => {
                        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1)
                    }
                    _ => assert!(serde_json::from_slice::<Value>(&bytes).is_ok(), "{format:?}"),
                }
            }
            let firefox = json(&transform, TransformFormat::Firefox);
            assert_eq!(list(&firefox["threads"]).len(), 1, "its reader refuses a profile without a thread");
        },
    );
}

/// A peak of `u64::MAX` bytes is not a negative number.
#[test]
fn figures_fit_into_signed_numbers() {
    assert_eq!(proto_value(u64::MAX), i64::MAX);
    assert_eq!(proto_value(5), 5);
}

fn proto_value(value: u64) -> i64 {
    let mut message = protobuf::Message::default();
    message.number(9, pprof::signed(value));
    proto::Profile::decode(message.bytes()).expect("protobuf").time_nanos
}
