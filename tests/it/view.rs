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
        let drawn = within(DEADLINE, || last_line().then_some(()));
        assert!(drawn.is_some(), "{}", screen.text());
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

/// The terminal goes away: the recording ends in order, and the target goes on.
#[test]
fn the_terminal_is_closed() {
    let (mut target, file, mut screen) = attached();
    screen.hang_up();
    screen.ended();
    let stats = Capture::stats_of(&file);
    assert_eq!(stats["end_reason"], "hangup", "{stats:#}");
    is_free(&mut target);
    target.finish();
}

/// Nothing of prof is in it, and it works.
#[track_caller]
fn is_free(target: &mut Target) {
    let detached = prof(&["detach", &target.pid()]).run().success();
    assert!(detached.stderr.contains("nothing of prof"), "{detached}");
    target.ask("rounds");
}

/// Events are in the capture.
#[track_caller]
fn is_written(file: &Path) {
    let allocations = || Capture::stats_of(file)["total_num_allocations"].as_u64();
    until("something is written", || (allocations() > Some(0)).then_some(()));
}

/// What was recorded up to then can be read.
#[test]
fn it_is_killed() {
    let (mut target, file, mut screen) = attached();
    is_written(&file);
    screen.signal(Signal::KILL);
    screen.ended();
    is_written(&file);
    assert_eq!(Capture::stats_of(&file)["end_reason"], "unfinished");
    prof(&["detach", &target.pid()]).run().success();
    is_free(&mut target);
    target.finish();
}

/// A view that goes wrong; the file tells it when.
fn going_wrong(place: &str) -> Option<(Target, PathBuf, Screen)> {
    if cfg!(not(feature = "failpoints")) {
        skip("prof was built without fail points");
        return None;
    }
    let mut target = target("load.py").arg("1").ready();
    let (file, now) = (target.scratch().join("load.prof"), target.scratch().join("now"));
    let panic_at = format!("{place}:{}", now.display());
    let arguments = ["attach", &target.pid(), "-o", &file.display().to_string()];
    let screen = Screen::with(&[], &arguments, &[("PROF_PANIC_AT", &panic_at), ("RUST_BACKTRACE", "0")]);
    screen.shows(&["recording · "]);
    target.ask("rounds");
    is_written(&file);
    fs::write(&now, "").expect("there is room");
    Some((target, file, screen))
}

/// The recording goes on, with a line of progress.
#[test]
fn the_view_goes_wrong() {
    let Some((mut target, file, screen)) = going_wrong("view") else { return };
    screen.shows(&["told to panic at view", " events "]);
    assert!(!screen.is_taken());
    target.ask("rounds");
    screen.signal(Signal::INT);
    ends(screen, &file, "interrupted");
    is_free(&mut target);
    target.finish();
}

/// The terminal is given back, and what was recorded can be read.
#[test]
fn the_recorder_goes_wrong() {
    let Some((mut target, file, mut screen)) = going_wrong("recorder") else { return };
    screen.shows(&["told to panic at recorder"]);
    assert_eq!(screen.ended().code(), Some(101), "{}", screen.text());
    assert!(!screen.is_taken(), "{}", screen.text());
    assert!(!screen.text().contains("recording · "), "{}", screen.text());
    is_written(&file);
    target.ask("rounds");
    prof(&["detach", &target.pid()]).run().success();
    is_free(&mut target);
    target.finish();
}
