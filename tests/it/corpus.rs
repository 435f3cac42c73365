//! What the reports say is what a simple replay of the records says, to the byte: stats,
//! summaries, windows and the data of the page. The replay is `tests/replay.py`, the
//! comparison `tests/agreement.py`; neither uses anything of ours but `prof parse`.

use crate::dsl::*;
use std::path::Path;
use std::process::Command;

/// In several parts, so that every order of them is not one long recording.
const CORPUS: [&[&str]; 4] = [
    &["loops", "peaks", "release", "temporary", "loops"],
    &["parts", "remaps", "parts"],
    &["chains", "recursion 60", "release", "recursion 30"],
    &["threads 4", "objects", "temporary", "release"],
];

/// Compares the reports of a capture with its replay.
#[track_caller]
fn agrees(capture: &Path, within: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agreement.py");
    let python = if available("3.12") { interpreter("3.12") } else { Path::new("python3") };
    let mut command = Command::new(python);
    command.arg("-B").arg(script).arg(binary()).arg(capture).args(["--within", within]);
    let output = command.output().expect("an interpreter can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the figures of {} differ:\n{text}\n{errors}", capture.display());
}

/// Records `commands` with these options; the file.
fn record(target: &mut Target, name: &str, options: &[&str], commands: &[&str]) -> std::path::PathBuf {
    let file = target.scratch().join(name);
    let pid = target.pid();
    let recording = prof(&[&["attach", &pid], options, &["-o"]].concat()).arg(&file).recording();
    for command in commands {
        target.ask(command);
    }
    recording.interrupt();
    file
}

python_tests! { two:
    /// Each part of the corpus, from libc's functions and from Python's own.
    fn the_corpus(python) {
        for (part, within) in CORPUS.into_iter().zip(["1", "0", "5", "1"]) {
            let mut target = target("corpus.py").python(python).ready();
            for options in [&[][..], &["--trace-python-allocators"]] {
                agrees(&record(&mut target, &format!("corpus{}.prof", options.len()), options, part), within);
            }
            target.finish();
        }
    }
}

/// With frees and allocations missing: what is left means the same to both.
#[test]
fn a_recording_with_gaps() {
    let mut target = target("corpus.py").ready();
    let file = target.scratch().join("gaps.prof");
    let recording = prof(&["attach", &target.pid(), "--ring-size", "256KiB", "-o"]).arg(&file).recording();
    target.ask("loops");
    recording.signal(rustix::process::Signal::STOP);
    for _ in 0..40 {
        target.ask("loops");
    }
    recording.signal(rustix::process::Signal::CONT);
    for command in ["peaks", "threads 2", "release", "chains"] {
        target.ask(command);
    }
    let capture = recording.interrupt().capture();
    assert!(capture.stats["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()), "nothing was lost");
    agrees(&file, "1");
    target.finish();
}

/// A capture in the format as it was at first, with strange contents.
#[test]
fn the_golden_capture() {
    agrees(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small-v1.prof"), "1");
}
