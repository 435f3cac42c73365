//! The version of a CPython before 3.11, which exports no number for it.
//!
//! `Py_GetVersion` (`Python/getversion.c`) prints `sys.version` into a static
//! buffer while the interpreter starts:
//!
//! ```text
//!  \0 3.8.18 (default, May  9 2026, 07:33:04) \n[GCC 12.2.0] \0
//! ```
//!
//! That buffer lies in the module's zeroed data, behind the parts that come from
//! the file, and is there in stripped binaries too.

use super::Version;
use prof_injector::process::{Maps, Memory, Module};

/// More than any module's static data that could hold the buffer.
const DATA_MAX: u64 = 64 << 20;
/// The longest `PY_VERSION` that is looked at.
const VERSION_MAX: usize = 24;
/// The longest build information (`%.80s`).
const BUILD_MAX: usize = 80;

/// Looks for the buffer in the writable data of `module`.
pub fn read(memory: &Memory, maps: &Maps, module: &Module) -> Option<Version> {
    module.writable(maps).find_map(|range| {
        let mut data = vec![0; (range.end - range.start).min(DATA_MAX) as usize];
        let len = memory.read_some(range.start, &mut data).ok()?;
        search(&data[..len])
    })
}

fn search(data: &[u8]) -> Option<Version> {
    let starts = data.windows(2).enumerate().filter(|(_, pair)| pair == b" (");
    starts.map(|(space, _)| space).find_map(|space| {
        let head = &data[space.saturating_sub(VERSION_MAX)..space];
        let text = head.rsplit(|&byte| byte == 0).next()?;
        let is_whole = text.len() < head.len() || text.len() == space;
        let version = std::str::from_utf8(text).ok().filter(|_| is_whole).and_then(Version::parse)?;
        has_compiler(&data[space + 2..]).then_some(version)
    })
}

/// Whether `build) [compiler` or `build) \n[compiler` follows.
fn has_compiler(rest: &[u8]) -> bool {
    let near = &rest[..rest.len().min(BUILD_MAX + 4)];
    let build = near.windows(2).position(|pair| pair == b") ");
    build.is_some_and(|at| {
        let compiler = &near[at + 2..];
        compiler.strip_prefix(b"\n").unwrap_or(compiler).starts_with(b"[")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(data: &[u8]) -> Option<String> {
        search(data).map(|version| version.to_string())
    }

    #[test]
    fn the_buffer_is_found_among_other_data() {
        let buffer = b"\x01 (x) \0\x003.8.18 (default, May  9 2026, 07:33:04) \n[GCC 12.2.0]\0\0";
        assert_eq!(found(buffer).as_deref(), Some("3.8.18"));
        assert_eq!(found(b"3.10.0rc2 (main, Jan  1 2021) [Clang 14]\0").as_deref(), Some("3.10.0rc2"));
    }

    #[test]
    fn other_texts_are_passed_over() {
        for text in [
            "13.8.1.2 (default) [GCC]",
            "3.8.18 (default)",
            "3.8.18 (default) GCC",
            "x3.8.18 (default) [GCC]",
            "3.8.18(default) [GCC]",
            "3.8.18 (",
            " (",
            "",
        ] {
            assert_eq!(found(text.as_bytes()), None, "{text}");
        }
    }
}
