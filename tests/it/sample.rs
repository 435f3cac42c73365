//! Recordings of samples: estimates are right within their error, and the end of every
//! sample is seen.

use crate::dsl::*;
use serde_json::Value;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// So large a block is a sample but once in e^64 times.
const ALWAYS: u64 = 64;

fn recording(target: &Target, interval: u64, options: &[&str]) -> Recording {
    let file = target.scratch().join("capture.prof");
    let (pid, interval) = (target.pid(), interval.to_string());
    prof(&[&["attach", &pid, "--sample", &interval], options, &["-o"]].concat()).arg(&file).recording()
}

/// Bytes and blocks that the samples of a size stand for.
fn estimated(capture: &Capture, size: u64) -> (f64, f64) {
    let samples = capture.events.iter().filter(|event| event.size == size && event.kind != "munmap");
    let weights: Vec<f64> = samples.map(|event| event.weight.expect("a sample has a weight")).collect();
    let blocks: f64 = weights.iter().sum();
    (blocks * size as f64, blocks)
}

/// By how much so many bytes may be off, in 19 of 20 cases.
fn error(bytes: u64, interval: u64) -> f64 {
    2.0 * (bytes as f64 * interval as f64).sqrt()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Of 100 amounts at least 84 are within the stated error (fewer would be so once in a
/// million runs), and so is their sum.
#[test]
fn estimates_are_within_their_error() {
    const INTERVAL: u64 = 64 * KIB;
    let mut target = target("sampled.py").ready();
    let recording = recording(&target, INTERVAL, &[]);
    target.ask(&format!("churn {}", 4 * MIB));
    target.ask(&format!("hold 1 {}", ALWAYS * INTERVAL));
    let capture = recording.interrupt().capture();
    let sizes = || (2000..12_000).step_by(100).map(|size| (size, 4 * MIB / size * size));
    let off = |(size, truth): (u64, u64)| (estimated(&capture, size).0 - truth as f64).abs();
    let good = sizes().filter(|&(size, truth)| off((size, truth)) <= error(truth, INTERVAL)).count();
    assert!(good >= 84, "{good} of 100");
    let truth: u64 = sizes().map(|(_, truth)| truth).sum();
    let sum: f64 = sizes().map(|(size, _)| estimated(&capture, size).0).sum();
    // Five standard deviations.
    assert!((sum - truth as f64).abs() < 2.5 * error(truth, INTERVAL), "{sum}, {truth}");
    let blocks: u64 = sizes().map(|(size, truth)| truth / size).sum();
    let sampled = &capture.stats["sampled"];
    assert_eq!(sampled["interval_bytes"], INTERVAL);
    // The interpreter itself asks for a few.
    let counted = number(&sampled["counted"]["blocks"]) - blocks;
    assert!((1..1000).contains(&counted), "{sampled}");
    let counted = number(&sampled["counted"]["bytes"]) - truth - ALWAYS * INTERVAL;
    assert!(counted < MIB, "{sampled}");
    let made = number(&capture.stats["total_bytes_allocated"]) as f64;
    assert!((made - (truth + ALWAYS * INTERVAL) as f64).abs() < 2.5 * error(truth, INTERVAL) + MIB as f64);
    target.finish();
}

/// Whatever way a block ends, its sample ends; and what goes on goes on.
#[test]
fn every_sample_ends_with_its_block() {
    let mut target = target("sampled.py").ready();
    for (work, held) in [
        (&["hold 20000 3000", "drop"][..], 0),
        (&["hold 20000 3000", "zero"], 0),
        (&["grow 300 60000", "drop"], 0),
        (&["grow 300 60000"], 300 * 60_000),
        (&["refuse"], 0),
        (&["drop", "hold 2000 3000", "refuse", "drop"], 0),
        (&["hold 2000 3000", "refuse"], 2000 * 3000),
        (&["drop", "threads 4 20000 3000"], 0),
    ] {
        let recording = recording(&target, 16 * KIB, &["--force"]);
        work.iter().for_each(|command| drop(target.ask(command)));
        let capture = recording.interrupt().capture();
        let live = live(&capture);
        assert!((live - held as f64).abs() <= 2.5 * error(held, 16 * KIB), "{work:?}: {live}");
        assert_eq!(capture.stats["proven_lost_frees"], 0, "{work:?}");
        assert_eq!(capture.stats["unmatched_frees"], 0, "{work:?}");
    }
    target.finish();
}

/// Bytes that samples of the program's own blocks, which have thousands of bytes, stand for at
/// the end.
fn live(capture: &Capture) -> f64 {
    let mut live = std::collections::HashMap::new();
    for event in &capture.events {
        match &*event.kind {
            "free" => drop(live.remove(&event.addr)),
            "malloc" | "realloc" => {
                live.remove(&event.old_addr);
                let is_own = event.size.is_multiple_of(1000);
                if let Some(weight) = event.weight.filter(|_| is_own) {
                    live.insert(event.addr, weight * event.size as f64);
                }
            }
            _ => {}
        }
    }
    live.values().sum()
}

/// What is freed at once is temporary, what outlives other allocations is not, though
/// hardly one of them is recorded.
#[test]
fn ages_count_what_is_no_sample() {
    const INTERVAL: u64 = 256 * KIB;
    let mut target = target("sampled.py").ready();
    let recording = recording(&target, INTERVAL, &[]);
    target.ask("hold 10000 5000");
    // Younger ones, of which hardly any is a sample.
    target.ask("hold 1000 1");
    target.ask("drop");
    target.ask("threads 1 10000 3000");
    let capture = recording.interrupt().capture();
    let top = capture.stats["temporary"]["top"].as_array().expect("places");
    let of = |function: &str| {
        let place = |entry: &&Value| entry["location"].as_str().expect("a place").contains(function);
        top.iter().find(place).map_or(0, |entry| number(&entry["size"]))
    };
    let (temporary, kept) = (of("work:"), of("hold:"));
    assert_eq!(kept, 0, "of what outlived others");
    assert!((temporary as f64 - 30e6).abs() < 2.5 * error(30_000_000, INTERVAL), "{temporary}");
    target.finish();
}

/// Samples go with everything else that can be asked for.
#[test]
fn in_every_mode() {
    const INTERVAL: u64 = 32 * KIB;
    let mut target = target("sampled.py").ready();
    for options in [
        &["--aggregate"][..],
        &["--trace-python-allocators"],
        &["--follow-fork"],
        &["--max-size", "1KiB", "--on-full", "aggregate"],
    ] {
        let file = target.scratch().join("capture.prof");
        let recording = recording(&target, INTERVAL, &[&["--force"], options].concat());
        target.ask("hold 20000 1000");
        target.ask("fork 20000 1000");
        recording.interrupt();
        let summary = prof(&["summary", "--json", "--leaks"]).arg(&file).run().success().stdout;
        let summary: Value = serde_json::from_str(&summary).expect("one JSON object");
        let row = summary["functions"].as_array().expect("rows").iter().find(|row| row["function"] == "hold");
        let own = row.map_or(0, |row| number(&row["own_bytes"])) as f64;
        assert!((own - 20e6).abs() < 2.5 * error(20_000_000, INTERVAL), "{options:?}: {own}");
        assert_eq!(summary["sampled"]["interval_bytes"], INTERVAL, "{options:?}");
        target.ask("drop");
    }
    target.finish();
}
