//! In which interval memory began, and in which it ended: from this any window tells
//! what was allocated in it and kept. The notation is that of [`super::notation`].

use super::notation::fold;

#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    for (what, recording, lifetimes) in cases {
        assert_eq!(fold(recording, 1).lifetimes(), *lifetimes, "{what}: {recording}");
    }
}

#[test]
fn blocks() {
    check(&[
        ("nothing", "| |", ""),
        ("freed in its own interval", "A+1:5 -1 | |", ""),
        ("freed in the next", "A+1:5 | -1 |", "A0-1:5x1"),
        ("freed two later", "A+1:5 | | -1", "A0-2:5x1"),
        ("never freed", "A+1:5 | |", "A0-end:5x1"),
        ("never freed, of the last", "| | A+1:5", "A2-end:5x1"),
        ("freed in the middle one", "| A+1:5 -1 |", ""),
        ("two of one place and time", "A+1:5 A+2:6 | -1 -2", "A0-1:11x2"),
        ("of one place, freed apart", "A+1:5 A+2:6 | -1 | -2", "A0-1:5x1 A0-2:6x1"),
        ("of one place, from two intervals", "A+1:5 | A+2:6 | -1 -2", "A0-2:5x1 A1-2:6x1"),
        ("of two places", "A+1:5 B+2:6 | -1 -2", "A0-1:5x1 B0-1:6x1"),
        ("of two threads", "A+1:5 2A+2:6 | -1 -2", "2A0-1:6x1 A0-1:5x1"),
        ("freed by another thread", "A+1:5 | 2-1", "A0-1:5x1"),
        ("an address that is used again", "A+1:5 | -1 B+1:6 | -1", "A0-1:5x1 B1-2:6x1"),
        ("a free of nothing known", "| -1 | A+1:5", "A2-end:5x1"),
        ("a free that was lost", "A+1:5 | B+1:6 |", "A0-1:5x1 B1-end:6x1"),
        ("nothing of it", "A+1:0 | -1", "A0-1:0x1"),
    ]);
}

#[test]
fn reallocations() {
    check(&[
        ("moved", "A+1:5 | B~1>2:9 | -2", "A0-1:5x1 B1-2:9x1"),
        ("in its own interval", "A+1:5 B~1>2:9 | -2", "B0-1:9x1"),
        ("in place", "A+1:5 | A~1>1:9 |", "A0-1:5x1 A1-end:9x1"),
        ("to nothing", "A+1:5 | ~1>0", "A0-1:5x1"),
    ]);
}

#[test]
fn mappings() {
    check(&[
        ("unmapped", "A@10+9 | @10-9", "A0-1:9x1"),
        ("the front, then the rest", "A@10+9 | @10-4 | @14-5", "A0-1:4x0 A0-2:5x1"),
        ("the back stays", "A@10+9 | @10-4 |", "A0-1:4x0 A0-end:5x1"),
        ("split", "A@10+9 | @13-3 |", "A0-1:3x0 A0-end:6x2"),
        ("split, then both parts", "A@10+9 | @13-3 | @10-9", "A0-1:3x0 A0-2:6x2"),
        ("split, then one part", "A@10+9 | @13-3 | @10-3", "A0-1:3x0 A0-2:3x1 A0-end:3x1"),
        ("shrunk from both ends", "A@10+9 | @10-2 @17-2 | @12-5", "A0-1:4x0 A0-2:5x1"),
        ("many at once", "A@10+5 B@15+5 | C@20+5 | @10-15", "A0-2:5x1 B0-2:5x1 C1-2:5x1"),
        ("parts of two", "A@10+5 B@15+5 | @13-4 |", "A0-1:2x0 A0-end:3x1 B0-1:2x0 B0-end:3x1"),
        ("covered", "A@10+9 | B@13+3 | @10-9", "A0-1:3x0 A0-2:6x2 B1-2:3x1"),
        ("mapped into a hole", "A@10+9 @13-3 | B@13+3 |", "A0-end:6x2 B1-end:3x1"),
        ("moved", "A@10+5 | B@10+5>50+9 | @50-9", "A0-1:5x1 B1-2:9x1"),
        ("a part moved", "A@10+9 | B@13+3>50+3 |", "A0-1:3x0 A0-end:6x2 B1-end:3x1"),
        ("left behind", "A@10+5 | B@10+5=50+5 | @10-5", "A0-2:5x1 B1-end:5x1"),
        ("a thread's stack", "A#10+50 | @10-50", ""),
        ("split inside its own interval", "A@10+9 @13-3 | @10-3 |", "A0-1:3x1 A0-end:3x1"),
    ]);
}
