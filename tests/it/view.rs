//! The view that `prof attach` has on a terminal: keys and ends, what is left of the terminal,
//! and of the recording.

use crate::dsl::*;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};

fn attach(target: &Target, file: &Path) -> Screen {
    let screen = Screen::of(&["attach", &target.pid(), "-o", &file.display().to_string()]);
    screen.shows(&["prof attach · load.prof", "recording · ", " · pause ", "q end"]);
    screen
}

fn attached() -> (Target, PathBuf, Screen) {
    let mut target = target("load.py").arg("1").ready();
    let file = target.scratch().join("load.prof");
    let screen = attach(&target, &file);
    target.ask("rounds");
    (target, file, screen)
}

/// The report, on the terminal as it was; the capture is finished.
#[track_caller]
fn ends(mut screen: Screen, file: &Path, reason: &str) {
    assert!(screen.ended().success(), "{}", screen.text());
    screen.shows(&["next: prof flamegraph "]);
    assert!(!screen.is_taken());
    let stats = Capture::stats_of(file);
    assert_eq!(stats["end_reason"], reason, "{stats:#}");
}

#[test]
fn keys_end_it() {
    for key in ["q", "\x03"] {
        let (target, file, screen) = attached();
        screen.press("?").shows(&["end the recording"]).press(" ");
        screen.press("\x1a").shows(&["Ctrl-Z would stop the recording"]);
        screen.resize(60, 200);
        let last_line = || screen.text().lines().nth(59).is_some_and(|line| line.contains("? help"));
        screen.press("k");
        until("it is drawn anew", || last_line().then_some(()));
        screen.press(key);
        ends(screen, &file, "interrupted");
        target.finish();
    }
}

#[test]
fn a_page_meanwhile() {
    let (target, file, screen) = attached();
    screen.press("w").shows(&["wrote ", "live-1.html"]);
    let page = fs::read_to_string(file.with_extension("live-1.html")).expect("it was written");
    assert!(page.trim_end().ends_with("</html>"));
    screen.press("q");
    ends(screen, &file, "interrupted");
    target.finish();
}

#[test]
fn signals_end_it() {
    for (signal, reason) in
        [(Signal::TERM, "terminated"), (Signal::HUP, "hangup"), (Signal::INT, "interrupted")]
    {
        let (target, file, screen) = attached();
        screen.signal(signal);
        ends(screen, &file, reason);
        target.finish();
    }
}

#[test]
fn the_target_ends() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let target = target("load.py").arg("1").ready();
    let file = dir.path().join("load.prof");
    let screen = attach(&target, &file);
    target.finish();
    ends(screen, &file, "target_exited");
}

#[test]
fn only_a_line_if_wanted() {
    let target = target("load.py").arg("1").ready();
    let file = target.scratch().join("load.prof").display().to_string();
    let screen = Screen::of(&["attach", &target.pid(), "--no-live", "-o", &file]);
    screen.shows(&["prof: recording pid ", " events"]);
    assert!(!screen.text().contains("prof attach ·"));
    screen.signal(Signal::INT);
    screen.shows(&["next: prof flamegraph "]);
    target.finish();
}
