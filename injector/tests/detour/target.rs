//! The C program beside this file: built once, started in a given surrounding,
//! told what to do.

use prof_injector::Pid;
use prof_injector::detour::{Found, Function, Holes, Limits, Plan, Planner, find};
use prof_injector::process::Process;
use prof_shared::region::Entry;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

/// A running target.
pub struct Target {
    child: Child,
    conversation: Option<Conversation>,
    /// It, looked at from outside.
    pub process: Process,
    /// Its memory.
    pub memory: File,
}

impl Target {
    /// Starts it by way of a shell line that ends in `"$0"`.
    pub fn start(shell: &str) -> Target {
        Target::start_program(program(), shell)
    }

    /// Starts it as a program of fixed position.
    pub fn start_fixed() -> Target {
        Target::start_program(fixed_program(), "\"$0\"")
    }

    fn start_program(program: &Path, shell: &str) -> Target {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {shell}"), &program.to_string_lossy()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut conversation = Conversation { commands, answers };
        // Before the answer it may still be the shell, with another memory.
        conversation.tell("ready");
        let pid = Pid::from_raw(child.id().cast_signed());
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
        let process = Process::open(pid).expect("running");
        Target { child, conversation: Some(conversation), process, memory: memory.expect("our own child") }
    }

    /// Has it do something, and returns how many rounds of load it has made.
    pub fn tell(&mut self, command: &str) -> u64 {
        self.conversation.as_mut().expect("not finished").tell(command)
    }

    /// Ends the load and the target; both must be without a fault.
    pub fn finish(mut self) {
        self.tell("finish");
        self.conversation = None;
        assert!(self.child.wait().expect("a child").success());
    }

    /// The functions to detour.
    pub fn functions(&self) -> Vec<Function> {
        let modules = self.process.modules(&self.process.maps().expect("readable"));
        let Found { functions, skipped } = find(&modules);
        assert_eq!(skipped, []);
        functions
    }

    /// A planner for it as it is now.
    pub fn planner(&self) -> Planner {
        let limits = Limits::read(self.process.pid()).expect("readable");
        Planner::new(Holes::new(&self.process.maps().expect("readable"), &limits))
    }

    /// Plans all functions, none of which may be refused.
    pub fn plans(&self) -> Vec<Plan> {
        let mut planner = self.planner();
        let plan = |function: &Function| planner.plan(function, &self.text(function));
        self.functions().iter().map(plan).collect::<Result<_, _>>().expect("every entry has a way")
    }

    /// What it has in place of a function's code.
    pub fn text(&self, function: &Function) -> Vec<u8> {
        self.read(function.addr, function.code.len())
    }

    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, addr).expect("mapped");
        bytes
    }

    pub fn write(&self, addr: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, addr).expect("mapped");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Commands and answers, line by line.
struct Conversation {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Conversation {
    fn tell(&mut self, command: &str) -> u64 {
        writeln!(self.commands, "{command}").expect("the target takes commands");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the target answers");
        let rounds = answer.strip_prefix("ok ").and_then(|rest| rest.split(' ').next());
        let rounds = rounds.unwrap_or_else(|| panic!("{command}: the target says {answer:?}"));
        rounds.parse().expect("a number")
    }
}

/// Detours whose hooks count and go on to the original.
///
/// ```text
///  page:  64 bytes an entry { original, count, … }   then one hook a register
/// ```
pub struct Counting {
    pub plans: Vec<Plan>,
    pub entries: Vec<Entry>,
    page: u64,
}

impl Counting {
    /// Maps and writes islands and hooks; nothing is armed.
    pub fn install(target: &mut Target, plans: Vec<Plan>) -> Counting {
        const PAGE: u64 = 4096;
        for pages in prof_injector::detour::mappings(plans.iter().map(Plan::pages)) {
            target.tell(&format!("map {:x} {:x}", pages.start, pages.end - pages.start));
        }
        let page = plans[0].pages().end + PAGE;
        target.tell(&format!("map {page:x} {PAGE:x}"));
        let entries = plans.iter().map(|plan| plan.entry(0)).collect();
        let counting = Counting { plans, entries, page };
        for (index, plan) in counting.plans.iter().enumerate() {
            let hook_addr = page + 2048 + 16 * index as u64;
            target.write(hook_addr, &counting_hook(plan.hook.entry_register()));
            let island = plan.assemble(counting.cell(index), hook_addr);
            target.write(island.addr, &island.bytes);
            target.write(counting.cell(index), &island.trampoline_addr.to_le_bytes());
        }
        counting
    }

    fn cell(&self, index: usize) -> u64 {
        self.page + 64 * index as u64
    }

    /// How often each hook ran.
    pub fn counts(&self, target: &Target) -> Vec<(&'static str, u64)> {
        let count = |index| {
            let bytes = target.read(self.cell(index) + 8, 8);
            u64::from_le_bytes(bytes.try_into().expect("eight"))
        };
        self.plans.iter().enumerate().map(|(index, plan)| (plan.name, count(index))).collect()
    }
}

/// `lock inc qword [reg+8]; jmp [reg]`.
pub fn counting_hook(register: iced_x86::Register) -> Vec<u8> {
    let number = u8::try_from(register.number()).expect("sixteen registers");
    let (extension, low) = (number >> 3, number & 7);
    vec![0xf0, 0x48 | extension, 0xff, 0x40 | low, 8, 0x40 | extension, 0xff, 0x20 | low]
}

/// The built program.
fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| build("target.c", "detour_target", &["-pthread"]));
    &PROGRAM
}

/// The same, of fixed position.
fn fixed_program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> =
        LazyLock::new(|| build("target.c", "detour_fixed_target", &["-pthread", "-no-pie", "-fno-pie"]));
    &PROGRAM
}

/// The built library of 24 MiB.
pub fn large_library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> =
        LazyLock::new(|| build("large.c", "liblarge.so", &["-shared", "-fPIC"]));
    &LIBRARY
}

/// Compiles to a name of this process's own and moves that into place: another
/// test process may do the same.
fn build(source: &str, output: &str, options: &[&str]) -> PathBuf {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(output);
    let own = output.with_extension(std::process::id().to_string());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detour").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-fno-builtin", "-Wall", "-Wextra", "-o"]).arg(&own).arg(source).args(options);
    assert!(compiler.status().expect("a C compiler").success());
    std::fs::rename(own, &output).expect("one directory");
    output
}
