//! A process seen from outside, to compare before and after.

use super::Target;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What must be the same after `prof` has left.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Mappings. The heap and the main stack may have grown: their ends are left out.
    pub maps: Vec<String>,
    /// A hash of the bytes of every executable mapping.
    pub text: BTreeMap<String, u64>,
    /// Open files, by number.
    pub fds: BTreeMap<String, String>,
    /// Of each thread: blocked, ignored and caught signals, and the tracer.
    pub threads: BTreeMap<String, Vec<String>>,
}

impl Snapshot {
    /// Looks at a target.
    pub fn of(target: &Target) -> Snapshot {
        let dir = target.proc_dir();
        let maps = read(&dir.join("maps"));
        Snapshot {
            maps: maps.lines().map(mapping).collect(),
            text: text(&dir, &maps),
            fds: fds(&dir),
            threads: threads(&dir),
        }
    }

    /// Panics with every difference between `self` (before) and `after`.
    #[track_caller]
    pub fn same_as(&self, after: &Snapshot) {
        same_lines(&self.maps, &after.maps);
        assert_eq!(self.fds, after.fds, "the open files differ");
        assert_eq!(self.threads, after.threads, "the threads differ");
        self.same_text_as(after);
    }

    /// The same for a target that allocates meanwhile: anonymous memory may come and go.
    #[track_caller]
    pub fn same_but_for_heap(&self, after: &Snapshot) {
        let named = |snapshot: &Snapshot| {
            let is_named = |line: &&String| line.contains('/') || line.contains('[');
            snapshot.maps.iter().filter(is_named).cloned().collect::<Vec<_>>()
        };
        same_lines(&named(self), &named(after));
        assert_eq!(self.fds, after.fds, "the open files differ");
        self.same_text_as(after);
    }

    /// Panics unless the code is the same, byte for byte: what can be asked of a
    /// target that runs, whose heap and threads change meanwhile. It may have loaded
    /// a library (3.8 loads libgcc_s where its first thread ends).
    #[track_caller]
    pub fn same_text_as(&self, after: &Snapshot) {
        let changed = self.text.iter().filter(|(line, hash)| after.text.get(*line) != Some(hash));
        let changed = changed.map(|(line, _)| format!("changed or gone: {line}"));
        let is_library = |line: &str| line.contains(" /") && !line.contains("memfd:");
        let new = after.text.keys().filter(|line| !self.text.contains_key(*line) && !is_library(line));
        let new = new.map(|line| format!("new: {line}"));
        let differences: Vec<_> = changed.chain(new).collect();
        assert!(differences.is_empty(), "the code differs:\n{}", differences.join("\n"));
    }
}

#[track_caller]
fn same_lines(before: &[String], after: &[String]) {
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    let maps: Vec<_> = gone.chain(new).collect();
    assert!(maps.is_empty(), "the mappings differ:\n{}", maps.join("\n"));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn mapping(line: &str) -> String {
    let (range, rest) = line.split_once(' ').expect("a line of maps");
    let (start, end) = range.split_once('-').expect("a range");
    match rest {
        _ if rest.ends_with("[heap]") => format!("{start}- {rest}"),
        _ if rest.ends_with("[stack]") => format!("-{end} {rest}"),
        _ => line.to_owned(),
    }
}

fn text(dir: &Path, maps: &str) -> BTreeMap<String, u64> {
    let memory = std::fs::File::open(dir.join("mem")).expect("the target's memory can be read");
    let executable =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|flags| flags.contains('x')));
    let hash = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let mut bytes = vec![0; (u64::from_str_radix(end, 16).ok()? - start) as usize];
        // [vsyscall] cannot be read, and nobody can change it.
        memory.read_exact_at(&mut bytes, start).ok()?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Some((line.to_owned(), hasher.finish()))
    };
    executable.filter_map(hash).collect()
}

fn fds(dir: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(dir.join("fd")).expect("the target runs").flatten();
    let describe = |entry: std::fs::DirEntry| {
        let link = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().ok()?, link.display().to_string()))
    };
    entries.filter_map(describe).collect()
}

fn threads(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let tasks = std::fs::read_dir(dir.join("task")).expect("the target runs").flatten();
    let fields = ["SigBlk:", "SigIgn:", "SigCgt:", "TracerPid:"];
    let describe = |task: std::fs::DirEntry| {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let wanted = status.lines().filter(|line| fields.iter().any(|field| line.starts_with(field)));
        Some((task.file_name().into_string().ok()?, wanted.map(str::to_owned).collect()))
    };
    tasks.filter_map(describe).collect()
}
