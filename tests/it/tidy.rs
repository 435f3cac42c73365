//! The house rules that a program can check: who may use whom, where `unsafe` may
//! stand, how files begin and how long they may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of the crate `prof` may use of the others.
const PARTS: [(&str, &[&str]); 11] = [
    // What a version's line tables mean is CPython's, and a report takes it from `cli`.
    ("cli", &["record", "inspect", "cpython", "capture", "analysis", "report", "explore", "model"]),
    // Samples of the resident set are read-only looks at a process that is recorded.
    ("record", &["inspect", "cpython", "native", "capture", "analysis", "model"]),
    ("inspect", &["cpython", "native", "model"]),
    ("cpython", &["model"]),
    ("native", &["model"]),
    ("capture", &["model"]),
    // Reports stream from the reader: a capture does not fit in memory.
    ("report", &["capture", "analysis", "model"]),
    ("explore", &["report", "analysis", "model"]),
    ("analysis", &["model"]),
    ("model", &[]),
    // Doors for fuzzers; not in a normal build.
    ("fuzz", &["record", "inspect", "cpython", "native", "capture", "report", "model"]),
];

/// Which parts of the crate `prof` may use the injector.
const USE_THE_INJECTOR: [&str; 6] = ["cli", "record", "inspect", "cpython", "native", "fuzz"];

/// The dependencies that have one owner, and the owner.
const OWNERS: [(&str, &[&str]); 19] = [
    ("nix", &["injector/src"]),
    ("procfs", &["injector/src"]),
    ("goblin", &["injector/src"]),
    ("iced_x86", &["injector/src"]),
    ("gimli", &["src/native"]),
    // `install` looks up the hooks in the embedded payload.
    ("object", &["src/native", "src/cpython", "src/record/install.rs", "build.rs"]),
    ("addr2line", &["src/native/symbols/dwarf.rs"]),
    ("cpp_demangle", &["src/native/symbols/name.rs"]),
    ("rustc_demangle", &["src/native/symbols/name.rs"]),
    ("lzma_rust2", &["src/native/symbols/image.rs"]),
    // Sections of debug files may be packed as captures are.
    ("zstd", &["src/capture", "src/native/symbols/image.rs"]),
    ("clap", &["src/cli", "src/main.rs"]),
    ("clap_complete", &["src/cli/shell.rs"]),
    ("clap_mangen", &["src/cli/shell.rs"]),
    ("regex", &["src/cli"]),
    ("terminal_size", &["src/cli"]),
    ("ratatui", &["src/explore"]),
    (
        "rustix",
        &["src/explore", "src/record/recorder.rs", "src/record/ring.rs", "src/native/symbols/debug_files.rs"],
    ),
    ("indicatif", &["src/cli", "src/report"]),
];

/// The only files with `unsafe` in them.
const UNSAFE: &str = include_str!("unsafe_files.txt");

/// Longer files need a reason, and none has one.
const MAX_LINES: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of ours: its path from the root, and its text.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in ["build.rs", "src", "injector", "payload", "tests"] {
        collect(&root().join(part), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(path: &Path, found: &mut BTreeMap<String, String>) {
    if path.extension().is_some_and(|extension| extension == "rs") && path.is_file() {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        found.insert(name, fs::read_to_string(path).expect("a source can be read"));
    }
    let is_output = path.ends_with("target");
    let entries = if is_output { None } else { fs::read_dir(path).ok() };
    entries.into_iter().flatten().flatten().for_each(|entry| collect(&entry.path(), found));
}

/// Whether a file has nothing but tests in it.
fn is_test(name: &str) -> bool {
    name.contains("tests/") || name.ends_with("tests.rs") || name.ends_with("test_target.rs")
}

/// Fails with every complaint at once.
#[track_caller]
fn none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Lines of code without comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

/// Whether `word` stands in `line` as a word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

#[test]
fn files_open_with_what_they_are_for() {
    let bare = |text: &str| !text.trim_start_matches("#![no_std]").trim_start().starts_with("//!");
    none(
        sources()
            .iter()
            .filter(|(_, text)| bare(text))
            .map(|(name, _)| format!("{name} does not open with //!")),
    );
}

#[test]
fn files_fit_in_the_head() {
    let long = |text: &str| text.lines().count() > MAX_LINES;
    none(sources().iter().filter(|(_, text)| long(text)).map(|(name, _)| format!("{name} is too long")));
}

#[test]
fn unsafe_stands_where_it_is_expected() {
    let allowed: Vec<_> = UNSAFE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let sources = sources();
    let sources = sources.iter().filter(|(name, _)| name.as_str() != "tests/it/tidy.rs");
    let has_unsafe = |text: &str| code(text).any(|(_, line)| has_word(line, "unsafe"));
    let (with, without): (Vec<_>, Vec<_>) = sources.partition(|(_, text)| has_unsafe(text));
    let surprises = with.iter().filter(|(name, _)| !allowed.contains(&name.as_str()));
    let surprises = surprises.map(|(name, _)| format!("{name} has unsafe code and is not on the list"));
    let stale = without.iter().filter(|(name, _)| allowed.contains(&name.as_str()));
    none(surprises.chain(stale.map(|(name, _)| format!("{name} is on the list and has no unsafe code"))));
}

#[test]
fn unsafe_has_its_reasons() {
    let mut complaints = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in code(&text) {
            let above = &lines[number.saturating_sub(12)..number];
            let says = |word: &str| above.iter().any(|line| line.contains(word));
            let block = line.contains(concat!("unsafe", " {")) || line.contains(concat!("unsafe", " impl"));
            if block && !says("SAFETY:") {
                complaints.push(format!("{name}:{number}: no SAFETY: line"));
            }
            if line.contains(concat!("pub unsafe", " fn")) && !says("# Safety") {
                complaints.push(format!("{name}:{number}: no # Safety section"));
            }
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_left_to_do() {
    let words =
        [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!("), concat!("#[", "ignore")];
    let sources = sources();
    let hits =
        sources.iter().flat_map(|(name, text)| code(text).map(move |(number, line)| (name, number, line)));
    let bad = hits.filter(|(_, _, line)| words.iter().any(|word| line.contains(word)));
    none(bad.map(|(name, number, line)| format!("{name}:{number}: {}", line.trim())));
}

/// Tests shake hands. One file polls, with a deadline.
#[test]
fn tests_do_not_sleep() {
    let call = concat!("::sleep", "(");
    let sources = sources();
    let sources = sources.iter().filter(|(name, _)| name.as_str() != "tests/it/dsl/wait.rs");
    let in_tests = |name: &str, text: &str, number: usize| {
        is_test(name) || text.lines().take(number).any(|line| line.starts_with("#[cfg(test)]"))
    };
    let hits =
        sources.flat_map(|(name, text)| code(text).map(move |(number, line)| (name, text, number, line)));
    let bad = hits.filter(|(name, text, number, line)| line.contains(call) && in_tests(name, text, *number));
    none(bad.map(|(name, _, number, _)| format!("{name}:{number} sleeps")));
}

#[test]
fn parts_use_what_they_may() {
    let mut complaints = Vec::new();
    for (name, text) in sources() {
        let Some(part) = part_of(&name) else { continue };
        let allowed = PARTS.iter().find(|(known, _)| *known == part).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            complaints.push(format!("{name}: {part} is no part of the design"));
            continue;
        };
        for (number, line) in code(&text) {
            for (other, _) in PARTS.iter().filter(|(other, _)| *other != part && !allowed.contains(other)) {
                if has_word(line, &format!("crate::{other}")) {
                    complaints.push(format!("{name}:{number}: {part} uses {other}"));
                }
            }
            if has_word(line, "prof_injector") && !USE_THE_INJECTOR.contains(&part) {
                complaints.push(format!("{name}:{number}: {part} uses the injector"));
            }
        }
    }
    none(complaints);
}

/// `src/capture/reader.rs` and `src/capture.rs` are of `capture`.
fn part_of(name: &str) -> Option<&str> {
    let inner = name.strip_prefix("src/")?;
    let part = inner.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&part)).then_some(part)
}

/// Each dependency of weight has one owner module; nobody else names it.
#[test]
fn dependencies_have_owners() {
    let mut complaints = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| !is_test(name)) {
        for (library, owners) in OWNERS {
            if owners.iter().any(|owner| name.starts_with(owner)) {
                continue;
            }
            let uses = |line: &str| {
                has_word(line, &format!("{library}::")) || line.contains(&format!("use {library}"))
            };
            let path = format!("{library}::");
            for (number, line) in code(&text).filter(|(_, line)| line.contains(&path) && uses(line)) {
                complaints.push(format!("{name}:{number}: {library} has another owner: {}", line.trim()));
            }
        }
    }
    none(complaints);
}

/// Shared code depends on nothing, the payload on shared code, the injector on no
/// part of `prof`.
#[test]
fn manifests_keep_the_direction() {
    assert_eq!(dependencies("payload/shared/Cargo.toml"), Vec::<String>::new());
    assert_eq!(dependencies("payload/Cargo.toml"), ["prof-shared"]);
    let injector = dependencies("injector/Cargo.toml");
    for library in ["prof", "prof-payload", "gimli", "clap", "serde", "zstd"] {
        assert!(!injector.iter().any(|name| name == library), "the injector depends on {library}");
    }
}

/// The names below `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(PathBuf::from(manifest))).expect("the manifest can be read");
    let lines = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let names = lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#') && line.contains('='));
    names.map(|line| line.split(['=', '.']).next().unwrap_or_default().trim().to_owned()).collect()
}

/// The payload's code names neither versions nor files nor the C library.
#[test]
fn the_payload_knows_nothing() {
    let sources = sources();
    let of_payload = sources.iter().filter(|(name, _)| name.starts_with("payload/"));
    let lines = of_payload.flat_map(|(name, text)| {
        let code = code(text).take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
        code.map(move |(number, line)| (name, number, line))
    });
    let words = ["std", "libc", "thread_local", "alloc"];
    let bad = lines.filter(|(_, _, line)| {
        words.iter().any(|word| {
            has_word(line, &format!("{word}::")) || line.contains(&format!("extern crate {word}"))
        })
    });
    none(bad.map(|(name, number, line)| format!("{name}:{number}: {}", line.trim())));
}

#[test]
fn the_prescribed_documents_are_there() {
    let documents = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "ARCHITECTURE.md"];
    let missing = documents.iter().filter(|name| !root().join(name).is_file());
    none(missing.map(|name| format!("no {name}")));
}
