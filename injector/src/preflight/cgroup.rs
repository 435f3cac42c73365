//! What the control groups of a process leave it: cgroups(7), versions 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// What is known of the control groups of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confines {
    /// Bytes that it may still take before somebody in its group is killed; `None` without a
    /// limit. The page cache counts as room: it gives way.
    pub memory_room: Option<u64>,
    /// The same of the groups that this process is in too.
    pub shared_room: Option<u64>,
    /// Whether it is frozen.
    pub is_frozen: bool,
}

impl Confines {
    /// Of process `pid`. What cannot be read confines nothing.
    pub fn read(pid: crate::Pid) -> Confines {
        let groups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Confines::of(Path::new(ROOT), &groups(&pid.to_string()), &groups("self"))
    }

    /// `groups` and `own` are as in `/proc/PID/cgroup`: lines of `number:controllers:path`.
    fn of(root: &Path, groups: &str, own: &str) -> Confines {
        let mut confines = Confines::default();
        let own_path = |controllers: &str| {
            own.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(controllers)?.strip_prefix(':'))
        };
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let (mount, files) = match controllers {
                "" if root.join("unified").exists() => (&root.join("unified"), &VERSION_2),
                "" => (&root.to_owned(), &VERSION_2),
                "memory" | "freezer" => (&root.join(controllers), &VERSION_1),
                _ => continue,
            };
            let dirs = ancestors(mount, path);
            let shared = ancestors(mount, own_path(controllers).unwrap_or_default());
            for dir in &dirs {
                let Some(room) = files.memory_room(dir) else { continue };
                tighten(&mut confines.memory_room, room);
                if shared.contains(dir) {
                    tighten(&mut confines.shared_room, room);
                }
            }
            confines.is_frozen |= dirs.iter().any(|dir| files.is_frozen(dir));
        }
        confines
    }
}

fn tighten(room: &mut Option<u64>, new: u64) {
    *room = Some(room.map_or(new, |old| old.min(new)));
}

/// The group and those it is in.
fn ancestors(mount: &Path, path: &str) -> Vec<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|dir| dir.starts_with(mount)).map(Path::to_owned).collect()
}

/// How the files of a version are called.
struct Files {
    limit: &'static str,
    usage: &'static str,
    cache: [&'static str; 2],
    state: &'static str,
    frozen: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_inactive_file ", "total_active_file "],
    state: "freezer.state",
    frozen: "FROZEN",
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cache: ["inactive_file ", "active_file "],
    state: "cgroup.events",
    frozen: "frozen 1",
};
/// Version 1 spells "no limit" as the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

impl Files {
    fn memory_room(&self, dir: &Path) -> Option<u64> {
        let number = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number(self.limit).filter(|&limit| limit < NO_LIMIT)?;
        let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
        let of = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        let cache: u64 = self.cache.iter().filter_map(|name| of(name)).sum();
        Some(limit.saturating_sub(number(self.usage)?.saturating_sub(cache)))
    }

    fn is_frozen(&self, dir: &Path) -> bool {
        fs::read_to_string(dir.join(self.state))
            .is_ok_and(|text| text.lines().any(|line| line == self.frozen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("in the root")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_tightest_group_counts_and_cache_is_room() {
        let root = hierarchy(&[
            ("pod/memory.max", "1000000\n"),
            ("pod/memory.current", "900000\n"),
            ("pod/memory.stat", "anon 1\ninactive_file 30000\nactive_file 20000\n"),
            ("pod/app/memory.max", "max\n"),
            ("pod/app/memory.current", "800000\n"),
            ("memory.max", "not a limit"),
        ]);
        let of = |groups, own| Confines::of(root.path(), groups, own);
        let room = |memory_room, shared_room| Confines { memory_room, shared_room, is_frozen: false };
        assert_eq!(of("0::/pod/app\n", "0::/\n"), room(Some(150_000), None));
        assert_eq!(of("0::/pod/app\n", "1:cpu:/x\n0::/pod/other\n"), room(Some(150_000), Some(150_000)));
        assert_eq!(of("0::/\n", "0::/\n"), Confines::default());
    }

    #[test]
    fn version_1_has_other_names() {
        let root = hierarchy(&[
            ("memory/app/memory.limit_in_bytes", "5000\n"),
            ("memory/app/memory.usage_in_bytes", "6000\n"),
            ("memory/app/memory.stat", "total_inactive_file 100\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "6000\n"),
            ("freezer/app/freezer.state", "FROZEN\n"),
        ]);
        let confines = Confines::of(root.path(), "6:freezer:/app\n4:memory:/app\n3:cpuset:/\n0::/\n", "");
        assert_eq!(confines, Confines { memory_room: Some(0), shared_room: None, is_frozen: true });
    }

    #[test]
    fn frozen_is_told_by_events() {
        let root = hierarchy(&[("app/cgroup.events", "populated 1\nfrozen 1\n")]);
        assert!(Confines::of(root.path(), "0::/app\n", "").is_frozen);
        assert_eq!(Confines::of(root.path(), "nonsense\n0::\n", "nonsense"), Confines::default());
    }
}
