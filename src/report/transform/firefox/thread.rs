//! Threads with what they allocated.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::{GAP, millis, moment_ns};
use crate::model::{ThreadSerial, Tid};
use crate::report::transform::tree::Tree;
use crate::report::transform::{Transform, plain};

/// A marker with a beginning and an end.
const INTERVAL: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thread {
    process_type: &'static str,
    process_name: String,
    process_startup_time: f64,
    process_shutdown_time: Option<f64>,
    register_time: f64,
    unregister_time: Option<f64>,
    paused_ranges: [(); 0],
    name: String,
    is_main_thread: bool,
    pid: String,
    tid: String,
    samples: Samples,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_allocations: Option<Samples>,
    markers: Markers,
}

/// Stacks with weights.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    time: Vec<f64>,
    weight: Vec<u64>,
    weight_type: &'static str,
    stack: Vec<u32>,
    length: usize,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Markers {
    data: Vec<Marker>,
    name: Vec<u32>,
    start_time: Vec<f64>,
    end_time: Vec<f64>,
    phase: Vec<u32>,
    category: Vec<u32>,
    length: usize,
}

#[derive(Serialize)]
struct Marker {
    r#type: &'static str,
    allocations: u64,
    frees: u64,
}

/// The threads that the view has something of, the main one first; at least one.
/// `gap` is the number of the name of gaps.
pub(super) fn threads(transform: &Transform<'_, '_>, tree: &Tree<'_, '_>, gap: u32) -> Vec<Thread> {
    let mut numbers: HashMap<ThreadSerial, usize> = HashMap::new();
    let mut weights: Vec<(ThreadSerial, Vec<(u32, u64)>)> = Vec::new();
    for row in transform.rows() {
        let weight = transform.weight(transform.view.of(&row.figures));
        let number = *numbers.entry(row.thread).or_insert_with(|| {
            weights.push((row.thread, Vec::new()));
            weights.len() - 1
        });
        weights[number].1.push((tree.node(row), weight));
    }
    let main = Tid(transform.profile.metadata.pid);
    weights.sort_by_key(|&(serial, _)| (transform.profile.threads.tid(serial) != main, serial));
    let mut tids = HashSet::new();
    let mut threads: Vec<_> =
        weights.into_iter().map(|(serial, weights)| thread(transform, serial, weights, &mut tids)).collect();
    if threads.is_empty() {
        threads.push(thread(transform, ThreadSerial::default(), Vec::new(), &mut tids));
    }
    threads[0].markers = gaps(transform, gap);
    threads
}

fn thread(
    transform: &Transform<'_, '_>,
    serial: ThreadSerial,
    weights: Vec<(u32, u64)>,
    tids: &mut HashSet<String>,
) -> Thread {
    let (metadata, threads) = (transform.profile.metadata, &transform.profile.threads);
    let Tid(number) = threads.tid(serial);
    // The kernel uses ids again, the profiler wants them unique.
    let mut tid = number.to_string();
    if !tids.insert(tid.clone()) {
        tid = format!("{number}.{}", serial.0);
    }
    let nothing = || Samples::new(transform, "samples", Vec::new());
    let (samples, native_allocations) = match transform.blocks {
        true => (Samples::new(transform, "samples", weights), None),
        false => (nothing(), Some(Samples::new(transform, "bytes", weights))),
    };
    Thread {
        process_type: "default",
        process_name: plain(&metadata.command_line.join(" ")),
        process_startup_time: 0.0,
        process_shutdown_time: None,
        register_time: 0.0,
        unregister_time: None,
        paused_ranges: [],
        name: plain(&threads.label(serial)),
        is_main_thread: number == metadata.pid,
        pid: metadata.pid.to_string(),
        tid,
        samples,
        native_allocations,
        markers: Markers::default(),
    }
}

impl Samples {
    fn new(transform: &Transform<'_, '_>, weight_type: &'static str, weights: Vec<(u32, u64)>) -> Samples {
        let length = weights.len();
        let (stack, weight) = weights.into_iter().unzip();
        Samples { time: vec![millis(moment_ns(transform)); length], weight, weight_type, stack, length }
    }
}

fn gaps(transform: &Transform<'_, '_>, name: u32) -> Markers {
    let mut markers = Markers::default();
    for gap in transform.profile.gaps() {
        let [from, to] = [gap.from, gap.to].map(|at| millis(transform.profile.nanos(at)));
        markers.data.push(Marker { r#type: GAP, allocations: gap.allocations, frees: gap.frees });
        markers.name.push(name);
        markers.start_time.push(from);
        markers.end_time.push(to);
        markers.phase.push(INTERVAL);
        markers.category.push(0);
        markers.length += 1;
    }
    markers
}
