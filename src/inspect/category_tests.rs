//! Mappings as processes had them, and what each of them is for.

use super::*;
use std::collections::BTreeMap;

/// Debian's Python 3.11 with two threads that wait, shared memory and mapped files;
/// shortened.
const THREADS: &str = "\
00400000-0041f000 r--p 00000000 fe:00 247706                             /usr/bin/python3.11
00946000-00a85000 rw-p 00545000 fe:00 247706                             /usr/bin/python3.11
00a85000-00aca000 rw-p 00000000 00:00 0
36791000-3693b000 rw-p 00000000 00:00 0                                  [heap]
7fc190000000-7fc190021000 rw-p 00000000 00:00 0
7fc190021000-7fc194000000 ---p 00000000 00:00 0
7fc198000000-7fc198021000 rw-p 00000000 00:00 0
7fc198021000-7fc19c000000 ---p 00000000 00:00 0
7fc19d6fe000-7fc19dafe000 rw-p 00000000 00:00 0
7fc19dafe000-7fc19dbfe000 rw-s 00000000 00:01 455041                     /dev/zero (deleted)
7fc19dbfe000-7fc19dbff000 ---p 00000000 00:00 0
7fc19dbff000-7fc19e3ff000 rw-p 00000000 00:00 0
7fc19e3ff000-7fc19e400000 ---p 00000000 00:00 0
7fc19e400000-7fc19ec00000 rw-p 00000000 00:00 0
7fc19ec00000-7fc19ecc5000 r--p 00000000 fe:00 326305                     /usr/lib/libcrypto.so.3
7fc19f15e000-7fc19f160000 rw-s 00000000 00:1b 2                          /dev/shm/psm_82ac6a24
7fc19f9ba000-7fc19f9bc000 r--s 00000000 fe:00 247706                     /usr/bin/python3.11
7fc19f9c5000-7fc19f9c9000 r--p 00000000 00:00 0                          [vvar]
7fc19f9cb000-7fc19f9cd000 r-xp 00000000 00:00 0                          [vdso]
7ffdb045e000-7ffdb047f000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

fn maps(text: &str) -> Maps {
    Maps(text.lines().map(|line| Mapping::parse(line).expect("a line of maps")).collect())
}

/// Bytes by category; every byte below the kernel's is in one segment.
fn bytes(text: &str, landmarks: &Landmarks) -> BTreeMap<&'static str, u64> {
    let maps = maps(text);
    let found = segments(&maps, landmarks);
    assert!(found.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start), "{found:#x?}");
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for segment in &found {
        *bytes.entry(segment.category.name()).or_default() += segment.range.end - segment.range.start;
    }
    let mapped = maps.0.iter().filter(|mapping| mapping.range.end <= ADDRESS_END).map(Mapping::len);
    assert_eq!(bytes.values().sum::<u64>(), mapped.sum::<u64>());
    bytes
}

/// The categories of one anonymous mapping of 40 MiB at 0x10000000, above `before`.
fn of_mapping(before: &str, bytes: u64, landmarks: &Landmarks) -> Vec<(Category, u64)> {
    let text = format!("{before}10000000-{:x} rw-p 00000000 00:00 0", 0x1000_0000 + bytes);
    let maps = maps(&text);
    let found = segments(&maps, landmarks);
    let inside = found.iter().filter(|segment| segment.mapping.range.start == 0x1000_0000);
    inside.map(|segment| (segment.category, segment.range.end - segment.range.start)).collect()
}

fn range(start: u64, end: u64) -> Vec<Range<u64>> {
    [(start, end)].map(|(start, end)| start..end).into()
}

#[test]
fn a_process_with_threads() {
    let landmarks = Landmarks {
        stack_pointers: vec![0x7fc1_9e3f_da40, 0x7fc1_9ebf_ea40, 0x7ffd_b047_ceb0],
        malloc_heaps: vec![0x7fc1_9000_0000..0x7fc1_9002_1000, 0x7fc1_9800_0000..0x7fc1_9802_1000],
        arenas: range(0x7fc1_9d70_0000, 0x7fc1_9d90_0000),
        own: Vec::new(),
    };
    let expected = [
        // What the two heaps have in reserve, .bss, a mapping around the arenas.
        ("anonymous", 2 * (0x400_0000 - 0x2_1000) + 0x4_5000 + 0x20_0000 + 2 * 0x1000),
        ("brk_heap", 0x1a_a000),
        ("files", 0x1_f000 + 0x13_f000 + 0xc_5000 + 0x2000),
        ("malloc_arenas", 2 * 0x2_1000),
        ("other", 0x4000 + 0x2000),
        ("pymalloc_arenas", 0x20_0000),
        ("shared", 0x10_0000 + 0x2000),
        ("thread_stacks", 2 * 0x80_0000 + 0x2_1000),
    ];
    assert_eq!(bytes(THREADS, &landmarks), expected.into());
}

#[test]
fn stacks() {
    use Category::{Anonymous, ThreadStacks};
    const MIB: u64 = 1 << 20;
    let guard = "0ffff000-10000000 ---p 00000000 00:00 0\n";
    let sp = |pointers: &[u64]| Landmarks { stack_pointers: pointers.to_vec(), ..Landmarks::default() };
    let inside = 0x1000_0000 + MIB;
    for (what, before, bytes, pointers, expected) in [
        ("a guard below", guard, 8 * MIB, &[][..], vec![(ThreadStacks, 8 * MIB)]),
        (
            "merged with what is above",
            guard,
            20 * MIB,
            &[inside],
            vec![(ThreadStacks, 8 * MIB), (Anonymous, 12 * MIB)],
        ),
        ("only a stack pointer", "", MIB, &[inside - 1], vec![(ThreadStacks, MIB)]),
        (
            "two stacks without guards",
            "",
            16 * MIB,
            &[inside, inside + 8 * MIB],
            vec![(ThreadStacks, 16 * MIB)],
        ),
        ("a large mapping that holds one", "", 40 * MIB, &[inside], vec![(Anonymous, 40 * MIB)]),
        ("no stack", "", 8 * MIB, &[inside - 2 * MIB, inside + 7 * MIB], vec![(Anonymous, 8 * MIB)]),
        ("a gap between", "0fffe000-0ffff000 ---p 00000000 00:00 0\n", MIB, &[], vec![(Anonymous, MIB)]),
        (
            "the rest of a heap below",
            "0ff00000-10000000 ---p 00000000 00:00 0\n",
            MIB,
            &[],
            vec![(Anonymous, MIB)],
        ),
    ] {
        assert_eq!(of_mapping(before, bytes, &sp(pointers)), expected, "{what}");
    }
}

#[test]
fn landmarks_cut_a_mapping() {
    use Category::{Anonymous, MallocArenas, Prof, Pymalloc};
    let at = |start: u64, end: u64| 0x1000_0000 + start..0x1000_0000 + end;
    let landmarks = Landmarks {
        arenas: vec![0x1000..0x2000, 0x0fff_f000..0x1000_1000, at(0x3000, 0x4000)],
        malloc_heaps: vec![at(0x4000, 0x6000)],
        own: vec![at(0x7000, 0x9_0000_0000)],
        stack_pointers: Vec::new(),
    };
    let expected = [
        (Pymalloc, 0x1000),
        (Anonymous, 0x2000),
        (Pymalloc, 0x1000),
        (MallocArenas, 0x2000),
        (Anonymous, 0x1000),
    ];
    let found = of_mapping("", 0x10000, &landmarks);
    assert_eq!(found, [&expected[..], &[(Prof, 0x9000)]].concat());
}

#[test]
fn overlapping_landmarks_do_not_count_twice() {
    let at = |start: u64, end: u64| 0x1000_0000 + start..0x1000_0000 + end;
    let landmarks = Landmarks {
        arenas: vec![at(0x1000, 0x4000)],
        malloc_heaps: vec![at(0, 0x3000), at(0x3000, 0x5000)],
        ..Landmarks::default()
    };
    let found = of_mapping("", 0x6000, &landmarks);
    assert_eq!(found.iter().map(|(_, bytes)| bytes).sum::<u64>(), 0x6000, "{found:?}");
}
