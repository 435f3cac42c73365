//! When events come faster than they are taken: the target waits little, what is lost is
//! counted to the last event, and every report says when.

use crate::dsl::*;
use prof_shared::ring::Header;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// What all waits of all threads may add up to while the attacher is stopped.
const MOST_HELD_UP: Duration = Duration::from_millis(100);

fn attach(target: &Target, args: &[&str]) -> Prof {
    let file = target.scratch().join("capture.prof");
    let pid = target.pid();
    prof(&[&["attach", &pid, "--force", "-q"], args, &["-o"]].concat()).arg(&file)
}

fn number(target: &mut Target, command: &str) -> u64 {
    target.ask(command).parse().expect("a number")
}

/// Waits until so many more allocations and frees have been made.
#[track_caller]
fn does_more(target: &mut Target, more: u64) {
    let before = number(target, "done");
    until("it works", || (number(target, "done") > before + more).then_some(()));
}

/// Of each thread: allocations and frees.
type Counts = BTreeMap<u64, (u64, u64)>;

fn made(answer: &str) -> Counts {
    let lane = |lane: &str| {
        let numbers: Vec<u64> = lane.split(':').map(|number| number.parse().expect("a number")).collect();
        (numbers[0], (numbers[1], numbers[2]))
    };
    answer.split(' ').map(lane).collect()
}

/// What a capture knows of these threads: recorded, and lost.
fn known(capture: &Capture, threads: &Counts) -> (Counts, Counts) {
    let (mut recorded, mut lost) = (Counts::new(), Counts::new());
    for event in capture.events.iter().filter(|event| threads.contains_key(&event.tid.into())) {
        let of_thread = recorded.entry(event.tid.into()).or_default();
        match event.kind.as_str() {
            "free" => of_thread.1 += 1,
            "malloc" | "calloc" | "realloc" => of_thread.0 += 1,
            other => panic!("nobody made a {other} there: {event:?}"),
        }
    }
    for record in capture.records("lost") {
        let field = |name: &str| record[name].as_u64().expect("a number");
        let of_thread = lost.entry(field("tid")).or_default();
        *of_thread = (of_thread.0 + field("allocations"), of_thread.1 + field("frees"));
    }
    lost.retain(|tid, _| threads.contains_key(tid));
    (recorded, lost)
}

#[track_caller]
fn adds_up(capture: &Capture, made: &Counts) -> (u64, u64) {
    let (recorded, lost) = known(capture, made);
    for (tid, &(allocations, frees)) in made {
        let (r, l) = (recorded[tid], lost.get(tid).copied().unwrap_or_default());
        assert_eq!((r.0 + l.0, r.1 + l.1), (allocations, frees), "thread {tid}: {r:?} recorded, {l:?} lost");
    }
    lost.values().fold((0, 0), |sum, lost| (sum.0 + lost.0, sum.1 + lost.1))
}

/// The smallest ring, and four threads that do nothing but allocate: what is recorded and
/// what is lost is what was done, by thread and by kind.
#[test]
fn losses_are_counted_to_the_last_event() {
    let mut target = target("counting.py").arg("4").ready();
    let recording = attach(&target, &["--ring-size", "256KiB"]).recording();
    target.ask("go");
    // Whether the ring overflows by itself depends on the machine.
    for _ in 0..3 {
        recording.signal(Signal::STOP);
        does_more(&mut target, 100_000);
        recording.signal(Signal::CONT);
        does_more(&mut target, 100_000);
    }
    let made = made(&target.ask("halt"));
    let finished = recording.interrupt();
    let capture = finished.capture();
    let (allocations, frees) = adds_up(&capture, &made);
    assert!(allocations > 0 && frees > 0, "nothing was lost: {made:?}");
    let stats = &capture.stats;
    let of = |name: &str| stats["losses"][name].as_u64().expect("a number");
    // Python has threads too.
    assert!(of("allocations") >= allocations && of("frees") >= frees, "{stats:#}");
    assert!(stats["lost_events"].as_u64() >= Some(allocations + frees), "{stats:#}");
    // What is lost for certain was lost; what the threads still hold in our books is nothing
    // but that: they have freed everything.
    let proven = stats["proven_lost_frees"].as_u64().expect("a number");
    assert!(proven > 0 && proven <= of("frees"), "{stats:#}");
    let held = held(&capture, &made);
    assert!(held + proven <= of("frees"), "{held} held, {proven} proven: {stats:#}");
    let shown = prof(&["stats"]).arg(&capture.path).run().success().stdout;
    for text in ["INCOMPLETE", "gap: ", "missing for certain", "may be freed"] {
        assert!(shown.contains(text), "{text:?} is not in\n{shown}");
    }
    target.finish();
}

/// Blocks of these threads that are live in the books at the end.
fn held(capture: &Capture, threads: &Counts) -> u64 {
    let mut live = BTreeMap::new();
    for event in &capture.events {
        live.remove(&event.old_addr);
        match event.kind.as_str() {
            "free" => drop(live.remove(&event.addr)),
            _ => drop(live.insert(event.addr, event.tid)),
        }
    }
    live.values().filter(|&&tid| threads.contains_key(&tid.into())).count() as u64
}

/// How long the attacher is stopped; longer under `scripts/torture`.
fn stop_length() -> Duration {
    match std::env::var_os("PROF_TORTURE") {
        Some(_) => Duration::from_secs(30),
        None => Duration::from_millis(2500),
    }
}

/// Stopped under full load: the target hardly waits, and passes on; then all goes on, and
/// the gap is told.
#[test]
fn a_stopped_attacher() {
    let mut target = target("counting.py").arg("8").ready();
    let recording = attach(&target, &["--ring-size", "1MiB"]).recording();
    target.ask("go");
    does_more(&mut target, 200_000);
    let before = number(&mut target, "held_up");
    recording.signal(Signal::STOP);
    let start = Instant::now();
    while start.elapsed() < stop_length() {
        does_more(&mut target, 1000);
    }
    let held_up = Duration::from_nanos(number(&mut target, "held_up") - before);
    recording.signal(Signal::CONT);
    let made = made(&target.ask("halt"));
    target.ask("allocate 47123");
    let capture = recording.interrupt().capture();
    println!(
        "held up for {held_up:?} in {:?}; waits {}",
        stop_length(),
        capture.stats["losses"]["waited_us"]
    );
    assert!(held_up < MOST_HELD_UP, "held up for {held_up:?}");
    adds_up(&capture, &made);
    tells_gap(&capture, "did not run");
    assert!(capture.events.iter().any(|event| event.size == 47123), "nothing was recorded afterwards");
    target.finish();
}

/// A disk that takes nothing for a while: as if the attacher were stopped.
#[test]
fn a_slow_disk() {
    let Some(disk) = FreezableDisk::new() else { return skip("no right to mount a file system") };
    let mut target = target("counting.py").arg("8").ready();
    let file = disk.dir.path().join("capture.prof");
    let args = ["attach", &target.pid(), "-q", "--ring-size", "1MiB", "-o"];
    let recording = prof(&args).arg(&file).recording();
    disk.freeze(true);
    target.ask("go");
    until("events are lost", || (lost(&target) > 0).then_some(()));
    let before = number(&mut target, "held_up");
    let start = Instant::now();
    while start.elapsed() < stop_length() {
        does_more(&mut target, 1000);
    }
    let held_up = Duration::from_nanos(number(&mut target, "held_up") - before);
    disk.freeze(false);
    let made = made(&target.ask("halt"));
    let capture = recording.interrupt().capture();
    println!("held up for {held_up:?} in {:?}", stop_length());
    assert!(held_up < MOST_HELD_UP, "held up for {held_up:?}");
    adds_up(&capture, &made);
    tells_gap(&capture, "fast enough");
    target.finish();
}

/// Allocations that the hooks have lost so far, as they count it in the ring.
fn lost(target: &Target) -> u64 {
    let maps = std::fs::read_to_string(target.proc_dir().join("maps")).expect("the target runs");
    let ring = maps.lines().find(|line| line.contains("/memfd:prof-ring")).expect("it is recorded");
    let start = ring.split('-').next().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let memory = std::fs::File::open(target.proc_dir().join("mem")).expect("its memory can be read");
    let mut word = [0; 8];
    let at = start.expect("an address") + std::mem::offset_of!(Header, losses) as u64;
    memory.read_exact_at(&mut word, at).expect("it is mapped");
    u64::from_ne_bytes(word)
}

/// A file system of its own in a file, on which writes wait while it is frozen.
struct FreezableDisk {
    dir: tempfile::TempDir,
    image: tempfile::NamedTempFile,
}

impl FreezableDisk {
    fn new() -> Option<FreezableDisk> {
        let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let disk =
            FreezableDisk { dir: tempfile::tempdir().ok()?, image: tempfile::NamedTempFile::new().ok()? };
        let image = disk.image.path();
        disk.image.as_file().set_len(512 << 20).ok()?;
        let is_made = runs(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
            && runs(Command::new("mount").args(["-o", "loop"]).arg(image).arg(disk.dir.path()));
        is_made.then_some(disk)
    }

    #[track_caller]
    fn freeze(&self, is_frozen: bool) {
        let how = if is_frozen { "-f" } else { "-u" };
        let status = Command::new("fsfreeze").arg(how).arg(self.dir.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "fsfreeze {how}");
    }
}

impl Drop for FreezableDisk {
    fn drop(&mut self) {
        // It may not be frozen, or not be mounted.
        let _ = Command::new("fsfreeze").arg("-u").arg(self.dir.path()).output();
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}

/// The gap is in the figures and in the texts: from when to when, and how much.
#[track_caller]
fn tells_gap(capture: &Capture, why: &str) {
    let gaps = capture.stats["gaps"].as_array().expect("a list");
    let length = |gap: &serde_json::Value| Some(gap["to_ns"].as_u64()? - gap["from_ns"].as_u64()?);
    let longest = gaps.iter().max_by_key(|gap| length(gap)).expect("there is a gap");
    assert!(length(longest) > Some(1_000_000_000), "{gaps:?}");
    assert!(
        longest["allocations"].as_u64() > Some(1000) && longest["frees"].as_u64() > Some(1000),
        "{gaps:?}"
    );
    let notes = capture.stats["notes"].as_array().expect("a list");
    let note = notes.iter().find(|note| note["kind"] == "gap").expect("a note");
    assert!(note["text"].as_str().is_some_and(|text| text.contains(why)), "{note}");
    assert!(note["allocations"].as_u64() > Some(1000), "{note}");
    for command in ["stats", "report"] {
        let shown = prof(&[command]).arg(&capture.path).run().success().stdout;
        assert!(shown.contains("gap: ") && shown.contains("INCOMPLETE"), "{command}:\n{shown}");
    }
}
