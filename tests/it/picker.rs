//! `prof attach` without a pid on a real terminal: one of the processes is chosen, or none, and
//! the terminal is as it was.

use crate::dsl::*;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A program under a name of its own, and where a capture may be.
struct Named {
    script: String,
    name: String,
    dir: TempDir,
}

impl Named {
    fn new(word: &str) -> Named {
        let dir = tempfile::tempdir().expect("a directory");
        let script = uniquely_named(dir.path(), word);
        let name = script.file_stem().expect("it has a name").to_string_lossy().into_owned();
        Named { script: script.display().to_string(), name, dir }
    }

    fn target(&self) -> Target {
        target(&self.script).ready()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("picked.prof")
    }

    /// The list, with these arguments more.
    fn picker(&self, args: &[&str]) -> Screen {
        let screen = Screen::of(&[&["attach", "-o", &self.file().display().to_string()], args].concat());
        screen.shows(&["prof attach · which process?", "Filter: ", "Esc leaves"]);
        assert!(screen.is_taken());
        screen
    }
}

/// Which process the details are of.
fn selected(screen: &Screen) -> Option<String> {
    let text = screen.text();
    let line = text.lines().find(|line| line.contains("───"))?;
    line.split_whitespace().next().map(str::to_owned)
}

/// It records this target; its keys are the view's.
#[track_caller]
fn records(mut screen: Screen, target: &Target, file: &Path) {
    screen.shows(&["prof attach · picked.prof", &format!(" pid {} ", target.pid()), "recording · "]);
    for _ in 0..3 {
        screen.press("?").shows(&["end the recording"]).press("k");
        until("the help is closed", || (!screen.text().contains("end the recording")).then_some(()));
    }
    screen.press("q");
    assert!(screen.ended().success(), "{}", screen.text());
    screen.shows(&["next: prof flamegraph "]);
    assert!(!screen.is_taken());
    let capture = Capture::read(file);
    assert_eq!(capture.stats["metadata"]["pid"].to_string(), target.pid());
    assert_eq!(capture.stats["end_reason"], "interrupted");
}

/// Nothing is recorded, and it says so.
#[track_caller]
fn chooses_none(screen: &mut Screen) {
    assert_eq!(screen.ended().code(), Some(REFUSAL), "{}", screen.text());
    screen.shows(&["prof: no process was chosen", "hint: give the pid"]);
    assert!(!screen.is_taken());
}

#[test]
fn one_is_filtered_and_recorded() {
    let named = Named::new("filtered");
    let target = named.target();
    let screen = named.picker(&["--duration", "60"]);
    screen.press(&named.name).shows(&[&format!("Filter: {}", named.name), &target.pid(), " 1/1"]);
    screen.press("\r");
    records(screen, &target, &named.file());
    target.finish();
}

/// Esc shows all again, and then leaves.
#[test]
fn nothing_is_chosen() {
    let named = Named::new("left");
    let target = named.target();
    let mut screen = named.picker(&[]);
    screen.press(&named.name).shows(&[" 1/1", "Esc shows all"]);
    screen.press("\x1b").shows(&["type a pid", "Esc leaves"]);
    screen.press("\x1b");
    chooses_none(&mut screen);
    assert!(!named.file().exists());
    target.finish();
}

#[test]
fn signals() {
    let named = Named::new("signalled");
    let target = named.target();
    let mut screen = named.picker(&[]);
    screen.press("\x03");
    assert_eq!(screen.ended().signal(), Some(Signal::INT.as_raw()));
    until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut screen = named.picker(&[]);
        screen.signal(signal);
        assert_eq!(screen.ended().signal(), Some(signal.as_raw()));
        until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    }
    target.finish();
}

/// Who takes the choice back at once is heard: it dies of that, or the recording that has begun
/// ends in order.
#[test]
fn taken_back() {
    let named = Named::new("regretted");
    let target = named.target();
    for (keys, signal) in [("\r\x03", None), ("\r", Some(Signal::INT)), ("\r", Some(Signal::TERM))] {
        let mut screen = named.picker(&["--force"]);
        screen.press(&named.name).shows(&[" 1/1"]).press(keys);
        signal.into_iter().for_each(|signal| screen.signal(signal));
        let status = screen.ended();
        let killed_by = signal.unwrap_or(Signal::INT).as_raw();
        assert!(status.signal() == Some(killed_by) || status.success(), "{status}: {}", screen.text());
        assert!(signal.is_some() || !named.file().exists(), "a key typed before the recording began");
        assert!(!screen.is_taken());
    }
    target.finish();
}

/// Ctrl-Z leads to the shell, whose terminal is as it was, and `fg` back.
#[test]
fn suspended() {
    let named = Named::new("suspended");
    let target = named.target();
    let shell = ["bash", "-c", "set -m; \"$@\"; echo stopped: $?; read -r; fg; echo ended: $?", "bash"];
    let screen = Screen::under(&shell, &["attach"]);
    screen.shows(&["which process?"]).press("\x1a").shows(&["stopped: 148"]);
    until("the terminal is as it was", || (!screen.is_taken()).then_some(()));
    screen.press("\r").shows(&["which process?"]).press("\x1b").shows(&["ended: 3"]);
    assert!(!screen.is_taken());
    target.finish();
}

/// A process that cannot be recorded says why, and is recorded once it can be.
#[test]
fn one_that_is_stopped() {
    let named = Named::new("stopped");
    let (target, others) = (named.target(), [named.target(), named.target()]);
    target.signal(Signal::STOP);
    until("it is stopped", || target.states().iter().all(|state| state.1 == 'T').then_some(()));
    let screen = named.picker(&["--cmdline", &named.name]);
    screen.shows(&["✗ is stopped", "/3 "]).press(&target.pid()).shows(&["not attachable: "]);
    screen.press("\r").shows(&[&format!(" cannot be recorded: process {} is stopped", target.pid())]);
    target.signal(Signal::CONT);
    until("it can be recorded", || (!screen.text().contains('✗')).then_some(()));
    screen.press("\r");
    records(screen, &target, &named.file());
    target.finish();
    others.into_iter().for_each(Target::finish);
}

/// Enter does not take the neighbour of one that is gone.
#[test]
fn the_selected_one_ends() {
    let named = Named::new("ending");
    let targets = [named.target(), named.target()];
    let screen = named.picker(&["--cmdline", &named.name]);
    screen.shows(&[" 1/2"]).press("\x1b[B").shows(&[" 2/2"]);
    let pid = selected(&screen).expect("one is selected");
    let (gone, other) = match targets {
        [one, two] if one.pid() == pid => (one, two),
        [one, two] => (two, one),
    };
    gone.finish();
    screen.shows(&[&format!("process {pid} has ended"), " 0/1"]);
    screen.press("\r").shows(&["nothing is selected"]).press("\x1b[A").shows(&[" 1/1"]);
    assert_eq!(selected(&screen), Some(other.pid()));
    screen.press("\r");
    records(screen, &other, &named.file());
    other.finish();
}

#[test]
fn sizes() {
    let named = Named::new("sized");
    let target = named.target();
    let mut screen = named.picker(&[]);
    for (rows, columns) in [(60, 200), (5, 30), (24, 80)] {
        screen.resize(rows, columns);
        let last_line =
            || screen.text().lines().nth(usize::from(rows) - 1).is_some_and(|line| line.contains("type to"));
        until("it is drawn anew", || last_line().then_some(()));
    }
    screen.press("\x1b");
    chooses_none(&mut screen);
    target.finish();
}

/// What is printed later is on the terminal as it was.
#[test]
fn one_to_be_looked_at() {
    let named = Named::new("looked");
    let target = named.target();
    let mut screen = Screen::of(&["attach", "--dry-run"]);
    screen.shows(&["which process?"]).press(&named.name).shows(&[" 1/1"]).press("\r");
    assert!(screen.ended().success(), "{}", screen.text());
    screen.shows(&[&format!("process {} can be recorded", target.pid()), "nothing was touched"]);
    assert!(!screen.is_taken());
    target.finish();
}

/// Where it cannot be drawn the candidates are listed, as without a terminal.
#[test]
fn not_every_terminal() {
    let named = Named::new("drawn");
    let targets = [named.target(), named.target()];
    for words in [
        &["env", "TERM=dumb"][..],
        &["sh", "-c", "exec \"$@\" > /dev/null", "sh"],
        &["bash", "-c", "set -o pipefail; \"$@\" 2>&1 >&0 | cat", "bash"],
    ] {
        let mut screen = Screen::under(words, &["attach", "--cmdline", &named.name]);
        assert_eq!(screen.ended().code(), Some(REFUSAL), "{}", screen.text());
        screen.shows(&["resident", &targets[0].pid(), &targets[1].pid(), "hint: give the pid of one"]);
        assert!(!screen.is_taken());
    }
    targets.into_iter().for_each(Target::finish);
}
