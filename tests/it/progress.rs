//! What a recording tells, to people and to programs, and writes besides the capture.

use crate::dsl::*;
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[test]
fn programs_are_told_in_json() {
    let mut target = target("echo.py").ready();
    let file = target.scratch().join("x.prof");
    let recording = prof(&["attach", &target.pid(), "--progress=json", "-o"]).arg(&file).spawn();
    until("it has begun", || recording.stderr().contains("started").then_some(()));
    target.ask("allocate 100000");
    let told = recording.interrupt().success();
    let told = lines(&told.stderr);
    let (first, last) = (&told[0], told.last().expect("lines"));
    assert_eq!(
        (&first["event"], &first["pid"]),
        (&"started".into(), &target.pid().parse::<i64>().unwrap().into())
    );
    assert_eq!(first["path"], file.display().to_string());
    let running = &told[1];
    assert_eq!(running["event"], "running");
    for key in ["elapsed_s", "events", "live_bytes", "resident_bytes", "lost_events"] {
        assert!(running[key].is_number(), "{key}: {running}");
    }
    assert_eq!((&last["event"], &last["reason"]), (&"ended".into(), &"interrupted".into()));
    assert_eq!(last["lost_events"], 0);
    let stats = Capture::stats_of(&file);
    let counts = stats["allocator_type_distribution"].as_object().expect("by kind");
    let allocations: u64 = counts.values().filter_map(Value::as_u64).sum();
    assert!(last["events"].as_u64() > Some(allocations) && allocations > 0, "{last} {stats:#}");
    target.finish();
}

#[test]
fn programs_are_told_of_errors_in_json() {
    let refused = prof(&["attach", "999999999", "--progress=json"]).run();
    assert_eq!(refused.status.and_then(|status| status.code()), Some(REFUSAL), "{refused}");
    let told = lines(&refused.stderr);
    assert_eq!((told.len(), &told[0]["event"], &told[0]["status"]), (1, &"error".into(), &REFUSAL.into()));
    assert!(told[0]["error"].to_string().contains("no process"), "{}", told[0]);
}

#[test]
fn a_page_is_written_if_wanted() {
    let target = target("echo.py").ready();
    let file = target.scratch().join("x.prof");
    let attach = |more: &[&str]| {
        let options = ["attach", &target.pid(), "-q", "--duration", "0.1", "--report", "html"];
        prof(&[&options[..], more, &["-o"]].concat()).arg(&file).run()
    };
    attach(&[]).success().says("x.flamegraph.html");
    let page = std::fs::read_to_string(file.with_extension("flamegraph.html")).expect("a page");
    assert!(page.starts_with("<!doctype html>"), "{}", &page[..80]);
    std::fs::remove_file(&file).expect("the capture is there");
    attach(&[]).refuses(FAILURE, &["x.flamegraph.html", "exists"]);
    assert!(!file.exists(), "nothing was recorded");
    attach(&["--force"]).success();
    target.finish();
}
