//! What every site held when the heap was largest, and holds at the end; of the whole
//! recording and of its intervals. The notation is that of [`super::notation`].

use super::notation::fold;

/// What happens, the recording, what is held at the peak, what is left.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str);

#[track_caller]
fn check(cases: &[Case<'_>]) {
    for (what, recording, peak, left) in cases {
        let folded = fold(recording, 1);
        assert_eq!(folded.sites(|figures| figures.peak), *peak, "the peak of {what}: {recording}");
        assert_eq!(folded.sites(|figures| figures.kept), *left, "what is left of {what}: {recording}");
    }
}

#[test]
fn blocks() {
    check(&[
        ("nothing", "", "", ""),
        ("a block", "A+1:5", "A:5x1", "A:5x1"),
        ("a block that is freed", "A+1:5 -1", "A:5x1", ""),
        ("a free of nothing known", "-1", "", ""),
        ("a free before the block", "-1 A+1:5", "A:5x1", "A:5x1"),
        ("a block that is freed twice", "A+1:5 -1 -1", "A:5x1", ""),
        ("two from one place", "A+1:5 A+2:6", "A:11x2", "A:11x2"),
        ("two from two places", "A+1:5 B+2:6", "A:5x1 B:6x1", "A:5x1 B:6x1"),
        ("an address that is used again", "A+1:5 -1 B+1:6", "B:6x1", "B:6x1"),
        ("an address whose free was lost", "A+1:5 B+1:6", "B:6x1", "B:6x1"),
        ("nothing of it", "A+1:0", "A:0x1", "A:0x1"),
        ("one place, two threads", "A+1:5 2A+2:6", "2A:6x1 A:5x1", "2A:6x1 A:5x1"),
        ("freed by another thread", "A+1:5 2B+2:6 2-1", "2B:6x1 A:5x1", "2B:6x1"),
    ]);
}

#[test]
fn peaks() {
    check(&[
        ("a peak at the end", "A+1:5 B+2:6", "A:5x1 B:6x1", "A:5x1 B:6x1"),
        ("freed before the peak", "A+1:5 -1 B+2:6", "B:6x1", "B:6x1"),
        ("freed after the peak", "A+1:5 -1 B+2:4", "A:5x1", "B:4x1"),
        ("the last of two equal peaks", "A+1:5 -1 B+2:5 -2", "B:5x1", ""),
        ("a higher one later", "A+1:5 -1 A+1:4 B+2:4", "A:4x1 B:4x1", "A:4x1 B:4x1"),
        ("a lower one later", "A+1:5 B+2:4 -1 -2 A+1:4 B+2:4", "A:5x1 B:4x1", "A:4x1 B:4x1"),
        ("a part of it is older", "A+1:3 B+2:9 -2 B+2:8", "A:3x1 B:9x1", "A:3x1 B:8x1"),
        ("replaced by smaller ones", "A+1:9 -1 A+1:2 A+2:3 A+3:3", "A:9x1", "A:8x3"),
        ("spikes on a slope", "A+1:1 B+9:5 -9 A+2:1 B+9:5 -9 A+3:1 B+9:5 -9", "A:3x3 B:5x1", "A:3x3"),
        ("a slope down", "A+1:9 A+2:9 A+3:9 -1 B+4:1 -2 B+5:1 -3 B+6:1", "A:27x3", "B:3x3"),
        ("nothing bytes at the peak", "A+1:5 B+2:0", "A:5x1 B:0x1", "A:5x1 B:0x1"),
        ("a site that comes after the peak", "A+1:9 -1 B+2:1 C+3:1 -2 -3", "A:9x1", ""),
        ("a site changed at and after the peak", "A+1:5 A+2:5 -1 -2 A+1:6", "A:10x2", "A:6x1"),
    ]);
}

#[test]
fn reallocations() {
    check(&[
        ("moved", "A+1:5 B~1>2:9", "B:9x1", "B:9x1"),
        ("in place", "A+1:5 A~1>1:9", "A:9x1", "A:9x1"),
        ("shrunk", "A+1:9 B~1>1:4", "A:9x1", "B:4x1"),
        ("the old one does not count beside the new", "A+1:9 C+3:1 B~1>2:10", "B:10x1 C:1x1", "B:10x1 C:1x1"),
        ("of nothing", "A~0>1:5", "A:5x1", "A:5x1"),
        ("to nothing", "A+1:5 ~1>0", "A:5x1", ""),
        ("of what is older than the recording", "A~7>1:5", "A:5x1", "A:5x1"),
        ("a chain", "A~0>1:1 A~1>2:2 A~2>3:4 A~3>4:8 -4", "A:8x1", ""),
    ]);
}

#[test]
fn mappings() {
    check(&[
        ("unmapped", "A@10+9 @10-9", "A:9x1", ""),
        ("the front", "A@10+9 @10-4", "A:9x1", "A:5x1"),
        ("the back", "A@10+9 @15-4", "A:9x1", "A:5x1"),
        ("the middle", "A@10+9 @13-3", "A:9x1", "A:6x2"),
        ("more than there is", "A@10+9 @5-20", "A:9x1", ""),
        ("what was never seen", "@5-20 A@10+9", "A:9x1", "A:9x1"),
        ("many at once", "A@10+5 B@15+5 C@20+5 @12-11", "A:5x1 B:5x1 C:5x1", "A:2x1 C:2x1"),
        ("bit by bit", "A@10+6 @10-1 @15-1 @12-2 @11-1 @14-1", "A:6x1", ""),
        ("over a hole", "A@10+9 @13-3 B@13+3", "A:6x2 B:3x1", "A:6x2 B:3x1"),
        ("over the middle (MAP_FIXED)", "A@10+9 B@13+3", "A:6x2 B:3x1", "A:6x2 B:3x1"),
        ("over all of it (MAP_FIXED)", "A@10+5 B@5+20", "B:20x1", "B:20x1"),
        ("a peak between two parts", "A@10+9 @10-5 B+1:4 B+2:4 -1 -2", "A:4x1 B:8x2", "A:4x1"),
        ("grown", "A@10+5 B@10+5>10+9", "B:9x1", "B:9x1"),
        ("moved", "A@10+5 B@10+5>50+5", "B:5x1", "B:5x1"),
        ("a part moved", "A@10+9 B@13+3>50+3", "A:6x2 B:3x1", "A:6x2 B:3x1"),
        ("moved onto another", "A@10+5 B@50+9 C@10+5>52+5", "A:5x1 B:9x1", "B:4x2 C:5x1"),
        ("left behind", "A@10+5 B@10+5=50+5", "A:5x1 B:5x1", "A:5x1 B:5x1"),
        ("threads' stacks are apart", "A#10+50 B@70+5 @10-50", "B:5x1", "B:5x1"),
        ("a block inside a mapping", "A@10+9 B+4294967308:3 @10-9", "A:9x1 B:3x1", "B:3x1"),
    ]);
}

/// The largest heap of all and of each interval, and what each interval's holds.
#[test]
fn intervals() {
    for (what, recording, heaps, held) in [
        ("nothing", "|", "0 = 0 0", vec!["", ""]),
        ("nothing happens any more", "A+1:5 | |", "5 = 5 5 5", vec!["A:5x1"; 3]),
        ("freed in the next", "A+1:5 | -1 |", "5 = 5 5 0", vec!["A:5x1", "A:5x1", ""]),
        ("freed in its own", "A+1:5 -1 | B+2:3", "5 = 5 3", vec!["A:5x1", "B:3x1"]),
        ("each its own peak", "A+1:5 -1 | B+1:9 -1 | C+1:7 -1", "9 = 5 9 7", vec!["A:5x1", "B:9x1", "C:7x1"]),
        ("the peak is how it began", "A+1:9 | -1 B+2:3", "9 = 9 9", vec!["A:9x1", "A:9x1"]),
        ("as high again", "A+1:9 | -1 B+2:9", "9 = 9 9", vec!["A:9x1", "B:9x1"]),
        (
            "spikes",
            "A+1:1 B+2:8 -2 | B+2:7 -2 | A+3:1",
            "9 = 9 8 2",
            vec!["A:1x1 B:8x1", "A:1x1 B:7x1", "A:2x2"],
        ),
        ("grows", "A+1:1 | A+2:1 | A+3:1", "3 = 1 2 3", vec!["A:1x1", "A:2x2", "A:3x3"]),
        ("a mapping in parts", "A@10+9 | @12-2 | @10-9", "9 = 9 9 7", vec!["A:9x1", "A:9x1", "A:7x2"]),
        ("moved on", "A+1:5 | B~1>2:9 | C~2>3:4", "9 = 5 9 9", vec!["A:5x1", "B:9x1", "B:9x1"]),
        ("two threads", "A+1:5 | 2A+2:6 -1 |", "11 = 5 11 6", vec!["A:5x1", "2A:6x1 A:5x1", "2A:6x1"]),
        ("first seen late", "| | A+1:5", "5 = 0 0 5", vec!["", "", "A:5x1"]),
    ] {
        let folded = fold(recording, 1);
        assert_eq!(folded.heaps(), heaps, "the heaps of {what}: {recording}");
        let found: Vec<_> = (0..held.len() as u16).map(|interval| folded.held_in(interval)).collect();
        assert_eq!(found, held, "{what}: {recording}");
    }
}

#[test]
fn temporary() {
    for (what, recording, by_limit) in [
        ("freed at once", "A+1:5 -1", ["A:5x1", "A:5x1", "A:5x1"]),
        ("one between", "A+1:5 B+2:6 -1", ["", "A:5x1", "A:5x1"]),
        ("two between", "A+1:5 B+2:6 B+3:6 -1", ["", "", "A:5x1"]),
        ("frees between do not count", "B+2:6 A+1:5 -2 -1", ["A:5x1", "A:5x1 B:6x1", "A:5x1 B:6x1"]),
        ("nested", "A+1:5 B+2:6 -2 -1", ["B:6x1", "A:5x1 B:6x1", "A:5x1 B:6x1"]),
        ("interleaved", "A+1:5 B+2:6 -1 -2", ["B:6x1", "A:5x1 B:6x1", "A:5x1 B:6x1"]),
        ("another thread allocates between", "A+1:5 2B+2:6 -1", ["A:5x1", "A:5x1", "A:5x1"]),
        ("freed by another thread", "A+1:5 2B+2:6 2-1", ["A:5x1", "A:5x1", "A:5x1"]),
        ("a growing vector", "A~0>1:1 A~1>2:2 A~2>3:4 B+4:1", ["A:3x2", "A:3x2", "A:3x2"]),
        ("a mapping", "A@10+9 @10-9", ["A:9x1", "A:9x1", "A:9x1"]),
        ("the edge of a mapping is no block", "A@10+9 @10-4", ["A:4x0", "A:4x0", "A:4x0"]),
        ("a thread's stack is no allocation", "A+1:5 B#10+50 -1", ["A:5x1", "A:5x1", "A:5x1"]),
        ("never freed", "A+1:5", ["", "", ""]),
    ] {
        let found = [0, 1, 2].map(|within| fold(recording, within).sites(|figures| figures.temporary));
        assert_eq!(found, by_limit, "{what}: {recording}");
    }
}

#[test]
fn after_the_last_gap() {
    for (what, recording, late) in [
        ("no gap", "A+1:5", "A:5x1"),
        ("older", "A+1:5 ?", ""),
        ("younger", "A+1:5 ? B+2:6", "B:6x1"),
        ("of two gaps the last", "A+1:5 ? B+2:6 ? C+3:7", "C:7x1"),
        ("of an older place", "A+1:5 ? A+2:6", "A:6x1"),
        ("reallocated since", "A+1:5 ? A~1>2:6", "A:6x1"),
        ("freed since", "? A+1:5 -1", ""),
        ("what is left of an older mapping", "A@10+9 ? @12-2", ""),
        ("another thread's", "A+1:5 ? 2A+2:6", "2A:6x1"),
    ] {
        assert_eq!(fold(recording, 1).sites(|figures| figures.late), late, "{what}: {recording}");
    }
}
