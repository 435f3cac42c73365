//! Rules of real files: found one by one and as a table they must be the same,
//! and no damage to a file may do more than lose rules.

use super::{Error, Rules};
use prof_shared::row::{Base, Row};
use proptest::prelude::*;
use std::path::PathBuf;

/// The libc and every libpython found; a machine without pyenv tests libc alone.
fn files() -> Vec<PathBuf> {
    let versions = std::env::home_dir().map(|home| home.join(".pyenv/versions")).unwrap_or_default();
    let pythons = ["3.8.18", "3.11.7", "3.12.1"].map(|version| {
        let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
        versions.join(format!("{version}/lib/libpython{minor}.so.1.0"))
    });
    let files = [libc_path(), "/usr/bin/python3".into()].into_iter().chain(pythons);
    files
        .filter(|path| {
            path.exists() || {
                eprintln!("skipped: {}", path.display());
                false
            }
        })
        .collect()
}

fn libc_path() -> PathBuf {
    let found = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"];
    found.into_iter().map(PathBuf::from).find(|path| path.exists()).expect("tests need glibc")
}

#[test]
fn a_table_says_what_single_look_ups_say() {
    for path in files() {
        let mut rules = Rules::parse(std::fs::read(&path).unwrap()).unwrap();
        let table = rules.table().unwrap();
        let text = rules.text();
        let mut supported = 0;
        for row in table.rows() {
            for pc in [row.start.saturating_sub(1), row.start, row.start + 1, row.start + 5] {
                let (single, whole) = (rules.row(text + u64::from(pc)), table.row(pc));
                let same = single.zip(whole).map_or(single == whole, |(a, b)| a.has_rule_of(&b));
                assert!(same, "{}: {pc:#x}: {single:?} {whole:?}", path.display());
            }
            supported += usize::from(row.base != Base::UNSUPPORTED);
        }
        assert!(table.rows().is_sorted_by(|a, b| a.start < b.start && !a.has_rule_of(b)));
        assert!(supported > 3000, "{}: {supported} rows", path.display());
        println!("{}: {} rows, {supported} with a rule", path.display(), table.rows().len());
    }
}

#[test]
fn nearly_every_rule_fits_into_a_row() {
    for path in files() {
        let table = Rules::parse(std::fs::read(&path).unwrap()).unwrap().table().unwrap();
        let width = |pair: &[Row]| u64::from(pair[1].start - pair[0].start);
        let all: u64 = table.rows().windows(2).map(width).sum();
        let without = table.rows().windows(2).filter(|pair| pair[0].base == Base::UNSUPPORTED);
        let without: u64 = without.map(width).sum();
        println!("{}: {without} of {all} bytes have no rule", path.display());
        assert!(without * 20 < all, "{}: {without} of {all} bytes have no rule", path.display());
    }
}

#[test]
fn section_headers_are_not_needed() {
    let mut file = std::fs::read(libc_path()).unwrap();
    let table = Rules::parse(file.clone()).unwrap().table().unwrap();
    file[0x28..0x30].fill(0);
    file[0x3a..0x40].fill(0);
    assert_eq!(Rules::parse(file).unwrap().table().unwrap(), table);
}

#[test]
fn what_is_no_elf_file_is_refused() {
    assert!(matches!(Rules::parse([]), Err(Error::NotElf(_))));
    assert!(matches!(Rules::parse([0x7f; 4096]), Err(Error::NotElf(_))));
    let mut file = std::fs::read(libc_path()).unwrap();
    file[0x12] = 183;
    assert!(matches!(Rules::parse(&file), Err(Error::Missing(_))));
}

/// A file whose search table names one entry over and over.
#[test]
fn entries_that_share_their_bytes_are_bounded() {
    let mut file = std::fs::read(libc_path()).unwrap();
    let rules = Rules::parse(file.clone()).unwrap();
    let header = rules.header_bytes();
    let first: [u8; 8] = file[header.start + 12..][..8].try_into().unwrap();
    let pairs = (file.len() - header.start - 12) / 8;
    file[header.start + 8..][..4].copy_from_slice(&(pairs as u32).to_le_bytes());
    for pair in file[header.start + 12..header.end].chunks_exact_mut(8) {
        pair.copy_from_slice(&first);
    }
    let table = Rules::parse(file).unwrap().table();
    assert!(table.map_or(true, |table| table.rows().len() < 1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_only_loses_rules(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200)) {
        let mut file = std::fs::read(libc_path()).unwrap();
        let rules = Rules::parse(&file).unwrap();
        let (frames, header) = (rules.frames_bytes(), rules.header_bytes());
        let area = header.start.min(frames.start)..header.end.max((frames.start + 0x20000).min(frames.end));
        for (index, byte) in &damage {
            file[area.start + index.index(area.len())] = *byte;
        }
        for (index, byte) in damage.iter().take(4) {
            file[index.index(0x400)] ^= *byte;
        }
        let Ok(mut rules) = Rules::parse(file) else { return Ok(()) };
        let _ = rules.table();
        for pc in (0..0x200000).step_by(4099) {
            let _ = rules.row(pc);
        }
    }
}
