//! What a capture says besides events: of the target, its modules, its threads, its
//! resident set, and of the recording itself.

use crate::dsl::*;
use object::Object;
use serde_json::Value;

/// A recording of a second's length in which every function was called once.
fn record(python: &str) -> (Target, Capture) {
    let mut target = target("sequences.py").arg("threads").python(python).ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "--duration", "1", "-o"]).arg(&file).recording();
    target.ask("functions");
    let capture = recording.wait().success().capture();
    (target, capture)
}

python_tests! { all:
    /// Command line, version, allocator, C library: as the target itself says.
    fn of_the_target(python) {
        let (target, capture) = record(python);
        let metadata = capture.records("metadata")[0];
        assert_eq!(metadata["pid"].as_u64().map(|pid| pid.to_string()), Some(target.pid()));
        let line = std::fs::read_to_string(target.proc_dir().join("cmdline")).expect("the target runs");
        let words: Vec<_> = line.split_terminator('\0').collect();
        assert_eq!(metadata["command_line"], Value::from(words));
        assert_eq!(metadata["python"]["version"], version(python));
        let allocator = if python.ends_with('d') { "pymalloc_debug" } else { "pymalloc" };
        assert_eq!(metadata["python"]["allocator"], allocator);
        assert_eq!(metadata["allocator"], "glibc");
        assert!(metadata["libc"].as_str().is_some_and(|libc| libc.starts_with("glibc 2.")), "{metadata:#}");
        target.finish();
    }

    fn of_another_allocator_of_python(python) {
        let target = target("echo.py").env("PYTHONMALLOC", "malloc").python(python).ready();
        let file = target.scratch().join("capture.prof");
        let capture = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording().interrupt().capture();
        assert_eq!(capture.stats["metadata"]["python_allocator"], "malloc");
        target.finish();
    }
}

fn version(python: &str) -> String {
    let script = "import platform; print(platform.python_version(), end='')";
    let output = std::process::Command::new(interpreter(python)).args(["-c", script]).output();
    String::from_utf8(output.expect("Python starts").stdout).expect("a version")
}

/// Every file that the target has mapped as code, with the build-id that is in it.
#[test]
fn modules() {
    let (target, capture) = record("3.12");
    let modules = capture.records("metadata")[0]["modules"].as_array().expect("a list").clone();
    let maps = std::fs::read_to_string(target.proc_dir().join("maps")).expect("the target runs");
    let code = maps.lines().filter(|line| line.contains(" r-xp ") && line.contains(" /"));
    let files: std::collections::BTreeSet<_> =
        code.filter_map(|line| line.split_whitespace().nth(5)).collect();
    assert!(files.iter().any(|file| file.contains("libc.so")) && files.len() > 3, "{files:?}");
    let mut with_id = 0;
    for file in files {
        let module = modules.iter().find(|module| module["path"] == file);
        let module = module.unwrap_or_else(|| panic!("no module {file}"));
        let data = std::fs::read(file).expect("the file can be read");
        let id = object::File::parse(&*data).expect("an ELF file").build_id().expect("readable notes");
        let id: Option<String> = id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect());
        assert_eq!(module["build_id"].as_str().map(str::to_owned), id, "{file}");
        with_id += usize::from(id.is_some());
    }
    assert!(with_id > 0, "no module has a build-id");
    target.finish();
}

/// Threads have their names, those that Python does not know of too.
#[test]
fn threads() {
    let (target, capture) = record("3.12");
    let names: Vec<_> = capture.records("thread").into_iter().map(|thread| thread["name"].clone()).collect();
    assert!(names.iter().any(|name| name == "test worker"), "{names:?}");
    let tids: std::collections::BTreeSet<_> =
        capture.records("thread").into_iter().map(|thread| thread["tid"].to_string()).collect();
    let tasks = std::fs::read_dir(target.proc_dir().join("task")).expect("the target runs").flatten();
    for tid in tasks.map(|task| task.file_name().into_string().expect("a number")) {
        assert!(tids.contains(&tid), "no thread {tid}");
    }
    target.finish();
}

/// The resident set is the kernel's figure, and sampled over time.
#[test]
fn resident_set() {
    let (target, capture) = record("3.12");
    let statm = std::fs::read_to_string(target.proc_dir().join("statm")).expect("the target runs");
    let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a number");
    let now = pages * 4096;
    let samples = capture.records("rss");
    assert!(!samples.is_empty());
    for sample in samples {
        let bytes = sample["resident_bytes"].as_u64().expect("a number");
        assert!(bytes > now / 2 && bytes < now * 2, "{bytes} sampled, {now} now");
    }
    target.finish();
}

/// Every code object on a stack is described, once.
#[test]
fn code_objects() {
    let (target, capture) = record("3.12");
    let codes = capture.records("code");
    let names = |key: &str| codes.iter().filter_map(|code| code[key].as_str()).collect::<Vec<_>>();
    for name in ["functions", "serve", "<module>"] {
        assert!(names("qualified_name").contains(&name), "{codes:#?}");
    }
    assert!(codes.iter().all(|code| code["file"].is_string() && code["first_line"].is_u64()));
    let ids: std::collections::BTreeSet<_> = codes.iter().map(|code| code["id"].as_u64()).collect();
    assert_eq!(ids.len(), codes.len(), "ids are unique");
    assert_eq!(capture.stats["unresolved_codes"], 0);
    target.finish();
}

/// Begin, end, length and pause are said, and possible.
#[test]
fn of_the_recording() {
    let (target, capture) = record("3.12");
    let stats = &capture.stats;
    let end = capture.records("end")[0];
    assert_eq!(end["reason"], "duration");
    assert_eq!(end["events"].as_u64(), Some(capture.events.len() as u64));
    let pause = stats["longest_pause_us"].as_u64().expect("a number");
    assert!((1..1_000_000).contains(&pause), "a pause of {pause} µs");
    let length = stats["metadata"]["duration_ns"].as_u64().expect("a number");
    assert!((1_000_000_000..60_000_000_000).contains(&length), "a second's recording took {length} ns");
    target.finish();
}
