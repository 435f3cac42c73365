//! What is resident when `prof` attaches and what grows from then on: categories
//! that add up, and a report that names the leak.

use crate::dsl::*;
use prof_injector::Pid;
use prof_injector::process::{Process, Resident};
use serde_json::Value;

/// The resident set that the kernel counts now, in bytes.
fn resident(target: &Target) -> u64 {
    let rollup = std::fs::read_to_string(target.proc_dir().join("smaps_rollup")).expect("the target runs");
    let line =
        rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line for the resident set");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Whether two sizes differ by at most 1 %, or by what a process needs to breathe.
fn is_near(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= (one.max(other) / 100).max(64 << 10)
}

/// The samples that have categories.
fn looks(capture: &Capture) -> Vec<&Value> {
    capture.records("rss").into_iter().filter(|sample| !sample["parts"]["files"].is_null()).collect()
}

/// Waits until the first look is in the capture.
fn wait_for_a_look(file: &std::path::Path) {
    until("the first look is written", || {
        let output = prof(&["parse", "--json"]).arg(file).run().success();
        (!looks(&Capture::parse(file, &output.stdout)).is_empty()).then_some(())
    });
}

fn parts(look: &Value) -> impl Iterator<Item = (&str, u64)> {
    let parts = look["parts"].as_object().expect("a look has parts");
    parts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_u64().expect("bytes")))
}

python_tests! { all:
    /// At the first look and at the last; the target is idle then.
    fn categories_add_up(python) {
        let mut target = target("baseline.py").python(python).ready();
        let held = |answer: String| answer.parse::<u64>().expect("bytes");
        let held = held(target.ask("hold")) + held(target.ask("hold-much"));
        let before = resident(&target);
        assert!(before > held, "the target holds what it says");
        let file = target.scratch().join("capture.prof");
        let capture = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().interrupt().capture();
        let looks = looks(&capture);
        assert!(looks.len() >= 2, "one at the start, one at the end");
        for look in looks {
            let sum = parts(look).filter(|(name, _)| !name.contains(':')).map(|(_, bytes)| bytes).sum::<u64>();
            let counted = look["resident_bytes"].as_u64().expect("bytes");
            assert!(is_near(sum, counted), "{sum} is not {counted}: {look:#}");
            let prof = look["parts"]["prof"].as_u64().unwrap_or(0);
            let added = (sum - prof).abs_diff(before);
            assert!(added <= 2 << 20, "{sum} without {prof} is not {before}: {look:#}");
            let part = |name: &str| look["parts"][name].as_u64().unwrap_or(0);
            assert!(part("malloc_arenas") >= 4 << 20, "a thread holds 4 MiB: {look:#}");
            assert!(part("shared") >= 2 << 20, "a shared mapping has 2 MiB: {look:#}");
            assert!(part("thread_stacks") >= 17 * (8 << 10), "17 threads: {look:#}");
            assert!(part("files") > 1 << 20 && part("brk_heap") > 8 << 20, "{look:#}");
            assert!(part("anonymous") > 40 << 20, "{look:#}");
        }
        target.finish();
    }

    /// Known amounts from before the attach and since: recorded blocks, mappings of which
    /// only a part is written to, and an older block that is given back.
    fn the_resident_set_is_explained(python) {
        const MIB: u64 = 1 << 20;
        let mut target = target("baseline.py").python(python).ready();
        for command in ["objects", "block kept 30", "block dropped 40", "map 5 50"] {
            target.ask(command);
        }
        let file = target.scratch().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
        wait_for_a_look(&file);
        for command in ["free dropped", "block since 25", "map 7 70", "block gone 9", "free gone"] {
            target.ask(command);
        }
        let capture = recording.interrupt().capture();
        let set = &capture.stats["resident_set"];
        let explained = |part: &str| set["explained"][part].as_u64().expect("bytes");
        let first = looks(&capture)[0];
        let bytes = |value: &Value| value.as_u64().expect("bytes");
        let before = bytes(&first["resident_bytes"]) - bytes(&first["parts"]["prof"]);
        for (part, expected) in [
            ("recorded_bytes", 25 * MIB + 7 * MIB),
            ("baseline_bytes", before - 40 * MIB),
            ("prof_bytes", 0),
            ("neither_bytes", 0),
        ] {
            let found = explained(part);
            let slack = if part == "prof_bytes" { 40 * MIB } else { 3 * MIB / 2 };
            assert!(found.abs_diff(expected) <= slack, "{part}: {found} is not {expected}: {set:#}");
        }
        let sum: u64 = ["recorded", "baseline", "prof", "neither"].map(|part| explained(&format!("{part}_bytes"))).iter().sum();
        assert_eq!(set["at_end_bytes"], sum, "{set:#}");
        target.finish();
    }

    /// New arenas of pymalloc are recorded; old ones stay baseline, whatever comes into them.
    fn arenas_are_explained(python) {
        let mut target = target("baseline.py").python(python).ready();
        let objects: u64 = target.ask("objects").parse().expect("bytes");
        let file = target.scratch().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
        wait_for_a_look(&file);
        target.ask("objects");
        let capture = recording.interrupt().capture();
        let set = &capture.stats["resident_set"];
        let explained = |part: &str| set["explained"][part].as_u64().expect("bytes");
        let first = set["at_attach_bytes"].as_u64().expect("bytes");
        // A debug build pads each object, and up to 3.7 its head is larger.
        let most = if python.ends_with('d') || ["3.6", "3.7"].contains(&python) { 3 } else { 2 };
        assert!((objects..most * objects).contains(&explained("recorded_bytes")), "{set:#}");
        assert!(explained("baseline_bytes").abs_diff(first) <= 3 << 20, "{set:#}");
        assert!(explained("neither_bytes") <= 2 << 20, "{set:#}");
        target.finish();
    }

    /// As far as pymalloc can be read, it is right about what it holds.
    fn pymalloc_is_right_or_unknown(python) {
        let mut target = target("baseline.py").python(python).ready();
        let objects: u64 = target.ask("objects").parse().expect("bytes");
        let file = target.scratch().join("capture.prof");
        let capture = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().interrupt().capture();
        let looks = looks(&capture);
        let pymalloc = &looks.last().expect("a last look")["pymalloc"];
        match pymalloc.is_null() {
            true => assert_eq!(python, "system", "only a stripped interpreter is unknown"),
            false => {
                let number = |key: &str| pymalloc[key].as_u64().expect("a number");
                assert!(number("used_pools") * number("pool_bytes") >= objects, "{objects}: {pymalloc:#}");
                assert!(number("arenas") * number("arena_bytes") < 8 * objects, "{objects}: {pymalloc:#}");
            }
        }
        target.finish();
    }
}

python_tests! { named:
    /// Large blocks and small objects leak at one line each; both are on the screen.
    fn the_report_names_the_leaks(python) {
        let mut target = target("baseline.py").python(python).ready();
        target.ask("hold");
        let file = target.scratch().join("capture.prof");
        let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
        target.ask("leak 200");
        let attached = recording.interrupt();
        let screen = prof(&["report"]).arg(&file).run().success().stdout;
        assert!(attached.stderr.contains(screen.trim_end()), "the end of the attach tells otherwise\n{attached}");
        let source = Source::read("baseline.py");
        let held = screen.split("Allocated and freed").next().expect("a first part");
        for site in ["large", "small"] {
            let place = format!("baseline.py:{}", source.line(site));
            assert!(held.contains(&place), "no {place} in\n{screen}");
        }
        let churn = format!("baseline.py:{}", source.line("churn"));
        assert!(screen.split("Allocated and freed").nth(1).is_some_and(|end| end.contains(&churn)), "{screen}");
        assert!(screen.lines().count() <= 30 && screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
        target.finish();
    }
}

/// A look at memory that the target has not touched would map zero pages there.
#[test]
fn looks_leave_no_trace() {
    let mut target = target("baseline.py").ready();
    let start: u64 = target.ask("untouched 300").parse().expect("an address");
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().interrupt();
    let process = Process::open(Pid::from_raw(target.pid().parse().expect("a number"))).expect("it runs");
    let pagemap = process.pagemap().expect("it can be opened");
    let resident = pagemap.resident(&(start..start + (300 << 20))).expect("it can be read");
    assert_eq!(resident, Resident::default());
    target.finish();
}

/// JSON says the same, and the parts of the explanation are the resident set.
#[test]
fn report_and_summary_have_json() {
    let mut target = target("baseline.py").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    target.ask("leak 50");
    recording.interrupt();
    let json = |command: &[&str]| -> Value {
        let output = prof(command).arg(&file).run().success();
        serde_json::from_str(&output.stdout).expect("one JSON object")
    };
    let report = json(&["report", "--json"]);
    let set = &report["resident_set"];
    let explained = set["explained"].as_object().expect("four parts");
    let sum: u64 = explained.values().map(|bytes| bytes.as_u64().expect("bytes")).sum();
    assert_eq!(set["at_end_bytes"], sum, "{report:#}");
    let held = report["still_held"].as_array().expect("a list");
    assert!(held.iter().any(|site| site["stack"][0][0] == "keep_large"), "{report:#}");

    let summary = json(&["summary", "--json", "--sort", "total"]);
    let rows = summary["functions"].as_array().expect("a list");
    let row =
        |name: &str| rows.iter().find(|row| row["function"] == name).unwrap_or_else(|| panic!("{summary:#}"));
    let (large, leak) = (row("keep_large"), row("leak"));
    assert_eq!(large["own_bytes"], large["total_bytes"]);
    assert!(large["own_bytes"].as_u64() >= Some(50 * 100_000), "{summary:#}");
    assert!(leak["total_bytes"].as_u64() > large["own_bytes"].as_u64(), "{summary:#}");
    target.finish();
}
