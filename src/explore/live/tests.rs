//! Keys as a table, and screens as text. `PROF_BLESS=1 cargo test live` writes them anew.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use std::fs;
use std::path::Path;

use super::draw;
use super::state::{Order, Outcome, Role, State};
use super::tree;
use crate::analysis::Sum;
use crate::explore::theme::Theme;
use crate::report::{LivePath, LiveRow, Snapshot};

fn row(function: &str, line: u32, own: u64, total: u64, growth: i64) -> LiveRow {
    LiveRow {
        function: function.into(),
        file: "/srv/shop/app.py".into(),
        line,
        thread: None,
        own: Sum { bytes: own, blocks: own / 1024 },
        total_bytes: total,
        made: 2 * own / 1024,
        growth_bytes: growth,
    }
}

/// What is live from one stack, leaf first.
fn path(rows: &[u32], bytes: u64) -> LivePath {
    LivePath { rows: rows.to_vec(), live: Sum { bytes, blocks: bytes / 512 } }
}

fn snapshot() -> Snapshot {
    Snapshot {
        paths: vec![path(&[1, 0], 64 << 20), path(&[2, 0], 32 << 20), path(&[3], 512)],
        rows: vec![
            row("main", 7, 0, 96 << 20, 0),
            row("Cache.put", 41, 64 << 20, 64 << 20, 1 << 20),
            row("parse", 9, 32 << 20, 32 << 20, -4096),
            row("evil\x1b[31m\u{202e}", 3, 512, 512, 512),
        ],
        live: Sum { bytes: 96 << 20, blocks: 98_304 },
        peak_bytes: 128 << 20,
        resident_bytes: 200 << 20,
        heap_series: (0..50).map(|at| at << 20).collect(),
        resident_series: vec![100 << 20, 200 << 20],
        at_ns: 12_300_000_000,
        events: 1_000_000,
        allocations: 600_000,
        threads: 3,
        lost: 7,
        ..Snapshot::default()
    }
}

fn types(state: &mut State, text: &str) -> Outcome {
    let key = |typed| match typed {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        typed => KeyCode::Char(typed),
    };
    let press = |typed| state.on(&Event::Key(KeyEvent::new(key(typed), KeyModifiers::NONE)));
    text.chars().map(press).last().unwrap_or(Outcome::Stay)
}

fn watched() -> State {
    watched_by(Role::Viewer)
}

fn watched_by(role: Role) -> State {
    let title = format!("prof {} · app.prof · pid 4711 · python3 app.py", role.command());
    let mut state = State::new(title, role);
    state.take(snapshot());
    state
}

fn shown(state: &State) -> Vec<&str> {
    state
        .shown
        .iter()
        .map(|&row| state.snapshot.rows[row].function.split('\x1b').next().unwrap_or(""))
        .collect()
}

#[test]
fn keys() {
    for (typed, outcome, rows) in [
        ("", Outcome::Stay, "Cache.put parse evil main"),
        ("s", Outcome::Stay, "main Cache.put parse evil"),
        ("ssss", Outcome::Stay, "Cache.put evil main parse"),
        ("sssss", Outcome::Stay, "Cache.put parse evil main"),
        ("/PAR\n", Outcome::Stay, "parse"),
        ("/qmw", Outcome::Stay, ""),
        ("/par\n\x1b", Outcome::Stay, "Cache.put parse evil main"),
        ("m", Outcome::Mark, "Cache.put parse evil main"),
        ("M", Outcome::Unmark, "Cache.put parse evil main"),
        ("w", Outcome::Write, "Cache.put parse evil main"),
        ("f", Outcome::Regroup, "Cache.put parse evil main"),
        ("?q", Outcome::Stay, "Cache.put parse evil main"),
        ("q", Outcome::Quit, "Cache.put parse evil main"),
    ] {
        let mut state = watched();
        assert_eq!(types(&mut state, typed), outcome, "{typed:?}");
        assert_eq!(shown(&state).join(" "), rows, "{typed:?}");
    }
}

#[test]
fn the_cursor_stays_on_its_row() {
    let mut state = watched();
    types(&mut state, "j");
    let mut newer = snapshot();
    newer.rows[2].own.bytes = 1 << 30;
    newer.at_ns += 2_000_000_000;
    newer.allocations += 3_000;
    state.take(newer);
    assert_eq!((state.cursor, shown(&state)[0]), (0, "parse"));
    assert_eq!((state.order, state.allocations_per_second), (Order::Own, 1_500));
}

/// The tree is made of the figures that come when it is wanted.
fn tree_of(typed: &str) -> State {
    let mut state = watched();
    assert_eq!(types(&mut state, "t"), Outcome::Regroup);
    assert!(state.grouping.has_paths);
    state.take(snapshot());
    types(&mut state, typed);
    state
}

/// The lines of the tree, the one of the cursor with a mark.
fn lines(state: &State) -> Vec<String> {
    let outline = state.outline.as_ref().expect("the tree is shown");
    let line = |(id, is_selected)| {
        let name = tree::name(outline.tree.node(id), &state.snapshot.rows, 200);
        let name = name.split([' ', '\\']).next().unwrap_or_default().to_owned();
        if is_selected { format!(">{name}") } else { name }
    };
    outline.on_screen().map(line).collect()
}

#[test]
fn keys_in_the_tree() {
    for (typed, expected) in [
        ("", ">all main Cache.put parse evil"),
        ("jj", "all main >Cache.put parse evil"),
        ("jh", "all >main evil"),
        ("jhl", "all >main Cache.put parse evil"),
        ("j\n", "all >main evil"),
        ("jjh", "all >main Cache.put parse evil"),
        ("jhe", "all >main Cache.put parse evil"),
        ("s", ">all main Cache.put parse evil"),
        ("/par\n", ">all main parse"),
        ("/par\n\x1b", ">all main Cache.put parse evil"),
    ] {
        let mut state = tree_of("");
        state.outline.iter_mut().for_each(|outline| outline.fit(3, 20));
        types(&mut state, typed);
        assert_eq!(lines(&state).join(" "), expected, "{typed:?}");
    }
    let mut state = tree_of("");
    assert_eq!(types(&mut state, "t"), Outcome::Regroup);
    assert!(state.outline.is_none() && !state.grouping.has_paths);
}

#[test]
fn threads_are_told_at_the_top_of_the_tree() {
    let mut apart = snapshot();
    apart.rows.iter_mut().for_each(|row| row.thread = Some(format!("of-{}", row.line)));
    let mut state = tree_of("");
    state.outline.iter_mut().for_each(|outline| outline.fit(3, 20));
    state.take(apart);
    assert_eq!(lines(&state).join(" "), ">all of-7 Cache.put parse of-3");
}

/// Wherever the node goes; to its caller where it is gone.
#[test]
fn the_cursor_stays_on_its_node() {
    let mut state = tree_of("");
    state.outline.iter_mut().for_each(|outline| outline.fit(3, 20));
    types(&mut state, "jjj");
    let mut newer = snapshot();
    newer.rows.push(row("new", 5, 1 << 30, 1 << 30, 0));
    newer.paths = vec![path(&[4], 1 << 30), path(&[1, 0], 1 << 20), path(&[1, 2, 0], 2 << 20)];
    state.take(newer.clone());
    assert_eq!(lines(&state).join(" "), "all new main >parse Cache.put");
    types(&mut state, "lkh");
    assert_eq!(lines(&state).join(" "), "all new >main");
    state.take(newer);
    assert_eq!(lines(&state).join(" "), "all new >main");
    types(&mut state, "lj");
    assert_eq!(lines(&state).join(" "), "all new main >parse Cache.put Cache.put");
    state.take(Snapshot { paths: vec![path(&[0], 4096)], ..snapshot() });
    assert_eq!(lines(&state).join(" "), "all >main");
}

/// Stopping the one who records would cost events.
#[test]
fn only_viewers_are_suspended() {
    let suspend = Event::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL));
    for (role, outcome) in [(Role::Viewer, Outcome::Suspend), (Role::Recorder, Outcome::Stay)] {
        assert_eq!(watched_by(role).on(&suspend), outcome);
    }
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
fn live_screens() {
    let mut drawn = String::new();
    for (typed, role, size) in [
        ("", Role::Viewer, (80, 24)),
        ("/par\n", Role::Viewer, (80, 24)),
        ("?", Role::Viewer, (80, 24)),
        ("s", Role::Viewer, (200, 60)),
        ("?", Role::Recorder, (80, 24)),
        ("t", Role::Viewer, (80, 24)),
        ("t", Role::Recorder, (200, 60)),
    ] {
        let mut state = watched_by(role);
        types(&mut state, typed);
        state.take(snapshot());
        drawn.push_str(&format!("=== {typed:?} {size:?}\n{}", screen(&mut state, size)));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/live.txt");
    if std::env::var_os("PROF_BLESS").is_some() {
        fs::write(&path, &drawn).expect("the golden file can be written");
    }
    assert_eq!(drawn, fs::read_to_string(&path).expect("the golden file is there"));
}

#[test]
fn no_screen_is_too_small() {
    for columns in 0..50 {
        for rows in 0..20 {
            let mut state = watched();
            screen(&mut state, (columns, rows));
            types(&mut state, "jj?");
            screen(&mut state, (columns, rows));
            screen(&mut tree_of("jj"), (columns, rows));
        }
    }
}
