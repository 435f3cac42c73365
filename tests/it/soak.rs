//! Allocation at full rate for long: nothing is lost, neither side grows, and the target is
//! as well afterwards as it was.
//!
//! In half an hour a capture outgrows most disks. Of a large one the first and the last GiB
//! are kept; what lies between is written and then given back (a hole in the file).
//!
//! Needs the release build, which keeps up: `PROF_RELEASE_BINARY`. Twenty seconds;
//! `scripts/torture` says half an hour:
//!
//! ```text
//! PROF_TEST_SOAK=SECONDS     so long
//! PROF_TEST_SOAK_DIR=DIR     where the capture goes and is removed from
//! ```

use crate::dsl::*;
use crate::matrix::note;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const USUAL: Duration = Duration::from_secs(20);
/// Both sides find their size in this time, or in a quarter of a short soak.
const SETTLING: Duration = Duration::from_secs(120);
/// So often both are looked at.
const PERIOD: Duration = Duration::from_secs(10);
/// What a side may grow by: its heap finds more places for the same blocks.
const GROWTH_KIB: u64 = 8 << 10;
/// `prof` keeps the index of the capture: about 12 bytes of 10,000.
const INDEX_SHARE: u64 = 500;
/// So much is kept of a capture at its beginning, and at its end.
const KEPT: u64 = 1 << 30;

/// A look at both sides.
struct Look {
    target_kib: u64,
    prof_kib: u64,
}

#[test]
fn nothing_is_lost_and_nobody_grows() {
    let Some(build) = std::env::var_os("PROF_RELEASE_BINARY").map(PathBuf::from) else {
        return skip("PROF_RELEASE_BINARY does not say where the release build is");
    };
    let mut target = workload("eight_threads").ready();
    let health = Health::of("eight_threads", &mut target);
    let dir = match std::env::var_os("PROF_TEST_SOAK_DIR") {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    };
    let dir = dir.expect("a temporary directory can be made");
    let file = dir.path().join("capture.prof");
    let attach = prof(&["attach", &target.pid(), "-q", "-o"]).arg(&file).built(&build);
    let mut recording = attach.recording();
    let looks = watch(&mut target, &mut recording, &health, &file);
    recording.interrupt();
    health.works(&mut target);
    health.is_as_before(&target);
    target.finish();

    let bytes = file.metadata().expect("it is there").len();
    let stats = stats(&build, &file);
    let sizes = |of: fn(&Look) -> u64| looks.iter().map(of).collect::<Vec<_>>();
    let (of_target, of_prof) = (sizes(|look| look.target_kib), sizes(|look| look.prof_kib));
    let events = ["total_num_allocations", "total_num_deallocations"].map(|key| stats[key].as_u64());
    note(&format!(
        "# soak: {} s, {events:?} allocations and frees, {} MB written; resident KiB, the first and the last \
         look after settling, of the target {:?} and {:?}, of prof {:?} and {:?}; {}",
        length().as_secs(),
        bytes / 1_000_000,
        of_target.first(),
        of_target.last(),
        of_prof.first(),
        of_prof.last(),
        stats["losses"],
    ));
    assert_eq!(stats["lost_events"], 0, "{:#}", stats["losses"]);
    assert!(stats["gaps"].as_array().is_some_and(Vec::is_empty), "{:#}", stats["gaps"]);
    assert!(bytes > 2 * KEPT || stats["damaged_chunks"] == 0, "{stats:#}");
    is_flat("the target", &of_target, GROWTH_KIB);
    is_flat("prof", &of_prof, GROWTH_KIB + bytes / INDEX_SHARE / 1024);
}

fn length() -> Duration {
    let seconds = std::env::var("PROF_TEST_SOAK").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(USUAL, Duration::from_secs)
}

/// Looks at both sides until the time is over; gives the looks after they have settled.
#[track_caller]
fn watch(target: &mut Target, recording: &mut Recording, health: &Health, file: &Path) -> Vec<Look> {
    let (start, settled) = (Instant::now(), SETTLING.min(length() / 4));
    let (period, mut looks) = (PERIOD.min(length() / 20), Vec::new());
    while start.elapsed() < length() {
        let ended = within(period, || (!recording.is_alive()).then_some(()));
        assert!(ended.is_none(), "prof ended after {:?}: {}", start.elapsed(), recording.stderr());
        health.works(target);
        let look = Look {
            target_kib: resident_kib(&target.pid()),
            prof_kib: resident_kib(&recording.pid().to_string()),
        };
        println!(
            "{:>5} s: target {} KiB, prof {} KiB",
            start.elapsed().as_secs(),
            look.target_kib,
            look.prof_kib
        );
        if start.elapsed() >= settled {
            looks.push(look);
        }
        give_back(file);
    }
    looks
}

/// Makes a hole of the middle of a large capture.
fn give_back(file: &Path) {
    let file = fs::File::options().write(true).open(file).expect("the capture is there");
    let len = file.metadata().expect("it is open").len();
    if len > 2 * KEPT {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, hole, KEPT, len - 2 * KEPT).expect("a file system with holes");
    }
}

/// Memory that is not a file's: pages of files come and go as the kernel likes.
fn resident_kib(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    field("RssAnon:") + field("RssShmem:")
}

/// Panics if it was larger in the last third than in the first, by more than `bound_kib`.
#[track_caller]
fn is_flat(who: &str, sizes: &[u64], bound_kib: u64) {
    let third = sizes.len() / 3;
    assert!(third > 0, "too few looks: {sizes:?}");
    let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len() as u64;
    let (first, last) = (mean(&sizes[..third]), mean(&sizes[sizes.len() - third..]));
    assert!(last <= first + bound_kib, "{who} has grown from {first} KiB to {last} KiB: {sizes:?}");
}

/// What `prof stats` says; of a large capture that takes minutes.
fn stats(build: &Path, file: &Path) -> serde_json::Value {
    let output = Command::new(build).args(["stats", "--json"]).arg(file).output();
    let output = output.expect("the release build can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}
