//! What is in a page, taken out of it again.

use base64::Engine as _;
use serde_json::{Value, json};
use std::io::Read;

use super::*;
use crate::capture::testing::{Records as Chunk, Scratch, code, put_chunk};
use crate::capture::{Reader, Writer};
use crate::model::{CodeObject, End, ThreadName};
use crate::report::Reading;

fn lines(code: &CodeObject, offset: i32) -> u32 {
    code.first_line + offset.max(0) as u32 / 2
}

/// A capture with two functions, one of which keeps a block of `size`.
fn capture(scratch: &Scratch, size: u64) -> Reader {
    let mut writer: Writer = scratch.writer();
    for (id, name) in [(1, "main"), (2, "</script><b>")] {
        writer.code(&CodeObject { first_line: 10, file: "/a.py".into(), ..code(id, name) }).expect("room");
    }
    writer
        .thread(&ThreadName { serial: Some(1), name: "loop".into(), ..ThreadName::default() })
        .expect("room");
    let chunk = Chunk::new(1, 0)
        .malloc_from(0, &[(1, 0), (2, 4)], 1000, 0x1000, size)
        .malloc_from(1, &[], 2000, 0x2000, 7)
        .free(3000, 0x2000)
        .malloc(4000, 0x3000, 1);
    put_chunk(&mut writer, 1, &chunk);
    writer.finish(&End { unix_ns: 4096, ..End::default() }).expect("room");
    Reader::open(&scratch.path()).expect("it opens")
}

fn profile(reader: &Reader) -> Profile<'_> {
    let reading = Reading { question: Default::default(), intervals: 4, progress: &mut |_| {} };
    Profile::read(reader, &lines, reading)
}

fn html(page: &Page<'_, '_>) -> String {
    let mut out = Vec::new();
    page.write(&mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("id=\"data\"").expect("the script element");
    let (_, rest) = rest.split_once('>').expect("its end");
    let (base64, _) = rest.split_once("</script>").expect("the end of the data");
    let packed = STANDARD.decode(base64.trim()).expect("base64");
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_string(&mut text).expect("zlib");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_page_has_all_figures() {
    let scratch = Scratch::new();
    let reader = capture(&scratch, 100);
    let profile = profile(&reader);
    let start = Start { view: StartView::Leaks, ..Start::default() };
    let html = html(&Page { profile: &profile, file: "<a>.prof", before: None, start, with_source: true });
    let data = data(&html);
    assert!(html.contains("<title>&lt;a&gt;.prof"), "the name of the file is text");
    assert!(!html.contains("</script><b>"), "names are not markup");
    assert_eq!(data["start"]["view"], "leaks");
    assert_eq!(data["nodes"], json!({"parent": [0, 0, 1], "place": [-1, 0, 1]}));
    assert_eq!(data["places"]["line"], json!([10, 12]));
    assert_eq!(data["strings"], json!(["main", "/a.py", "</script><b>"]));
    assert_eq!(data["threads"][0]["name"], "loop");
    assert_eq!(data["kinds"], json!(["malloc"]));
    let sites = &data["sites"];
    for (column, expected) in [
        ("node", json!([2, 1])),
        ("allocations", json!([1, 2])),
        ("bytes", json!([100, 8])),
        ("peak_bytes", json!([100, 7])),
        ("leaked_bytes", json!([100, 1])),
        ("leaked_blocks", json!([1, 1])),
        ("temporary_bytes", json!([0, 7])),
        ("late_bytes", Value::Null),
        ("before_bytes", Value::Null),
    ] {
        assert_eq!(sites[column], expected, "{column}");
    }
    let time = &data["time"];
    assert_eq!((&time["bins"], &time["heap"]), (&json!(4), &json!([100, 107, 107, 101])));
    assert_eq!(time["kept"]["freed"], json!([4, 2, 4]), "the number of bins stands for never");
    assert_eq!(data["source"], json!({}), "there is no such file");
}

#[test]
fn a_comparison_has_both_recordings() {
    let (earlier, later) = (Scratch::new(), Scratch::new());
    let (earlier, later) = (capture(&earlier, 60), capture(&later, 100));
    let (before, after) = (profile(&earlier), profile(&later));
    let page = Page {
        profile: &after,
        file: "b.prof",
        before: Some((&before, "a.prof")),
        start: Start::default(),
        with_source: false,
    };
    let data = data(&html(&page));
    assert_eq!(data["recordings"][0]["file"], "a.prof");
    assert_eq!(data["recordings"][1]["file"], "b.prof");
    assert_eq!(data["sites"]["peak_bytes"], json!([100, 7]));
    assert_eq!(data["sites"]["before_peak_bytes"], json!([60, 7]));
    assert_eq!(data["time"], Value::Null);
}
