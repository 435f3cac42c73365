//! Lines of the target's source, where this machine has it.
//!
//! The names of files come from the target, and a page is made to be handed on: only
//! files of Python that everybody may read are shown, and only if they have not changed
//! since the recording.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::model::Metadata;

/// Bytes of a file that are read.
const LONGEST_FILE: u64 = 8 << 20;
/// Characters of a line that are shown.
const LONGEST_LINE: usize = 200;
const READABLE_BY_ALL: u32 = 0o004;

/// Finds lines.
pub struct Source {
    recorded_at_s: i64,
}

impl Source {
    /// For what was recorded then.
    pub fn new(metadata: &Metadata) -> Source {
        Source { recorded_at_s: i64::try_from(metadata.started_unix_ns / 1_000_000_000).unwrap_or(i64::MAX) }
    }

    /// The lines that can be read, of (number of the file, file, line).
    pub fn of<'f>(
        &self,
        wanted: impl Iterator<Item = (u32, &'f str, u32)>,
    ) -> BTreeMap<u32, BTreeMap<u32, String>> {
        let mut by_file: BTreeMap<(u32, &str), Vec<u32>> = BTreeMap::new();
        for (number, file, line) in wanted {
            by_file.entry((number, file)).or_default().push(line);
        }
        let read = |((number, file), lines): ((u32, &str), Vec<u32>)| Some((number, self.read(file, lines)?));
        by_file.into_iter().filter_map(read).collect()
    }

    /// The lines from `reach` before `line` to as many after it, as they are but for their
    /// ends; none if the file may not be shown.
    pub fn around(&self, file: &str, line: u32, reach: u32) -> Vec<(u32, String)> {
        let (first, last) = (line.saturating_sub(reach).max(1), line.saturating_add(reach));
        let Some(file) = self.open(file).filter(|_| line > 0) else { return Vec::new() };
        let lines = (1u32..).zip(BufReader::new(file.take(LONGEST_FILE)).split(b'\n'));
        let near = lines.skip(first as usize - 1).take_while(|&(number, _)| number <= last);
        let text =
            |line: Vec<u8>| String::from_utf8_lossy(&line).trim_end().chars().take(LONGEST_LINE).collect();
        near.map_while(|(number, line)| Some((number, text(line.ok()?)))).collect()
    }

    fn read(&self, file: &str, mut wanted: Vec<u32>) -> Option<BTreeMap<u32, String>> {
        wanted.sort_unstable();
        let text = BufReader::new(self.open(file)?.take(LONGEST_FILE));
        let mut lines = BTreeMap::new();
        for (number, line) in (1u32..).zip(text.split(b'\n')) {
            let line = line.ok()?;
            if wanted.binary_search(&number).is_ok() {
                let line = String::from_utf8_lossy(&line);
                lines.insert(number, line.trim().chars().take(LONGEST_LINE).collect());
            }
            if wanted.last().is_none_or(|&last| last <= number) {
                break;
            }
        }
        Some(lines)
    }

    fn open(&self, file: &str) -> Option<File> {
        if !file.starts_with('/') || !file.ends_with(".py") {
            return None;
        }
        // Without waiting for somebody to write, if it is a FIFO.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(file).ok()?;
        self.may_be_shown(&opened.metadata().ok()?).then_some(opened)
    }

    fn may_be_shown(&self, found: &fs::Metadata) -> bool {
        found.is_file() && found.mode() & READABLE_BY_ALL != 0 && found.mtime() <= self.recorded_at_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn lines_around_one() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("app.py");
        fs::write(&path, "one\n  two  \n\tthree\r\nfour").expect("room");
        let source = Source { recorded_at_s: i64::MAX };
        let around = |line, reach| {
            let lines = source.around(path.to_str().expect("plain"), line, reach);
            lines.into_iter().map(|(number, text)| format!("{number}{text}")).collect::<Vec<_>>()
        };
        assert_eq!(around(2, 1), ["1one", "2  two", "3\tthree"]);
        assert_eq!(around(4, 40), ["1one", "2  two", "3\tthree", "4four"]);
        assert_eq!(around(1, 0), ["1one"]);
        assert!(around(0, 9).is_empty() && around(9, 2).is_empty());
        assert!(source.around("/etc/passwd", 1, 1).is_empty());
    }

    #[test]
    fn only_what_everybody_may_read_and_nobody_has_changed() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("app.py");
        fs::write(&path, "import os\n  total = load() # \u{e9}\nlast").expect("room");
        let file = path.to_str().expect("plain");
        let lines = |recorded_at_s: i64, file: &str| {
            let wanted = [(7, file, 2), (7, file, 3), (7, file, 99)];
            let found = Source { recorded_at_s }.of(wanted.into_iter());
            found.get(&7).map(|lines| lines.values().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(lines(i64::MAX, file), ["total = load() # \u{e9}", "last"]);
        assert!(lines(0, file).is_empty(), "changed since");
        for unreadable in ["/etc/passwd", "app.py", "/dev/zero.py", ""] {
            assert!(lines(i64::MAX, unreadable).is_empty(), "{unreadable}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        assert!(lines(i64::MAX, file).is_empty(), "confidential");
    }
}
