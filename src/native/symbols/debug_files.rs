//! Where the parts of a program lie that were taken out of it when it was stripped.
//!
//! gdb's ways, in its order ("Debugging Information in Separate Files" in its manual):
//!
//! ```text
//!  build-id ab12…                  /usr/lib/debug/.build-id/ab/12….debug
//!  .gnu_debuglink of /usr/lib/x.so   /usr/lib/NAME · /usr/lib/.debug/NAME · /usr/lib/debug/usr/lib/NAME
//!  .gnu_debugaltlink               by build-id, or where it says
//! ```
//!
//! All below one root, which links in it do not lead out of. Nothing is asked of the network.

use super::image::{Elf, Image};
use object::Object;
use prof_injector::process::map_file;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DEBUG: &str = "/usr/lib/debug";

/// The files below a root directory: `/`, or `/proc/PID/root`.
#[derive(Clone, Debug)]
pub struct DebugFiles {
    /// None if it could not be opened.
    root: Option<Arc<OwnedFd>>,
}

/// A file, and where it was found below the root.
pub(super) type Found = (PathBuf, Image<'static>);

impl DebugFiles {
    /// Looks below `root`, which is opened now: it is the same one when its process is gone.
    pub fn below(root: impl AsRef<Path>) -> DebugFiles {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        DebugFiles { root: openat(CWD, root.as_ref(), flags, Mode::empty()).ok().map(Arc::new) }
    }

    /// What was taken out of the module at `path`.
    pub(super) fn stripped(&self, module: &Elf, path: &Path) -> Option<Found> {
        build_id(module).and_then(|id| self.by_build_id(id)).or_else(|| self.by_link(module, path))
    }

    /// What the DWARF of several files shares (`dwz`), for the file at `path`.
    pub(super) fn shared(&self, elf: &Elf, path: &Path) -> Option<Image<'static>> {
        let (name, id) = elf.gnu_debugaltlink().ok()??;
        let named = || {
            let (path, image) = self.open(path.parent()?.join(OsStr::from_bytes(name)))?;
            (build_id(&image.elf()) == Some(id)).then_some((path, image))
        };
        Some(self.by_build_id(id).or_else(named)?.1)
    }

    /// The package of what the compiler wrote into files of their own (`dwp`), for the file
    /// at `path`.
    pub(super) fn package(&self, path: &Path) -> Option<Image<'static>> {
        let mut package = path.as_os_str().to_owned();
        package.push(".dwp");
        Some(self.open(package.into())?.1)
    }

    fn by_build_id(&self, id: &[u8]) -> Option<Found> {
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, rest) = hex.split_at_checked(2).filter(|(_, rest)| !rest.is_empty())?;
        let found = self.open(format!("{DEBUG}/.build-id/{first}/{rest}.debug").into())?;
        (build_id(&found.1.elf()) == Some(id)).then_some(found)
    }

    fn by_link(&self, module: &Elf, path: &Path) -> Option<Found> {
        let (name, checksum) = module.gnu_debuglink().ok()??;
        let name = Path::new(OsStr::from_bytes(name)).file_name()?;
        let beside = path.parent()?;
        let apart = Path::new(DEBUG).join(beside.strip_prefix("/").ok()?);
        let places = [beside.join(name), beside.join(".debug").join(name), apart.join(name)];
        let is_it = |(found, image): &Found| found != path && crc32fast::hash(image.bytes()) == checksum;
        places.into_iter().filter_map(|place| self.open(place)).find(is_it)
    }

    /// Opens a regular file below the root.
    fn open(&self, path: PathBuf) -> Option<Found> {
        let file = File::from(self.open_below(&path)?);
        file.metadata().ok().filter(|found| found.is_file())?;
        let image = Image::open(map_file(&file).ok()?).ok()?;
        Some((path, image))
    }

    fn open_below(&self, path: &Path) -> Option<OwnedFd> {
        // A pipe must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(self.root.as_ref()?, path, flags, Mode::empty(), resolve).ok()
    }
}

fn build_id<'a>(elf: &Elf<'a>) -> Option<&'a [u8]> {
    elf.build_id().ok()?
}
