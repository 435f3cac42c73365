//! Trees by tables.

use super::shape::Shape;
use super::testing::{PLAIN, material, text};
use super::tree::Tree;
use crate::report::View;

#[track_caller]
fn check(rows: &[(&str, u32, u64)], shape: Shape, expected: &[&str]) {
    let material = material(rows);
    assert_eq!(text(&shape.tree(&material), &material), expected);
}

const SHOP: [(&str, u32, u64); 5] = [
    ("main load parse", 1, 500),
    ("main load", 1, 100),
    ("main serve leak", 2, 300),
    ("main serve leak", 1, 40),
    ("", 3, 60),
];

#[test]
fn callers_first() {
    check(
        &SHOP,
        PLAIN,
        &[
            "all 1000",
            ".main 940",
            "..load 600 own 100",
            "...parse 500",
            "..serve 340",
            "...leak 340",
            ".none 60",
        ],
    );
}

#[test]
fn callees_first() {
    let shape = Shape { is_inverted: true, ..PLAIN };
    check(
        &SHOP,
        shape,
        &[
            "all 1000",
            ".parse 500",
            "..load 500",
            "...main 500",
            ".leak 340",
            "..serve 340",
            "...main 340",
            ".load 100",
            "..main 100",
            ".none 60",
        ],
    );
}

#[test]
fn by_thread() {
    let shape = Shape { by_thread: true, ..PLAIN };
    check(
        &SHOP,
        shape,
        &[
            "all 1000",
            ".worker-1 640",
            "..main 640",
            "...load 600 own 100",
            "....parse 500",
            "...serve 40",
            "....leak 40",
            ".worker-2 300",
            "..main 300",
            "...serve 300",
            "....leak 300",
            ".worker-3 60",
            "..none 60",
        ],
    );
}

#[test]
fn views() {
    check(
        &SHOP,
        Shape { view: View::Leaks, ..PLAIN },
        &["all 340", ".main 340", "..serve 340", "...leak 340"],
    );
    check(&SHOP, Shape { view: View::Temporary, ..PLAIN }, &["all 0"]);
    let all = Shape { view: View::Allocations, ..PLAIN }.tree(&material(&SHOP));
    assert_eq!(all.node(Tree::ROOT).total.bytes, 2000);
}

/// What is too small for a line is summed up below the last caller that has one; on a
/// path that is there anyway it has its place.
#[test]
fn small_places_are_summed_up() {
    check(
        &SHOP,
        Shape { biggest: 1, ..PLAIN },
        &[
            "all 1000",
            ".main 940",
            "..load 600 own 100",
            "...parse 500",
            "..2 of 1 places 340",
            ".1 of 1 places 60",
        ],
    );
    check(
        &[("a b c", 1, 9), ("a b d e", 1, 3), ("a b d f", 1, 2), ("a x", 1, 1)],
        Shape { biggest: 1, ..PLAIN },
        &["all 15", ".a 15", "..b 14", "...c 9", "...2 of 2 places 5", "..1 of 1 places 1"],
    );
}

#[test]
fn nothing_vanishes() {
    let rows: Vec<_> = (0..400u64).map(|n| (format!("f{} g{} h{n}", n % 3, n % 17), n)).collect();
    let rows: Vec<_> = rows.iter().map(|(stack, n)| (stack.as_str(), *n as u32 % 5, n * n)).collect();
    let material = material(&rows);
    let all: u64 = rows.iter().map(|row| row.2).sum();
    for biggest in [0, 1, 7, 200, 1000] {
        for (by_thread, is_inverted) in [(false, false), (true, false), (false, true), (true, true)] {
            let shape = Shape { biggest, by_thread, is_inverted, ..PLAIN };
            let tree = shape.tree(&material);
            assert_eq!(tree.node(Tree::ROOT).total.bytes, all, "{shape:?}");
            let own: u64 = tree.outline(|_| true).iter().map(|&id| tree.node(id).own.bytes).sum();
            assert_eq!(own, all, "{shape:?}");
            assert_eq!(tree.rows(Tree::ROOT).count(), rows.len(), "{shape:?}");
        }
    }
}

#[test]
fn frames_are_left_out() {
    let rows = [("runpy main import1 import2 mod", 1, 5), ("runpy main import1", 1, 2), ("runpy", 1, 1)];
    let expected: [(bool, bool, &[&str]); 4] = [
        (false, true, &["all 8", ".main 7", "..import1 7 own 2", "...import2 5", "....mod 5", ".runpy 1"]),
        (true, true, &["all 8", ".main 7 own 2", "..mod 5", ".runpy 1"]),
        (true, false, &["all 8", ".runpy 8 own 1", "..main 7 own 2", "...mod 5"]),
        (
            false,
            false,
            &["all 8", ".runpy 8 own 1", "..main 7", "...import1 7 own 2", "....import2 5", ".....mod 5"],
        ),
    ];
    for (hides_imports, hides_plumbing, expected) in expected {
        check(&rows, Shape { hides_imports, hides_plumbing, ..PLAIN }, expected);
    }
}

#[test]
fn no_rows_and_deep_stacks() {
    check(&[], PLAIN, &["all 0"]);
    let deep = (0..20_000).map(|n| format!("f{}", n % 7)).collect::<Vec<_>>().join(" ");
    let material = material(&[(&deep, 1, 1)]);
    let tree = PLAIN.tree(&material);
    assert_eq!((tree.len(), tree.outline(|_| true).len()), (20_001, 20_001));
}
