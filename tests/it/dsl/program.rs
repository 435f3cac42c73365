//! Where the target programs lie.

use std::path::{Path, PathBuf};

/// The path of a file under `tests/programs`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}
