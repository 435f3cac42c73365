//! Screens as text. `PROF_BLESS=1 cargo test screens` writes the golden one anew.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use std::fs;
use std::path::Path;

use super::draw::{self, Areas, Scene};
use super::facts::Facts;
use super::keys::Action;
use super::snippet::Snippet;
use super::state::State;
use super::testing::{PLAIN, material};
use super::theme::Theme;

fn facts() -> Facts {
    Facts {
        title: "prof tree · shop.prof · pid 4711 · python3 app.py".into(),
        incomplete: vec!["INCOMPLETE: 12 events lost, 0 chunks damaged".into()],
        more: vec![("Command", "python3 app.py".into()), ("Peak", "95.4 MiB".into())],
    }
}

fn source() -> Snippet {
    let text = |number: u32| match number {
        3 => "    total = load()  # the line".to_owned(),
        _ => format!("line_{number}()"),
    };
    Snippet::Lines { at: 3, lines: (1..=9).map(|number| (number, text(number))).collect() }
}

/// What a screen of this size shows.
fn screen(state: &mut State<'_>, (columns, rows): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("memory");
    let (facts, source) = (facts(), source());
    let scene = Scene { facts: &facts, source: &source, theme: Theme::plain() };
    terminal
        .draw(|frame| {
            let areas = Areas::new(frame.area(), &facts, state);
            state.outline.fit(areas.lines.y, areas.lines.height);
            draw::draw(frame, &areas, state, &scene);
        })
        .expect("memory");
    let buffer = terminal.backend().buffer().clone();
    let cells = buffer.content().chunks(usize::from(columns.max(1)));
    let lines = cells.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn types(state: &mut State<'_>, text: &str) {
    for typed in text.chars() {
        let code = if typed == '\n' { KeyCode::Enter } else { KeyCode::Char(typed) };
        state.on(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
}

const SHOP: [(&str, u32, u64); 6] = [
    ("runpy main Store.load json.parse", 1, 52_428_800),
    ("runpy main Store.load", 1, 2_097_152),
    ("runpy main serve Handler.do_GET keep_page leak", 2, 31_457_280),
    ("runpy main serve Handler.do_GET keep_page leak", 1, 10_485_760),
    ("runpy main serve import1 module", 2, 3_145_728),
    ("", 3, 409_600),
];

#[test]
fn screens() {
    let material = material(&SHOP);
    let mut shown = String::new();
    for typed in ["", "/leak\n", "V", "vsg", "?"] {
        let mut state = State::new(&material, PLAIN);
        types(&mut state, typed);
        shown.push_str(&format!("=== {:?}\n{}", typed, screen(&mut state, (80, 24))));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tree-80x24.txt");
    if std::env::var_os("PROF_BLESS").is_some() {
        fs::write(&path, &shown).expect("the golden file can be written");
    }
    assert_eq!(shown, fs::read_to_string(&path).expect("the golden file is there"));
}

#[test]
fn wide_screens_have_everything_side_by_side() {
    let material = material(&SHOP);
    let mut state = State::new(&material, PLAIN);
    types(&mut state, "/leak\n");
    let shown = screen(&mut state, (200, 60));
    for word in [
        "Allocations",
        "Function    leak",
        "Location    /srv/shop/app.py:",
        "2: worker-2 75.0 %, worker-1 25.0 %",
    ] {
        assert!(shown.contains(word), "no {word:?} in\n{shown}");
    }
    assert!(shown.contains(">    3     total = load()  # the line"), "{shown}");
}

#[test]
fn no_screen_is_too_small() {
    let material = material(&SHOP);
    let mut state = State::new(&material, PLAIN);
    types(&mut state, "/a\n");
    for columns in (0..40).chain([80, 121]) {
        for rows in (0..20).chain([24]) {
            screen(&mut state, (columns, rows));
            state.act(Action::Help);
            screen(&mut state, (columns, rows));
            types(&mut state, "qnj");
        }
    }
}

/// However deep it is, the line of the cursor can be read.
#[test]
fn deep_lines_move_to_the_left() {
    let deep: Vec<_> = (0..300).map(|n| format!("f{n}")).collect();
    let deep = deep.join(" ");
    let material = material(&[(&deep, 1, 10), ("f0 f1 g", 1, 5)]);
    let mut state = State::new(&material, PLAIN);
    types(&mut state, "G");
    state.act(Action::Up);
    let shown = screen(&mut state, (80, 24));
    assert!(shown.contains("f299 (/srv/shop/app.py:300)"), "{shown}");
}

/// Names steer nothing, and signs that are wider than others do not shift columns.
#[test]
fn foreign_names_are_harmless() {
    let material = material(&[("main \x1b[31mevil\u{202e}\x07 漢字かな", 1, 5)]);
    let mut state = State::new(&material, PLAIN);
    types(&mut state, "/evil\x1b[2J\n");
    let shown = screen(&mut state, (80, 24));
    assert!(shown.contains(r"\u{1b}[31mevil\u{202e}") && shown.contains("漢"), "{shown}");
    let is_bad = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!shown.contains(is_bad), "{shown:?}");
}
