//! Targets: programs that check themselves, started, steered and judged.

use prof_injector::Pid;
use prof_injector::call::Caller;
use prof_injector::process::{Activity, Maps, Process, Tid};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Long enough for anything on a loaded machine.
pub const BUDGET: Duration = Duration::from_secs(20);

static VICTIM: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/victim.c");
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (fresh, program) = (dir.join(format!("victim-{}", std::process::id())), dir.join("victim"));
    let status = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&fresh).arg(source).status();
    assert!(status.expect("a C compiler").success());
    // Another run of these tests may be executing the old one.
    std::fs::rename(fresh, &program).unwrap();
    program
});

/// A running target; killed when dropped.
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    pub process: Process,
}

impl Target {
    /// The C program in `mode`, once it says that it is ready.
    pub fn victim(mode: &str) -> Target {
        Target::start(Command::new(&*VICTIM).arg(mode))
    }

    /// The same with its address space limited to `bytes`.
    pub fn confined_victim(mode: &str, bytes: u64) -> Target {
        let limit = format!("--as={bytes}");
        Target::start(Command::new("prlimit").arg(limit).arg(&*VICTIM).arg(mode))
    }

    /// An interpreter that runs `code`, which must print "ready".
    pub fn script(interpreter: &str, code: &str) -> Target {
        Target::start(Command::new(interpreter).args(["-c", code]))
    }

    fn start(command: &mut Command) -> Target {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let process = Process::open(Pid::from_raw(child.id() as i32)).unwrap();
        Target { stdin: child.stdin.take(), child, stdout, process }
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub fn main_thread(&self) -> Tid {
        Tid(self.pid().as_raw())
    }

    /// A caller for it, and its maps before anything was done.
    pub fn caller(&self) -> (Caller<'_>, Maps) {
        let maps = self.process.maps().unwrap();
        let modules = self.process.modules(&maps);
        (Caller::new(&self.process, &maps, &modules).unwrap(), maps)
    }

    /// Waits until the main thread is blocked in a system call.
    pub fn blocked(&self) -> i64 {
        let mut number = None;
        until("the target blocks", || {
            number = match self.process.activity(self.main_thread()) {
                Ok(Activity::Blocked { number, .. }) if number >= 0 => Some(number),
                _ => None,
            };
            number.is_some()
        });
        number.unwrap()
    }

    /// Writes to its stdin.
    pub fn send(&self, text: &str) {
        (&mut self.stdin.as_ref().unwrap()).write_all(text.as_bytes()).unwrap();
    }

    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// Ends its stdin; what it prints until it ends, which must be well.
    pub fn verdict(mut self) -> String {
        drop(self.stdin.take());
        let rest = self.rest();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status} after {rest:?}");
        rest
    }

    /// What it prints until it ends, however it does.
    pub fn output(mut self) -> String {
        self.rest()
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest.trim_end().to_owned()
    }

    /// Fails unless every thread is untraced, running or sleeping, and blocks what
    /// it did before.
    pub fn assert_untouched(&self, maps_before: &Maps) {
        for tid in self.process.tasks().unwrap() {
            let status = self.process.status(tid).unwrap();
            assert_eq!(status.tracer_pid, 0, "{tid}");
            assert_eq!(status.blocked & 1 << (libc::SIGTERM - 1), 0, "{tid} blocks signals");
        }
        assert_same_maps(maps_before, &self.process.maps().unwrap());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal.
pub fn kill(pid: Pid, signal: i32) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// Compares mappings; a heap and a stack may have grown.
fn assert_same_maps(before: &Maps, after: &Maps) {
    let lines = |maps: &Maps| -> Vec<_> {
        let fixed = maps.0.iter().filter(|m| m.name != "[heap]" && m.name != "[stack]");
        fixed.map(|m| (m.range.clone(), m.read, m.write, m.exec, m.name.clone())).collect()
    };
    assert_eq!(lines(before), lines(after));
}

/// Looks until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BUDGET, "{what}: not within {BUDGET:?}");
        std::thread::yield_now();
    }
}
