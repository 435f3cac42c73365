//! `prof live` on a real terminal: it watches recordings that grow, have ended, or were left
//! by a killed recorder, and gives the terminal back as it was.

use crate::dsl::*;
use rustix::process::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

/// A program that is being recorded.
fn recording() -> (Target, PathBuf, Recording) {
    let mut target = target("load.py").arg("1").ready();
    let file = target.scratch().join("load.prof");
    let recording =
        prof(&["attach", &target.pid(), "--trace-python-allocators", "-o"]).arg(&file).recording();
    target.ask("rounds");
    (target, file, recording)
}

fn live(file: &Path) -> Screen {
    Screen::of(&["live", &file.display().to_string()])
}

/// Two viewers at once, one of which comes late; both see the end.
#[test]
fn viewers() {
    let (mut target, file, recording) = recording();
    let mut first = live(&file);
    first.shows(&["prof live · load.prof", "recording · ", "Thread.run", "? help"]);
    let mut second = live(&file);
    second.shows(&["recording · ", "Thread.run"]).press("m").shows(&[" · mark at "]);
    second.resize(60, 200);
    let last_line = || second.text().lines().nth(59).is_some_and(|line| line.contains("? help"));
    until("it is drawn anew", || last_line().then_some(()));
    first.press("w").shows(&["wrote ", "live-1.html"]);
    let page = fs::read_to_string(file.with_extension("live-1.html")).expect("it was written");
    assert!(page.starts_with("<!") && page.trim_end().ends_with("</html>"));
    target.ask("rounds");
    recording.interrupt();
    first.shows(&["ended (interrupted)"]).press("q");
    assert!(first.ended().success());
    until("the terminal is as it was", || (!first.is_taken()).then_some(()));
    second.shows(&["ended (interrupted)"]).press("\x03");
    assert!(second.ended().success());
    target.finish();
}

/// A capture without events is written anew again and again; who watches sees the latest one,
/// also when it has been turned meanwhile, and one that has ended.
#[test]
fn captures_without_events() {
    for options in [&["--aggregate"][..], &["--max-size", "1KiB", "--on-full", "aggregate"]] {
        let mut target = target("aggregated.py").ready();
        let file = target.scratch().join("figures.prof");
        let pid = target.pid();
        let recording = prof(&[&["attach", &pid], options, &["-o"]].concat()).arg(&file).recording();
        let mut screen = live(&file);
        screen.shows(&["recording · "]);
        target.ask("leak 1000");
        // Besides the program's own blocks there may be an arena or two.
        screen.shows(&["leak (", " 1,00"]);
        target.ask("leak 9000");
        screen.shows(&["leak (", " 10,00"]);
        recording.interrupt();
        screen.shows(&["ended (interrupted)", " 10,00"]).press("q");
        assert!(screen.ended().success());
        let mut late = live(&file);
        late.shows(&["ended (interrupted)", " 10,00"]).press("q");
        assert!(late.ended().success());
        target.finish();
    }
}

/// Callers and what they called; where one has gone to there newer figures come.
#[test]
fn as_a_tree() {
    let (mut target, file, recording) = recording();
    let mut screen = live(&file);
    screen.shows(&["Thread.run", "t tree"]).press("t").shows(&["▾ all", "Share", "Thread.run", "t table"]);
    screen.press("/Thread.run\r").shows(&["/Thread.run  Esc shows all"]).press("\x1b[B\x1b[D");
    let closed = |text: String| text.contains("▸") && text.contains(" 2/2 ");
    until("what is below is hidden", || closed(screen.text()).then_some(()));
    let figures = || screen.text().lines().nth(1).map(str::to_owned);
    let before = figures();
    target.ask("rounds");
    until("newer figures are there", || (figures() != before).then_some(()));
    assert!(closed(screen.text()), "{}", screen.text());
    screen.press("t").shows(&["Own▾"]).press("\x1b").shows(&["t tree"]).press("q");
    assert!(screen.ended().success());
    recording.interrupt();
    target.finish();
}

/// What a killed recorder has left is shown, and that nothing new comes.
#[test]
fn the_recorder_is_killed() {
    let (target, file, recording) = recording();
    let mut screen = live(&file);
    screen.shows(&["Thread.run"]);
    recording.kill();
    screen.shows(&["QUIET: nothing new for ", "Thread.run"]).press("q");
    assert!(screen.ended().success());
    prof(&["detach", &target.pid()]).run().success();
    target.finish();
}

#[test]
fn signals() {
    let (target, file, recording) = recording();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut screen = live(&file);
        screen.shows(&["Thread.run", "? help"]);
        screen.signal(signal);
        assert_eq!(screen.ended().signal(), Some(signal.as_raw()));
        until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    }
    recording.interrupt();
    target.finish();
}

/// A viewer ends with its terminal; the recording does not.
#[test]
fn the_terminal_is_closed() {
    let (mut target, file, recording) = recording();
    let mut screen = live(&file);
    screen.shows(&["Thread.run", "? help"]);
    screen.hang_up();
    // Either the signal or the terminal's end is seen first.
    assert!(!screen.ended().success());
    target.ask("rounds");
    recording.interrupt();
    target.finish();
}

#[test]
fn without_a_terminal() {
    let target = target("echo.py").ready();
    let capture = target.scratch().join("none.prof");
    prof(&["live"]).arg(&capture).run().refuses(FAILURE, &["terminal"]);
    target.finish();
}
