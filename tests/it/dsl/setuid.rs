//! A program that belongs to somebody else and runs as them.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory that every user may write to.
pub fn shared_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.path(), mode).expect("it is ours");
    dir
}

/// A set-user-id copy of `cat`.
pub struct SetuidProgram {
    dir: TempDir,
}

impl SetuidProgram {
    /// Makes it; `None` without the right to give files away.
    pub fn new() -> Option<SetuidProgram> {
        let program = SetuidProgram { dir: shared_dir() };
        std::fs::copy("/bin/cat", program.file()).expect("cat can be copied");
        chown(program.file(), Some(65534), None).ok().map(|()| program)
    }

    /// Gives it to a user.
    #[track_caller]
    pub fn belongs_to(&self, uid: u32) {
        chown(self.file(), Some(uid), None).expect("it was given away before");
        // Which takes the bit away.
        let mode = std::fs::Permissions::from_mode(0o4755);
        std::fs::set_permissions(self.file(), mode).expect("root may");
    }

    /// Its path.
    pub fn path(&self) -> String {
        self.file().display().to_string()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("setuid-cat")
    }
}
