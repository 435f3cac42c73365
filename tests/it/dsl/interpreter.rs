//! The Python interpreters of this machine, and tests that run on several.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `"system"`: the distribution's own, whatever its version.
const SYSTEM: &str = "system";

/// Every interpreter found, by `"3.12"`; the distribution's by `"system"`.
fn interpreters() -> &'static BTreeMap<String, PathBuf> {
    static FOUND: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
        let pyenv = pyenv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
        let installed = pyenv.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
        let installed =
            installed.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3"));
        let mut found: BTreeMap<_, _> = installed.filter_map(|path| Some((version(&path)?, path))).collect();
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

/// Whether the running test can run on `version`; if not, reports it as skipped.
pub fn available(version: &str) -> bool {
    let found = interpreters().contains_key(version);
    if !found {
        skip(&format!("no Python {version} here"));
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
/// `named` in the project's promises (the oldest, two newer, the distribution's
/// static one).
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
        $crate::dsl::python_tests!(@test python_3_9 "3.9");
        $crate::dsl::python_tests!(@test python_3_10 "3.10");
        $crate::dsl::python_tests!(@test python_3_13 "3.13");
    };
    (@named) => {
        $crate::dsl::python_tests!(@test python_3_8 "3.8");
        $crate::dsl::python_tests!(@test python_3_11 "3.11");
        $crate::dsl::python_tests!(@test python_3_12 "3.12");
        $crate::dsl::python_tests!(@test python_system "system");
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
