//! Keys in, lines out.

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::draw::name;
use super::material::Material;
use super::shape::Shape;
use super::state::{Mode, Outcome, State};
use super::testing::{PLAIN, material};
use crate::report::View;

fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

/// Keys by words: names, characters, `^z`, and `/text` for a text that is typed.
fn keys(words: &str) -> Vec<Event> {
    let mut all = Vec::new();
    for word in words.split_whitespace() {
        let code = match word {
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "pgup" => KeyCode::PageUp,
            "pgdn" => KeyCode::PageDown,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "back" => KeyCode::Backspace,
            _ => {
                let (typed, modifiers) = match word.strip_prefix('^') {
                    Some(rest) => (rest, KeyModifiers::CONTROL),
                    None => (word, KeyModifiers::NONE),
                };
                all.extend(typed.chars().map(|c| key(KeyCode::Char(c), modifiers)));
                continue;
            }
        };
        all.push(key(code, KeyModifiers::NONE));
    }
    all
}

fn press(state: &mut State<'_>, words: &str) -> Outcome {
    keys(words).iter().fold(Outcome::Stay, |_, event| state.on(event))
}

fn shown(state: &State<'_>) -> Vec<String> {
    let line = |(id, is_selected)| {
        let name = name(state.outline.tree.node(id), state.material, 200);
        let name = name.split(" (").next().unwrap_or_default().to_owned();
        if is_selected { format!("> {name}") } else { name }
    };
    state.outline.on_screen().map(line).collect()
}

fn shop() -> Material<'static> {
    material(&[
        ("runpy main load parse", 1, 500),
        ("runpy main load", 1, 100),
        ("runpy main serve handle leak", 2, 300),
        ("runpy main serve import1 mod", 2, 50),
        ("", 3, 60),
    ])
}

#[track_caller]
fn check(words: &str, expected: &[&str]) {
    let material = shop();
    let mut state = State::new(&material, PLAIN);
    state.outline.fit(3, 20);
    press(&mut state, words);
    assert_eq!(shown(&state), expected, "{words}");
}

#[test]
fn the_largest_is_in_sight() {
    check("", &["> all", "main", "load", "parse", "serve", "(no Python stack)"]);
}

#[test]
fn arrows() {
    check("down down", &["all", "main", "> load", "parse", "serve", "(no Python stack)"]);
    check("down down left", &["all", "main", "> load", "serve", "(no Python stack)"]);
    check("down down left left", &["all", "> main", "load", "serve", "(no Python stack)"]);
    check("down left right", &["all", "> main", "load", "parse", "serve", "(no Python stack)"]);
    check("right right right right", &["all", "main", "load", "> parse", "serve", "(no Python stack)"]);
    check("left", &["> all"]);
    check("left left up", &["> all"]);
    check("enter enter end", &["all", "main", "load", "parse", "serve", "> (no Python stack)"]);
    check("end up j k home", &["> all", "main", "load", "parse", "serve", "(no Python stack)"]);
}

#[test]
fn runs_are_opened() {
    let serve = "end up";
    check(
        &format!("{serve} right"),
        &["all", "main", "load", "parse", "> serve", "handle", "leak", "import1", "(no Python stack)"],
    );
    check("left e", &["> all", "main", "load", "parse", "serve", "(no Python stack)"]);
    check(
        &format!("{serve} right down down down e"),
        &["all", "main", "load", "parse", "serve", "handle", "leak", "> import1", "mod", "(no Python stack)"],
    );
}

/// The cursor stays at its place, and what was open stays open, whatever is shown.
#[test]
fn other_trees_at_the_same_place() {
    let leak = "end up right down down";
    check(
        &format!("{leak} i"),
        &["all", "main", "load", "parse", "serve", "handle", "> leak", "mod", "(no Python stack)"],
    );
    check(&format!("{leak} v"), &["all", "main", "serve", "handle", "> leak"]);
    check(
        &format!("{leak} v V"),
        &["all", "main", "load", "parse", "serve", "handle", "> leak", "import1", "(no Python stack)"],
    );
    check(
        &format!("{leak} r"),
        &["all", "parse", "load", "main", "> leak", "load", "(no Python stack)", "mod"],
    );
    check(
        &format!("{leak} s"),
        &[
            "all",
            "thread worker-1",
            "main",
            "load",
            "parse",
            "thread worker-2",
            "main",
            "serve",
            "handle",
            "> leak",
            "import1",
            "thread worker-3",
        ],
    );
    check(
        &format!("{leak} u"),
        &[
            "all",
            "runpy",
            "main",
            "load",
            "parse",
            "serve",
            "handle",
            "> leak",
            "import1",
            "(no Python stack)",
        ],
    );
}

#[test]
fn searching() {
    let material = shop();
    let mut state = State::new(&material, PLAIN);
    state.outline.fit(0, 20);
    press(&mut state, "/LEa");
    assert_eq!(state.mode, Mode::Typing("LEa".into()));
    press(&mut state, "back back back lea enter");
    assert_eq!((state.search.len(), state.search.number(state.outline.selected())), (1, Some(1)));
    assert_eq!(
        shown(&state),
        ["all", "main", "load", "parse", "serve", "handle", "> leak", "import1", "(no Python stack)"]
    );
    // In functions and in files; n goes round.
    press(&mut state, "/app.py enter");
    assert_eq!(state.search.len(), 7);
    let mut next = |key: &str| {
        press(&mut state, key);
        state.search.number(state.outline.selected())
    };
    let forward: Vec<_> = (0..4).filter_map(|_| next("n")).collect();
    let back: Vec<_> = (0..6).filter_map(|_| next("N")).collect();
    assert_eq!((forward, back), (vec![7, 1, 2, 3], vec![2, 1, 7, 6, 5, 4]));
}

#[test]
fn escape_leaves_what_was_begun_last() {
    let material = shop();
    let mut state = State::new(&material, PLAIN);
    for (words, outcome) in [
        ("/mai esc", Outcome::Stay),
        ("/main enter esc", Outcome::Stay),
        ("? esc", Outcome::Stay),
        ("? q", Outcome::Stay),
        ("/q", Outcome::Stay),
        ("^z", Outcome::Suspend),
        ("back back", Outcome::Stay),
        ("? ^z", Outcome::Suspend),
        ("^c", Outcome::Quit),
        ("esc", Outcome::Quit),
        ("q", Outcome::Quit),
    ] {
        assert_eq!(press(&mut state, words), outcome, "{words}");
    }
}

/// The cursor is always in sight, and as little moves as possible.
#[test]
fn scrolling() {
    let rows: Vec<_> = (0..50u32).map(|n| (format!("main f{n:02}"), 1, u64::from(100 - n))).collect();
    let rows: Vec<_> = rows.iter().map(|(stack, thread, bytes)| (stack.as_str(), *thread, *bytes)).collect();
    let material = material(&rows);
    let mut state = State::new(&material, PLAIN);
    state.outline.fit(2, 5);
    for (words, expected) in [
        ("", ["> all", "main", "f00", "f01", "f02"]),
        ("pgdn", ["main", "f00", "f01", "f02", "> f03"]),
        ("up up", ["main", "f00", "> f01", "f02", "f03"]),
        ("end", ["f45", "f46", "f47", "f48", "> f49"]),
        ("pgup", ["> f44", "f45", "f46", "f47", "f48"]),
        ("home down", ["all", "> main", "f00", "f01", "f02"]),
    ] {
        press(&mut state, words);
        assert_eq!(shown(&state), expected, "{words}");
    }
    let mouse = |kind, row| Event::Mouse(MouseEvent { kind, column: 7, row, modifiers: KeyModifiers::NONE });
    state.on(&mouse(MouseEventKind::ScrollDown, 0));
    assert_eq!(shown(&state), ["all", "main", "f00", "f01", "> f02"]);
    state.on(&mouse(MouseEventKind::Down(MouseButton::Left), 3));
    assert_eq!(shown(&state), ["all", "> main"]);
    for elsewhere in [0, 1, 6, 99] {
        state.on(&mouse(MouseEventKind::Down(MouseButton::Left), elsewhere));
        assert_eq!(shown(&state), ["all", "> main"]);
    }
    // The screen may shrink to a line.
    press(&mut state, "right end");
    state.outline.fit(2, 0);
    assert_eq!(shown(&state), ["> f49"]);
}

#[test]
fn views_go_round() {
    let mut material = shop();
    for (has_gaps, expected) in [
        (false, [View::Leaks, View::Temporary, View::Allocations, View::Peak, View::Leaks]),
        (true, [View::Leaks, View::LateLeaks, View::Temporary, View::Allocations, View::Peak]),
    ] {
        material.has_gaps = has_gaps;
        let mut state = State::new(&material, PLAIN);
        for view in expected {
            press(&mut state, "v");
            assert_eq!(state.shape.view, view);
        }
    }
}

/// A key that is let go is no key.
#[test]
fn releases_are_nothing() {
    let material = shop();
    let mut state = State::new(&material, Shape { biggest: 1, ..PLAIN });
    let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    released.kind = KeyEventKind::Release;
    assert_eq!(state.on(&Event::Key(released)), Outcome::Stay);
}
