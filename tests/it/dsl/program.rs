//! Where the target programs lie.

use std::path::{Path, PathBuf};

/// The path of a file under `tests/programs`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// A program under a name that no other process has.
pub fn uniquely_named(dir: &Path, word: &str) -> PathBuf {
    let path = dir.join(format!("{word}{}.py", std::process::id()));
    std::os::unix::fs::symlink(program("echo.py"), &path).expect("a link can be made");
    path
}
