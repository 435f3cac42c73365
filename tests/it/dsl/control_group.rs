//! A control group of its own for a target, by version 1 or 2 as the machine has.

use super::{Target, within};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where this process is in the hierarchy of a controller, "" for version 2.
fn own_path(controller: &str) -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut lines = groups.lines().map(|line| line.splitn(3, ':'));
    lines.find_map(|mut parts| (parts.nth(1)? == controller).then(|| parts.next().map(str::to_owned))?)
}

/// A new group, removed when dropped: drop the target before.
pub struct ControlGroup {
    dir: PathBuf,
    is_unified: bool,
}

impl ControlGroup {
    /// Makes a group of `controller` (`memory` or `freezer`) beside the test's own;
    /// `None` where that is not possible.
    pub fn new(controller: &str, name: &str) -> Option<ControlGroup> {
        match own_path(controller) {
            Some(own) => {
                let file = if controller == "memory" { "memory.limit_in_bytes" } else { "freezer.state" };
                ControlGroup::make(&format!("/sys/fs/cgroup/{controller}"), &own, false, name, file)
            }
            None => {
                let file = if controller == "memory" { "memory.max" } else { "cgroup.freeze" };
                ControlGroup::make("/sys/fs/cgroup", &own_path("")?, true, name, file)
            }
        }
    }

    /// Makes a group of version 2, which can freeze without a controller.
    pub fn unified(name: &str) -> Option<ControlGroup> {
        let beside_version_1 = "/sys/fs/cgroup/unified";
        let root = if Path::new(beside_version_1).exists() { beside_version_1 } else { "/sys/fs/cgroup" };
        ControlGroup::make(root, &own_path("")?, true, &format!("v2-{name}"), "cgroup.freeze")
    }

    /// `file` must be in a group that is good for anything.
    fn make(root: &str, own: &str, is_unified: bool, name: &str, file: &str) -> Option<ControlGroup> {
        let name = format!("prof-test-{name}-{}", std::process::id());
        // A container may show its own group as the root.
        let own = Path::new(root).join(own.trim_start_matches('/'));
        let parent = if own.exists() { own } else { PathBuf::from(root) };
        let group = ControlGroup { dir: parent.join(name), is_unified };
        std::fs::create_dir(&group.dir).ok()?;
        group.dir.join(file).exists().then_some(group)
    }

    /// Moves a target into it.
    #[track_caller]
    pub fn take(&self, target: &Target) {
        self.write("cgroup.procs", &target.pid());
    }

    /// Bytes that its members may use.
    #[track_caller]
    pub fn limit_memory(&self, bytes: u64) {
        let file = if self.is_unified { "memory.max" } else { "memory.limit_in_bytes" };
        self.write(file, &bytes.to_string());
    }

    /// Bytes that its members use.
    pub fn memory(&self) -> u64 {
        let file = if self.is_unified { "memory.current" } else { "memory.usage_in_bytes" };
        self.read(file).trim().parse().expect("a number")
    }

    /// How often the kernel killed a member for want of memory.
    pub fn kills(&self) -> u64 {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        let text = self.read(file);
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Freezes its members, or lets them go on.
    #[track_caller]
    pub fn freeze(&self, is_frozen: bool) {
        match self.is_unified {
            true => self.write("cgroup.freeze", if is_frozen { "1" } else { "0" }),
            false => self.write("freezer.state", if is_frozen { "FROZEN" } else { "THAWED" }),
        }
        let has_come = || match self.is_unified {
            true => self.read("cgroup.events").contains("frozen 1") == is_frozen,
            false => self.read("freezer.state").trim() == if is_frozen { "FROZEN" } else { "THAWED" },
        };
        within(Duration::from_secs(10), || has_come().then_some(())).expect("the group freezes and thaws");
    }

    #[track_caller]
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).unwrap_or_else(|error| panic!("{file} = {text}: {error}"));
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.join(file)).expect("the group is there")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // It is empty a moment after its last member has ended.
        within(Duration::from_secs(2), || std::fs::remove_dir(&self.dir).ok());
    }
}
