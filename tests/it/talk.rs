//! What `prof attach` says: one line for scripts, a progress line for people, and a
//! summary.

use crate::dsl::*;
use rustix::process::Signal;

fn load() -> Target {
    target("load.py").arg("1").ready()
}

fn attach(target: &Target, args: &[&str]) -> Prof {
    let pid = target.pid();
    prof(&[&["attach", &pid], args, &["-o"]].concat()).arg(target.scratch().join("capture.prof"))
}

/// On a terminal a line shows what goes on; signals come as from its keys.
#[test]
fn progress() {
    let mut target = load();
    let mut recording = attach(&target, &[]).on_terminal().spawn();
    recording.started();
    target.ask("rounds");
    until("progress is shown", || recording.stderr().contains(" events").then_some(()));
    recording.signal(Signal::INT);
    let finished = recording.wait().success();
    let (progress, _) = finished.stderr.split_once("prof: ended").expect("a summary");
    for word in [" s ", " events", " live", " resident", " lost"] {
        assert!(progress.contains(word), "no {word:?} in {progress:?}");
    }
    target.finish();
}

/// Where nobody watches there is no progress, and no control sequence.
#[test]
fn no_progress_without_a_terminal() {
    let target = load();
    let finished = attach(&target, &["--duration", "2"]).run().success();
    assert!(!finished.stderr.contains(['\r', '\x1b']), "{finished}");
    let progress = finished.stderr.lines().skip(1).take_while(|line| !line.starts_with("prof: ended"));
    assert_eq!(progress.count(), 0, "{finished}");
    target.finish();
}

#[test]
fn quiet() {
    let target = load();
    let finished = attach(&target, &["-q", "--duration", "500ms"]).run().success();
    let lines: Vec<_> = finished.stderr.lines().collect();
    let file = target.scratch().join("capture.prof");
    assert_eq!(lines, [format!("prof: recording pid {} to {}", target.pid(), file.display())]);
    assert_eq!(finished.stdout, "");
    target.finish();
}

#[test]
fn verbose() {
    let target = load();
    attach(&target, &["-v", "--duration", "500ms"]).run().success().says("note: ");
    target.finish();
}

/// The pause it caused, the largest sites at the peak, the next command.
#[test]
fn summary() {
    let mut target = load();
    let recording = attach(&target, &[]).recording();
    target.ask("rounds");
    let finished =
        recording.interrupt().says("longest pause").says("peak").says("load.py:").says("nothing lost");
    let next = finished.stderr.lines().find_map(|line| line.strip_prefix("next: prof flamegraph "));
    let next = next.unwrap_or_else(|| panic!("no next command\n{finished}"));
    prof(&["stats", next]).run().success();
    target.finish();
}

/// An existing file is replaced where that is wanted.
#[test]
fn force() {
    let target = load();
    let file = target.scratch().join("capture.prof");
    std::fs::write(&file, "of no worth").expect("the file can be written");
    let finished = attach(&target, &["--force", "--duration", "500ms"]).run().success();
    assert!(!Capture::read(&file).events.is_empty(), "{finished}");
    target.finish();
}

/// What a target calls its functions and files cannot reach the terminal.
#[test]
fn names_with_control_sequences() {
    let mut target = target("stacks.py").ready();
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
    target.ask("hostile");
    let finished = recording.interrupt();
    let run = |args: &[&str]| prof(args).arg(&file).run().success().stdout;
    for text in [finished.stderr, run(&["stats"]), run(&["parse"])] {
        let turns = |c: char| ('\u{202a}'..='\u{202e}').contains(&c);
        shows_no_control(&text);
        assert!(!text.contains(turns), "{text:?}");
    }
    for json in [run(&["stats", "--json"]), run(&["parse", "--json"])] {
        shows_no_control(&json);
    }
    target.finish();
}

#[track_caller]
fn shows_no_control(output: &str) {
    assert!(output.contains("evil"), "{output}");
    let found = output.find(|c: char| c.is_control() && c != '\n');
    let around = found.map(|at| output[at..].chars().take(40).collect::<String>());
    assert_eq!(around, None);
}
