//! A target that writes nonsense over the ring while it is recorded: `prof` ends when it
//! should, in bounded memory and disk, the capture opens, and the target lives.

use crate::dsl::*;
use serde_json::Value;
use std::path::Path;

/// What `prof` may hold: the ring, its queue, the figures and itself.
const MEMORY: u64 = 400 << 20;
/// What such a recording may write: what two threads allocate meanwhile. Noise that is not
/// kept out makes twice as much.
const CAPTURE: u64 = 32 << 20;
const DURATION: &str = "1.5";

fn attach(target: &Target, file: &Path) -> Recording {
    prof(&["attach", &target.pid(), "--force", "-q", "--duration", DURATION, "-o"]).arg(file).recording()
}

/// Waits for the end; the most memory that it held.
fn wait_and_watch(mut recording: Recording) -> (Finished, u64) {
    let mut most = 0;
    until("prof ends", || {
        most = high_water_mark(recording.pid()).unwrap_or(0).max(most);
        (!recording.is_alive()).then_some(())
    });
    (recording.wait(), most)
}

fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Records a target that scribbles; the size of the capture and its figures.
#[track_caller]
fn record(kind: &str) -> (u64, Value) {
    let mut target = target("scribble.py").ready();
    let file = target.scratch().join("capture.prof");
    let recording = attach(&target, &file);
    target.ask(&format!("scribble {kind}"));
    let (finished, memory) = wait_and_watch(recording);
    let finished = finished.success();
    assert!(memory < MEMORY, "prof held {memory} bytes\n{finished}");
    let stats = prof(&["stats", "--json"]).arg(&file).run().success();
    let stats = serde_json::from_str(&stats.stdout).expect("one JSON object");
    for command in ["report", "summary"] {
        prof(&[command]).arg(&file).run().success();
    }
    let bytes = std::fs::metadata(&file).expect("the capture is there").len();
    // It can be recorded again, though somebody writes over that ring too.
    target.finish();
    (bytes, stats)
}

#[track_caller]
fn is_small_and_says_so(kind: &str) {
    let (bytes, stats) = record(kind);
    assert!(bytes < CAPTURE, "a capture of {bytes} bytes of {kind}");
    let damaged = stats["damaged_chunks"].as_u64().expect("a number");
    let lost = stats["lost_events"].as_u64().expect("a number");
    assert!(damaged + lost.min(1) > 0, "nothing is said of {kind}: {stats:#}");
}

#[test]
fn with_zeros() {
    // All chunks look free: what stood there is lost, and nobody is left to count it.
    let (bytes, _) = record("zeros");
    assert!(bytes < CAPTURE, "{bytes}");
}

#[test]
fn with_ones() {
    is_small_and_says_so("ones");
}

#[test]
fn with_noise() {
    is_small_and_says_so("noise");
}

#[test]
fn in_its_header() {
    is_small_and_says_so("header");
}

/// Beside the word by which the kernel marks a dead attacher: nothing there is followed.
#[test]
fn beside_its_owner() {
    let (_, stats) = record("links");
    assert_eq!((&stats["lost_events"], &stats["damaged_chunks"]), (&0.into(), &0.into()));
}

#[test]
fn in_its_table() {
    is_small_and_says_so("table");
}

#[test]
fn in_its_counts() {
    is_small_and_says_so("committed");
}

/// Records that make sense, faster than anybody allocates.
#[test]
fn with_records() {
    record("mallocs");
}

/// Code objects without an end.
#[test]
fn with_descriptions() {
    record("descriptions");
}

/// The seals: pages that vanish from under the attacher's mapping would be its SIGBUS.
#[test]
fn and_cut_short() {
    const EPERM: &str = "1";
    let mut target = target("scribble.py").ready();
    let file = target.scratch().join("capture.prof");
    let recording = attach(&target, &file);
    assert_eq!(target.ask("shrink"), [EPERM; 3].join(" "));
    recording.wait().success();
    let stats = prof(&["stats", "--json"]).arg(&file).run().success().stdout;
    let stats: Value = serde_json::from_str(&stats).expect("one JSON object");
    assert_eq!((&stats["lost_events"], &stats["damaged_chunks"]), (&0.into(), &0.into()));
    target.finish();
}
