//! The Python interpreters of this machine, and tests that run on several.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `"system"`: the distribution's own, whatever its version.
const SYSTEM: &str = "system";

/// What `scripts/pythons` unpacks.
const UNPACKED: [(&str, &str); 5] = [
    ("3.14", "debian-forky/usr/bin/python3.14"),
    ("3.15", "debian-forky/usr/bin/python3.15"),
    ("3.11d", "debian-bookworm/usr/bin/python3.11d"),
    ("3.14d", "debian-forky/usr/bin/python3.14d"),
    ("3.15d", "debian-forky/usr/bin/python3.15d"),
];

/// Every interpreter found, by `"3.12"`; the distribution's by `"system"`.
fn interpreters() -> &'static BTreeMap<String, PathBuf> {
    static FOUND: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let directory = |variable: &str, within_home: &str| {
            let set = std::env::var_os(variable).map(PathBuf::from);
            set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(within_home)))
        };
        let installed =
            directory("PYENV_ROOT", ".pyenv").and_then(|root| std::fs::read_dir(root.join("versions")).ok());
        let installed =
            installed.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3"));
        let mut found: BTreeMap<_, _> = installed.filter_map(|path| Some((version(&path)?, path))).collect();
        if let Some(cache) = directory("XDG_CACHE_HOME", ".cache") {
            let unpacked = UNPACKED.map(|(name, path)| (name.into(), cache.join("prof").join(path)));
            found.extend(unpacked.into_iter().filter(|(_, path)| path.exists()));
        }
        let system = PathBuf::from("/usr/bin/python3");
        if system.exists() {
            found.insert(SYSTEM.into(), system);
        }
        found
    })
}

/// The interpreter of `version`.
#[track_caller]
pub fn interpreter(version: &str) -> &'static Path {
    interpreters()
        .get(version)
        .unwrap_or_else(|| panic!("no Python {version} here; found {:?}", interpreters()))
}

/// The shared library of `version`, where it has one that a program of this machine's can load.
pub fn shared_library(version: &str) -> Option<PathBuf> {
    // What is unpacked needs a libc of its own.
    if UNPACKED.iter().any(|(unpacked, _)| *unpacked == version) {
        return None;
    }
    let home = home(version);
    let directories = [home.join("lib"), home.join("lib/x86_64-linux-gnu")];
    let files =
        directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten();
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libpython3.") && name.ends_with(".so.1.0")
    };
    files.map(|file| file.path()).find(is_it)
}

/// Where the interpreter of `version` has its own library.
#[track_caller]
pub fn home(version: &str) -> &'static Path {
    interpreter(version).ancestors().nth(2).expect("below bin")
}

/// Whether the running test can run on `version`; if not, reports it as skipped.
pub fn available(version: &str) -> bool {
    let found = interpreters().contains_key(version);
    if !found {
        skip(&format!("no Python {version} here (scripts/pythons gets 3.14, 3.15 and debug builds)"));
    }
    found
}

/// Reports the running test as skipped, by name, past the harness's capture.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {reason}\n", thread.name().unwrap_or("?"));
    std::io::stderr().write_all(line.as_bytes()).expect("stderr can be written");
}

fn version(path: &Path) -> Option<String> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new(path).args(["-c", script]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| text.starts_with("3."))
}

/// Makes each function a module with one test an interpreter: `all`, or those
/// `named` in the project's promises (the oldest, two newer, the newest with its glibc,
/// the distribution's static one).
macro_rules! python_tests {
    ($set:ident: $($(#[$meta:meta])* fn $name:ident($python:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all of its theme")]
            use super::*;
            fn run($python: &str) $body
            $crate::dsl::python_tests!(@$set);
        }
    )+};
    (@all) => {
        $crate::dsl::python_tests!(@named);
        $crate::dsl::python_tests!(@test python_3_6 "3.6");
        $crate::dsl::python_tests!(@test python_3_7 "3.7");
        $crate::dsl::python_tests!(@test python_3_9 "3.9");
        $crate::dsl::python_tests!(@test python_3_10 "3.10");
        $crate::dsl::python_tests!(@test python_3_13 "3.13");
        $crate::dsl::python_tests!(@debug);
        $crate::dsl::python_tests!(@test python_3_14 "3.14");
    };
    (@named) => {
        $crate::dsl::python_tests!(@test python_3_8 "3.8");
        $crate::dsl::python_tests!(@test python_3_11 "3.11");
        $crate::dsl::python_tests!(@test python_3_12 "3.12");
        $crate::dsl::python_tests!(@test python_3_15 "3.15");
        $crate::dsl::python_tests!(@test python_system "system");
    };
    (@debug) => {
        $crate::dsl::python_tests!(@test python_3_11d "3.11d");
        $crate::dsl::python_tests!(@test python_3_14d "3.14d");
        $crate::dsl::python_tests!(@test python_3_15d "3.15d");
    };
    (@two) => {
        $crate::dsl::python_tests!(@test python_3_8 "3.8");
        $crate::dsl::python_tests!(@test python_3_12 "3.12");
    };
    (@one) => {
        $crate::dsl::python_tests!(@test python_3_12 "3.12");
    };
    (@test $name:ident $version:literal) => {
        #[test]
        fn $name() {
            if $crate::dsl::available($version) {
                run($version);
            }
        }
    };
}
pub(crate) use python_tests;
