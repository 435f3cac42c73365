//! Keys as tables, and screens as text. `PROF_BLESS=1 cargo test picker` writes them anew.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use signal_hook::consts::SIGINT;
use std::fs;
use std::path::Path;

use super::draw;
use super::state::{Outcome, State};
use super::{Offer, Picked, Seen};
use crate::explore::theme::Theme;

const MIB: u64 = 1 << 20;

fn offer(pid: i32, user: &str, command: &str) -> Offer {
    Offer {
        pid,
        start_ticks: 7,
        is_own: user == "anna",
        user: user.into(),
        python: Some("3.12.3".into()),
        resident_bytes: 300 * MIB - pid as u64 * 4096,
        container: None,
        command: command.into(),
        obstacle: None,
    }
}

fn refused(pid: i32, user: &str, command: &str, why: &str) -> Offer {
    Offer { obstacle: Some(why.into()), ..offer(pid, user, command) }
}

/// The first cannot be recorded.
fn offers() -> Vec<Offer> {
    vec![
        refused(101, "root", "/usr/bin/python3 /usr/sbin/firewalld --nofork", "process 101 is stopped"),
        offer(202, "www", "gunicorn: worker [shop]"),
        offer(203, "www", "gunicorn: worker [shop]"),
        Offer {
            container: Some("0123456789ab".into()),
            ..offer(304, "1000", "/opt/venv/bin/python -m celery worker --queue mails --concurrency 4")
        },
        refused(405, "www", "python3 old.py", "prof is in it: it records, or was killed there (prof detach)"),
        offer(506, "a-user-of-many-letters", "evil\x1b[31m\u{202e} 漢字かな"),
    ]
}

fn seen(offers: Vec<Offer>) -> Seen {
    Seen { offers, note: Some("2 processes may not be looked into; root of the host sees more".into()) }
}

fn picker() -> State {
    State::new(seen(offers()))
}

fn press(state: &mut State, code: KeyCode) -> Outcome {
    state.on(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn control(state: &mut State, letter: char) -> Outcome {
    state.on(&Event::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

fn types(state: &mut State, text: &str) -> Outcome {
    let key = |typed| match typed {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        '\x08' => KeyCode::Backspace,
        '↑' => KeyCode::Up,
        '↓' => KeyCode::Down,
        typed => KeyCode::Char(typed),
    };
    text.chars().map(|typed| press(state, key(typed))).last().unwrap_or(Outcome::Stay)
}

fn shown(state: &State) -> Vec<i32> {
    state.shown.iter().map(|&row| state.rows[row].offer.pid).collect()
}

fn selected(state: &State) -> Option<i32> {
    state.selected().map(|(_, row)| row.offer.pid)
}

const ALL: [i32; 6] = [101, 202, 203, 304, 405, 506];

#[test]
fn keys() {
    for (typed, pids, pid) in [
        ("", &ALL[..], 202),
        ("↑", &ALL, 101),
        ("↓↓", &ALL, 304),
        ("GUNI", &[202, 203], 202),
        ("03", &[203], 203),
        ("www", &[202, 203, 405], 202),
        ("old www", &[405], 405),
        ("detach", &[], 0),
        ("www\x1b", &ALL, 202),
        ("celery\x1b↓", &ALL, 405),
        ("03\x08", &[101, 202, 203, 304, 405, 506], 203),
        ("↓www", &[202, 203, 405], 203),
        ("q?j", &[], 0),
        ("\x08", &ALL, 202),
    ] {
        let mut state = picker();
        assert_eq!(types(&mut state, typed), Outcome::Stay, "{typed:?}");
        let pid = (pid != 0).then_some(pid);
        assert_eq!((shown(&state), selected(&state)), (pids.to_vec(), pid), "{typed:?}");
    }
}

#[test]
fn ways_out() {
    for (typed, outcome) in [
        ("\n", Outcome::Leave(Picked::Process(202, 7))),
        ("celery\n", Outcome::Leave(Picked::Process(304, 7))),
        ("nobody\n", Outcome::Stay),
        ("\x1b", Outcome::Leave(Picked::Nothing)),
        ("x\x1b", Outcome::Stay),
        ("x\x1b\x1b", Outcome::Leave(Picked::Nothing)),
        ("x\x08\x1b", Outcome::Leave(Picked::Nothing)),
    ] {
        assert_eq!(types(&mut picker(), typed), outcome, "{typed:?}");
    }
    assert_eq!(control(&mut picker(), 'c'), Outcome::Leave(Picked::Signal(SIGINT)));
    assert_eq!(control(&mut picker(), 'z'), Outcome::Suspend);
}

#[test]
fn who_cannot_be_recorded_is_not_chosen() {
    let mut state = picker();
    assert_eq!(types(&mut state, "firewall\n"), Outcome::Stay);
    assert_eq!(state.said, "cannot be recorded: process 101 is stopped");
    types(&mut state, "d");
    assert_eq!(state.said, "");
}

/// It is offered: one press of Enter takes it.
#[test]
fn the_only_own_one_is_selected() {
    let own = offer(607, "anna", "python3 mine.py");
    let with = |more: &[Offer]| State::new(seen([offers(), more.to_vec()].concat()));
    assert_eq!(selected(&with(std::slice::from_ref(&own))), Some(607));
    let unattachable = refused(608, "anna", "python3 mine.py", "it is stopped");
    assert_eq!(selected(&with(&[unattachable, own.clone()])), Some(607));
    assert_eq!(selected(&with(&[own, offer(609, "anna", "python3 mine.py")])), Some(202));
}

#[test]
fn the_selection_stays_on_its_process() {
    let mut state = picker();
    types(&mut state, "↓");
    let mut newer = offers();
    newer[2].resident_bytes += 3 * MIB;
    newer.swap(0, 2);
    newer.insert(0, offer(99, "www", "gunicorn: worker [shop]"));
    state.take(seen(newer));
    assert_eq!((shown(&state)[..2].to_vec(), selected(&state)), (vec![99, 203], Some(203)));
    let growth = |pid| state.rows.iter().find(|row| row.offer.pid == pid).expect("it is there").growth_bytes;
    assert_eq!((growth(203), growth(202), growth(99)), (3 * MIB as i64, 0, 0));
    assert_eq!(types(&mut state, "\n"), Outcome::Leave(Picked::Process(203, 7)));
}

/// Enter must not take the next one, nor one that has its pid by now.
#[test]
fn the_selected_process_ends() {
    let (mut gone, mut other) = (offers(), offers());
    gone.remove(2);
    other[2].start_ticks = 8;
    for newer in [gone, other] {
        let mut state = picker();
        types(&mut state, "↓");
        state.take(seen(newer));
        assert_eq!((selected(&state), &*state.said), (None, "process 203 has ended; ↑ ↓ select another one"));
        assert_eq!(types(&mut state, "\n"), Outcome::Stay);
        assert_eq!(state.said, "nothing is selected; ↑ ↓ select a process");
        let after = shown(&state)[2];
        types(&mut state, "↓");
        assert_eq!(selected(&state), Some(after));
    }
}

#[test]
fn long_lists_scroll() {
    let many = (1000..1200).map(|pid| offer(pid, "www", "python3")).collect();
    let mut state = State::new(seen(many));
    let mut pids = Vec::new();
    for code in [KeyCode::PageDown, KeyCode::End, KeyCode::PageUp, KeyCode::Home, KeyCode::Up] {
        state.fit(3, 10);
        press(&mut state, code);
        state.fit(3, 10);
        pids.push((1000 + state.top as i32, selected(&state).expect("one is selected")));
    }
    assert_eq!(pids, [(1001, 1010), (1190, 1199), (1189, 1189), (1000, 1000), (1000, 1000)]);
    let mouse = |kind, row| Event::Mouse(MouseEvent { kind, column: 5, row, modifiers: KeyModifiers::NONE });
    state.on(&mouse(MouseEventKind::Down(MouseButton::Left), 7));
    assert_eq!(selected(&state), Some(1004));
    state.on(&mouse(MouseEventKind::ScrollDown, 7));
    state.on(&mouse(MouseEventKind::Down(MouseButton::Left), 2));
    state.on(&mouse(MouseEventKind::Down(MouseButton::Left), 13));
    assert_eq!(selected(&state), Some(1007));
}

fn screen(state: &mut State, (columns, rows): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("memory");
    terminal.draw(|frame| draw::draw(frame, state, Theme::plain())).expect("memory");
    let buffer = terminal.backend().buffer().clone();
    let cells = buffer.content().chunks(usize::from(columns.max(1)));
    let lines = cells.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[test]
fn picker_screens() {
    let mut drawn = String::new();
    for (typed, size) in [
        ("", (80, 24)),
        ("www\n", (80, 24)),
        ("old\n", (80, 24)),
        ("nobody", (80, 24)),
        ("", (200, 60)),
        ("↓↓", (40, 10)),
    ] {
        let mut state = picker();
        let mut newer = offers();
        newer[1].resident_bytes += MIB;
        newer[3].resident_bytes -= 4096;
        state.take(seen(newer));
        types(&mut state, typed);
        drawn.push_str(&format!("=== {typed:?} {size:?}\n{}", screen(&mut state, size)));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/picker.txt");
    if std::env::var_os("PROF_BLESS").is_some() {
        fs::write(&path, &drawn).expect("the golden file can be written");
    }
    assert_eq!(drawn, fs::read_to_string(&path).expect("the golden file is there"));
}

#[test]
fn no_screen_is_too_small() {
    for columns in 0..50 {
        for rows in 0..20 {
            for mut state in [picker(), State::new(Seen::default())] {
                screen(&mut state, (columns, rows));
                types(&mut state, "↓↓\n");
                screen(&mut state, (columns, rows));
            }
        }
    }
}
