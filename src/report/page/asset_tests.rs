//! The parts that a page is put together from: complete, in order and small.

use std::fs;
use std::path::Path;

use super::*;

/// The names that `tests/browser/sample.py` goes by.
const ORDER: &str = include_str!("assets/order.txt");

/// What a page may weigh before data, in bytes.
const LIMIT: usize = 150_000;

#[test]
fn parts_come_in_the_order_that_is_written_down() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/page/assets");
    let read = |name| fs::read_to_string(assets.join(name)).expect("every part is there");
    let listed: Vec<_> = ORDER.lines().map(read).collect();
    assert!(listed == SCRIPTS, "order.txt and SCRIPTS differ");
}

#[test]
fn a_page_is_small_before_data() {
    let script: usize = SCRIPTS.iter().flat_map(|script| bare(script)).map(|line| line.len() + 1).sum();
    assert!(script + PAGE.len() + STYLE.len() < LIMIT);
}

#[test]
fn comments_stay_behind() {
    let script = "// why\n/** What\n * it is. */\nfunction f() {\n\n  return 2 * 3; // x\n}\n";
    assert_eq!(bare(script).collect::<Vec<_>>(), ["function f() {", "return 2 * 3; // x", "}"]);
}
