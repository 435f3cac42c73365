//! Names that the target chose to do harm: nothing that is told of them steers a
//! terminal, breaks a line or has no end, JSON stays JSON, and nothing else is lost.

use crate::dsl::*;
use serde_json::Value;
use std::path::Path;

/// No line of text is longer: ten characters for each of two names' 1201, some frames.
const LINE: usize = 100_000;
/// No command that sums up tells more: some hundred of such names.
const SCREEN: usize = 200_000;
/// Characters that are kept of a name.
const NAME: usize = 4096;

/// Panics if a terminal would do something about it.
#[track_caller]
fn is_harmless(what: &str, text: &str) {
    let steers = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}')
    };
    if let Some(at) = text.find(steers) {
        panic!("{what} lets {:?} through", text[at..].chars().take(40).collect::<String>());
    }
    let longest = text.lines().map(str::len).max().unwrap_or(0);
    assert!(longest <= LINE, "a line of {longest} bytes in {what}");
}

/// What every command tells of a capture.
fn tell_everything(file: &Path) {
    for command in ["stats", "report", "summary"] {
        let told = prof(&[command]).arg(file).run().success();
        is_harmless(command, &told.stdout);
        assert!(told.stdout.len() < SCREEN, "{command} tells {} bytes", told.stdout.len());
    }
    is_harmless("parse", &prof(&["parse"]).arg(file).run().success().stdout);
    for command in ["stats", "report", "summary"] {
        let told = prof(&[command, "--json"]).arg(file).run().success();
        is_harmless(command, told.stdout.replace(['\u{2028}', '\u{202e}', '\u{2066}'], "").as_str());
        serde_json::from_str::<Value>(&told.stdout).expect("one JSON object");
    }
}

fn attach(target: &Target, options: &[&str]) -> Recording {
    let file = target.scratch().join("capture.prof");
    let pid = target.pid();
    let args = [&["attach", &pid, "--force", "-v"], options, &["-o"]].concat();
    prof(&args).arg(file).recording()
}

/// As they come out: no lone surrogates, and not for ever.
fn expected() -> Vec<String> {
    let long = |character: char| character.to_string().repeat(NAME) + "…";
    let harm = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n".to_owned();
    let html = "<script>alert('x')</script>&\"\\".to_owned();
    let surrogates = "lone\u{fffd}\u{fffd}surrogates".to_owned();
    let directions = "\u{202e}gnp.exe\u{2066}\u{2028}\u{feff}".to_owned();
    let short = [harm, html, "nul\0byte".to_owned(), surrogates, directions];
    short.into_iter().chain(['a', 'ж', '🐍', '\u{1b}'].map(long)).collect()
}

/// Calls each function by itself, and looks at what was recorded of it.
fn call_all(mut target: Target, options: &[&str]) -> Capture {
    target.ask("rename");
    let recording = attach(&target, options);
    let count: usize = target.ask("count").parse().expect("a number");
    for index in 0..count {
        target.ask(&format!("call {index}"));
    }
    let finished = recording.interrupt();
    is_harmless("attach", &finished.stderr);
    let capture = finished.capture();
    tell_everything(&capture.path);
    capture.is_complete();
    assert_eq!(capture.stats["damaged_chunks"], 0);
    let line = Source::read("names.py").line("allocate");
    for (index, name) in expected().into_iter().enumerate() {
        let leaf = &capture.one(51000 + index as u64).stack[0];
        assert!(*leaf == Frame(name.clone(), name, line), "{index}: {leaf:?}");
    }
    // The line is told by the front of a table that was cut.
    let last = &capture.one(51000 + count as u64 - 1).stack[0];
    assert_eq!((last.0.as_str(), last.2), ("template", line));
    assert!(capture.stats["losses"]["cut_texts"].as_u64() >= Some(9), "{:#}", capture.stats["losses"]);
    target.finish();
    capture
}

python_tests! { all:
    fn come_out_harmless(python) {
        let capture = call_all(target("names.py").python(python).ready(), &[]);
        let metadata = &capture.records("metadata")[0];
        let arguments = metadata["command_line"].as_array().expect("a list");
        assert!(arguments[0].as_str().is_some_and(|first| first.contains("\u{1b}[2J") && first.ends_with('\u{fffd}')));
        assert!(arguments.last().and_then(Value::as_str).is_some_and(|last| last.starts_with("ééé")));
        // The resident set is read from a file that the name stands in.
        assert!(capture.records("rss").iter().all(|sample| sample["resident_bytes"].as_u64() > Some(0)));
        assert!(!capture.records("rss").is_empty());
        let names: Vec<_> = capture.records("thread").iter().filter_map(|thread| thread["name"].as_str()).collect();
        assert!(names.iter().any(|name| name.starts_with("\u{1b}[2J\u{fffd}")), "{names:?}");
    }
}

/// A name of 10 MB does not fill the smallest ring, and stops nobody.
#[test]
fn fit_into_the_smallest_ring() {
    let capture = call_all(target("names.py").ready(), &["--ring-size", "256KiB"]);
    assert_eq!(capture.stats["losses"]["allocations"], 0);
}

/// What is refused is told in one line, whatever stands in it.
#[test]
fn come_out_harmless_in_errors() {
    let mut target = target("names.py").ready();
    let missing = target.scratch().join("none\u{1b}[2J\r\n\u{202e}".to_owned() + &"x".repeat(180));
    for args in [&["stats"][..], &["parse"], &["attach", &target.pid(), "-o"]] {
        let file = if args.len() > 1 { missing.join("none.prof") } else { missing.clone() };
        let told = prof(args).arg(&file).run();
        assert!(!told.status.is_some_and(|status| status.success()));
        is_harmless("an error", &told.stderr);
    }
    for args in [&["attach", "\u{1b}[2J"][..], &["\u{1b}[2J"], &["attach", "1", "--duration", "\u{1b}[2J"]] {
        is_harmless("a usage error", &prof(args).run().refuses(USAGE, &[]).stderr);
    }
    target.ask("pretend");
    let refused = prof(&["attach", &target.pid()]).run().refuses(REFUSAL, &["prof-payload-"]);
    is_harmless("a refusal", &refused.stderr);
    is_harmless("detach", &prof(&["detach", &target.pid()]).run().stderr);
    target.finish();
}
