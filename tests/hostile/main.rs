//! A bounded run of what `fuzz/` does without an end: every parser of foreign bytes, on
//! valid inputs, inputs with faults, and noise. Fixed lots, so each run does the same.
//!
//! ```text
//!  seeds ─► mutant ─► prof::fuzz::DOORS      no panic · in time · in a bounded address space
//!  regressions/*/* ─┘
//! ```
//!
//! `PROF_FUZZ_CORPUS=fuzz/corpus cargo test --test hostile corpus` writes the seeds where
//! cargo-fuzz looks for them. What a fuzzer finds goes to `tests/hostile/regressions`.

mod mutant;
mod seeds;

use mutant::Mutator;
use nix::sys::resource::{Resource, setrlimit};
use prof::fuzz::{DOORS, Door};
use std::path::Path;
use std::time::{Duration, Instant};

/// For each door.
const TIME: Duration = Duration::from_millis(700);
/// One input must not take longer, on a busy machine either.
const LONGEST: Duration = Duration::from_secs(20);
/// All that this process may map: a length that lies must not be asked for.
const ADDRESS_SPACE: u64 = 3 << 30;

fn door(name: &str) -> Door {
    let found = DOORS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no door {name}")).1
}

/// Hands the input in; one that is not taken in time, or panics, is named.
fn hand_in(name: &str, what: &str, input: &[u8]) {
    let begin = Instant::now();
    let told = std::panic::catch_unwind(|| door(name)(input));
    let head: String = input.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    let input = || format!("{name}, {what}: {} bytes, {head}", input.len());
    assert!(told.is_ok(), "a panic at {}", input());
    assert!(begin.elapsed() < LONGEST, "{:?} for {}", begin.elapsed(), input());
}

/// Seeds first, then their mutants by turns, then noise, until the time is over.
fn run(name: &str) {
    setrlimit(Resource::RLIMIT_AS, ADDRESS_SPACE, ADDRESS_SPACE).expect("a limit can be lowered");
    let seeds = seeds::of(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    seeds.iter().for_each(|seed| hand_in(name, "seed", seed));
    let begin = Instant::now();
    let mut mutator = Mutator::new(name);
    // However slow the machine is, each seed has its mutants.
    for round in 0.. {
        if round >= 8 && begin.elapsed() > TIME {
            break;
        }
        for (index, seed) in seeds.iter().enumerate() {
            hand_in(name, &format!("mutant {round} of seed {index}"), &mutator.mutant(seed));
        }
        hand_in(name, &format!("noise {round}"), &mutator.noise());
    }
}

macro_rules! doors {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)) })*

        #[test]
        fn every_door_is_tried() {
            let tried = [$(stringify!($name)),*];
            assert_eq!(DOORS.map(|(name, _)| name), tried);
            for name in tried {
                let target = format!("{}/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
                assert!(Path::new(&target).is_file(), "{target} is missing");
            }
        }
    };
}

doors! { records ring capture elf lines proc structures arenas }

/// What was found once is not found again.
#[test]
fn regressions() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/regressions");
    for (name, _) in DOORS {
        for input in std::fs::read_dir(dir.join(name)).into_iter().flatten().flatten() {
            let bytes = std::fs::read(input.path()).expect("it can be read");
            hand_in(name, &input.file_name().to_string_lossy(), &bytes);
        }
    }
}

#[test]
fn corpus() {
    let Some(dir) = std::env::var_os("PROF_FUZZ_CORPUS") else { return };
    for (name, _) in DOORS {
        let dir = Path::new(&dir).join(name);
        std::fs::create_dir_all(&dir).expect("it can be made");
        for (index, seed) in seeds::of(name).iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{index:03}")), seed).expect("there is room");
        }
    }
}
