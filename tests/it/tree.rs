//! `prof tree` on a real terminal: it answers keys, follows its size, and gives the
//! terminal back as it was, however it ends.

use crate::dsl::*;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

/// A recording of a program that is at work.
fn recorded() -> (Target, PathBuf) {
    let mut target = target("load.py").arg("1").ready();
    let file = target.scratch().join("load.prof");
    let recording =
        prof(&["attach", &target.pid(), "--trace-python-allocators", "-o"]).arg(&file).recording();
    target.ask("rounds");
    recording.interrupt();
    (target, file)
}

#[test]
fn keys_and_sizes() {
    let (target, file) = recorded();
    let mut screen = Screen::of(&["tree", &file.display().to_string()]);
    screen.shows(&["prof tree · load.prof", "At the peak of", "1/", "? help"]);
    assert!(screen.is_taken());
    screen.press("/Thread.run\r").shows(&["/Thread.run: hit 1 of ", "Location    ", "self._target("]);
    screen.press("\x1b[B?").shows(&["Keys (any key closes this)"]);
    screen.press(" vvv").shows(&["Allocated ", ", freed or not"]);
    screen.resize(40, 130);
    let last_line = || screen.text().lines().nth(39).is_some_and(|line| line.contains("/Thread.run: "));
    until("it is drawn anew", || last_line().then_some(()));
    screen.press("s").shows(&["by thread", "thread "]);
    screen.press("q");
    assert!(screen.ended().success());
    until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    target.finish();
}

#[test]
fn signals() {
    let (target, file) = recorded();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut screen = Screen::of(&["tree", "--leaks", &file.display().to_string()]);
        screen.shows(&["Leaked ", "? help"]);
        screen.signal(signal);
        assert_eq!(screen.ended().signal(), Some(signal.as_raw()));
        until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    }
    target.finish();
}

/// Ctrl-Z leads to the shell, whose terminal is as it was, and `fg` back.
#[test]
fn suspended() {
    let (target, file) = recorded();
    let shell = ["bash", "-c", "set -m; \"$@\"; echo stopped: $?; read -r; fg; echo ended: $?", "bash"];
    let mut screen = Screen::under(&shell, &["tree", &file.display().to_string()]);
    screen.shows(&["At the peak of", "? help"]).press("\x1a").shows(&["stopped: 148"]);
    until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    screen.press("\r").shows(&["At the peak of", "? help"]);
    assert!(screen.is_taken());
    screen.press("q").shows(&["ended: 0"]);
    assert!(screen.ended().success());
    assert!(!screen.is_taken());
    target.finish();
}

/// Where no shell could continue it, Ctrl-Z does not stop it.
#[test]
fn not_suspended_for_ever() {
    let (target, file) = recorded();
    let mut screen = Screen::of(&["tree", &file.display().to_string()]);
    screen.shows(&["? help"]).press("\x1a/Thread.run\r").shows(&["/Thread.run: hit 1 of "]);
    screen.press("\x03");
    assert!(screen.ended().success());
    target.finish();
}

#[test]
fn without_a_terminal() {
    let target = target("echo.py").ready();
    let capture = target.scratch().join("none.prof");
    prof(&["tree"]).arg(&capture).run().refuses(FAILURE, &["terminal"]).hints("prof summary");
    target.finish();
}
