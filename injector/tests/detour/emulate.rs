//! Random functions, run with and without a detour in this very process: every
//! way that a plan can take must leave results and callee-saved registers alone.

#![expect(unsafe_code)]

use crate::target::counting_hook;
use iced_x86::Register;
use prof_injector::Pid;
use prof_injector::detour::{Function, Holes, Hook, Limits, Plan, Planner, Way, arm, arm_all_stopped};
use prof_injector::detour::{disarm, disarm_all_stopped};
use prof_injector::process::Maps;
use proptest::prelude::*;
use std::arch::asm;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const PAGE: u64 = 4096;
/// Where the function, the hook and their data lie; nothing else does, far around.
const HOME: u64 = 0x2a00_0000_0000;
const FUNCTION: u64 = HOME + 0x100;
const HOOK: u64 = HOME + 0x800;
const ENTRY: u64 = HOME + PAGE;
const CELL: u64 = ENTRY + 0x800;
const HOME_BYTES: u64 = 2 * PAGE;
/// Most plans that are tried of one function.
const PLANS: usize = 12;

/// A piece of a prologue.
#[derive(Clone, Debug)]
enum Piece {
    /// Pushes a callee-saved register and moves an argument into it.
    Save(usize, usize),
    /// `push rax`.
    Align,
    /// `push imm8`.
    PushConstant(i8),
    /// `sub rsp,n; mov [rsp],rdi`.
    Room(u8),
    /// `lea r10,[rdi+n]`.
    Lea(i8),
    /// `mov eax, imm32`.
    Constant(u32),
    /// `xor eax,eax`.
    Zero,
    /// `cmp byte [rip+cell],n`.
    Compare(u8),
    /// `nop dword [rax+rax+n]`.
    Nop(u32),
    /// `mov r11, imm64`.
    Wide(u64),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => (0..6_usize, 0..6_usize).prop_map(|(register, argument)| Piece::Save(register, argument)),
        1 => Just(Piece::Align),
        1 => any::<i8>().prop_map(Piece::PushConstant),
        2 => (1..31_u8).prop_map(|words| Piece::Room(words * 8)),
        1 => any::<i8>().prop_map(Piece::Lea),
        1 => any::<u32>().prop_map(Piece::Constant),
        1 => Just(Piece::Zero),
        1 => any::<u8>().prop_map(Piece::Compare),
        1 => any::<u32>().prop_map(Piece::Nop),
        1 => any::<u64>().prop_map(Piece::Wide),
    ]
}

/// How the function begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Opening {
    Plain,
    Endbr,
    /// `test rdi,rdi; je` to the end: only for what frees.
    NullTest,
    /// A bare jump to the rest.
    Jump,
}

const CALLEE_SAVED: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// Builds a function that folds its arguments, and all registers that its
/// prologue sets, into its result.
struct Builder {
    code: Vec<u8>,
    set: Vec<Register>,
    restore: Vec<Vec<u8>>,
}

impl Builder {
    fn build(hook: Hook, opening: Opening, pieces: &[Piece]) -> Vec<u8> {
        let mut builder = Builder { code: Vec::new(), set: hook.arguments().to_vec(), restore: Vec::new() };
        let null_exit = builder.open(hook, opening);
        pieces.iter().for_each(|piece| builder.piece(hook, piece));
        builder.fold();
        let restore = builder.restore.split_off(0);
        restore.into_iter().rev().for_each(|bytes| builder.code.extend(bytes));
        builder.code.push(0xc3);
        if let Some(displacement) = null_exit {
            let target = i32::try_from(builder.code.len() - displacement - 4).expect("a small function");
            builder.code[displacement..displacement + 4].copy_from_slice(&target.to_le_bytes());
            builder.code.extend([0x31, 0xc0, 0xc3]);
        }
        builder.code
    }

    fn open(&mut self, hook: Hook, opening: Opening) -> Option<usize> {
        match opening {
            Opening::Plain => {}
            Opening::Endbr => self.code.extend([0xf3, 0x0f, 0x1e, 0xfa]),
            Opening::NullTest if hook.kind() == Hook::Free.kind() => {
                self.code.extend([0x48, 0x85, 0xff, 0x0f, 0x84, 0, 0, 0, 0]);
                return Some(5);
            }
            Opening::NullTest => {}
            Opening::Jump => {
                self.code.extend([0xe9, 0x40, 0, 0, 0]);
                self.code.resize(0x45, 0xcc);
            }
        }
        None
    }

    fn piece(&mut self, hook: Hook, piece: &Piece) {
        match piece {
            Piece::Save(register, argument) => self.save(CALLEE_SAVED[*register], hook, *argument),
            Piece::Align => self.with_restore(&[0x50], &[0x59]),
            Piece::PushConstant(value) => self.with_restore(&[0x6a, value.cast_unsigned()], &[0x59]),
            Piece::Room(bytes) => self.room(*bytes),
            Piece::Lea(n) => self.setting(Register::R10, &[0x4c, 0x8d, 0x57, n.cast_unsigned()]),
            Piece::Constant(value) => {
                self.setting(Register::RAX, &[&[0xb8], &value.to_le_bytes()[..]].concat());
            }
            Piece::Zero => self.setting(Register::RAX, &[0x31, 0xc0]),
            Piece::Compare(value) => self.compare(*value),
            Piece::Nop(n) => self.code.extend([&[0x0f, 0x1f, 0x84, 0], &n.to_le_bytes()[..]].concat()),
            Piece::Wide(value) => {
                self.setting(Register::R11, &[&[0x49, 0xbb], &value.to_le_bytes()[..]].concat());
            }
        }
    }

    fn save(&mut self, register: Register, hook: Hook, argument: usize) {
        let source = hook.arguments()[argument % hook.arguments().len()];
        let (extension, low) = split(register);
        let prefix: &[u8] = if extension == 1 { &[0x41] } else { &[] };
        self.with_restore(&[prefix, &[0x50 | low]].concat(), &[prefix, &[0x58 | low]].concat());
        let (source_extension, source_low) = split(source);
        let rex = 0x48 | source_extension << 2 | extension;
        self.setting(register, &[rex, 0x89, 0xc0 | source_low << 3 | low]);
    }

    fn room(&mut self, bytes: u8) {
        if bytes < 128 {
            self.with_restore(&[0x48, 0x83, 0xec, bytes], &[0x48, 0x83, 0xc4, bytes]);
        } else {
            let restore = [0x48, 0x81, 0xc4, bytes, 0, 0, 0];
            self.with_restore(&[0x48, 0x81, 0xec, bytes, 0, 0, 0], &restore);
        }
        self.code.extend([0x48, 0x89, 0x3c, 0x24]);
    }

    fn compare(&mut self, value: u8) {
        let next = FUNCTION + self.code.len() as u64 + 7;
        let displacement = i32::try_from(CELL - next).expect("near");
        self.code.extend([0x80, 0x3d]);
        self.code.extend(displacement.to_le_bytes());
        self.code.push(value);
    }

    /// For every register set: `add rax,reg; imul rax,rax,odd`.
    fn fold(&mut self) {
        if !self.set.contains(&Register::RAX) {
            self.code.extend([0x31, 0xc0]);
        }
        for register in self.set.clone() {
            let (extension, low) = split(register);
            self.code.extend([0x48 | extension << 2, 0x01, 0xc0 | low << 3]);
            self.code.extend([0x48, 0x69, 0xc0, 0x35, 0x01, 0x00, 0x01]);
        }
    }

    fn setting(&mut self, register: Register, code: &[u8]) {
        self.code.extend(code);
        if !self.set.contains(&register) {
            self.set.push(register);
        }
    }

    fn with_restore(&mut self, code: &[u8], restore: &[u8]) {
        self.code.extend(code);
        self.restore.push(restore.to_vec());
    }
}

fn split(register: Register) -> (u8, u8) {
    let number = u8::try_from(register.number()).expect("sixteen registers");
    (number >> 3, number & 7)
}

/// One at a time: they share an address.
static STAGE: Mutex<()> = Mutex::new(());

/// A mapping at a fixed place of this process.
struct Mapped(Range<u64>);

impl Mapped {
    fn at(range: Range<u64>) -> Mapped {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let len = usize::try_from(range.end - range.start).expect("small");
        // SAFETY: the kernel refuses an address that is in use.
        let got = unsafe { libc::mmap(range.start as *mut _, len, protection, flags, -1, 0) };
        assert_eq!(got as u64, range.start, "the place is free");
        Mapped(range)
    }

    fn write(&self, addr: u64, bytes: &[u8]) {
        assert!(self.0.start <= addr && addr + bytes.len() as u64 <= self.0.end);
        // SAFETY: the mapping is ours, writable, and holds the range.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), addr as *mut u8, bytes.len()) };
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let len = usize::try_from(self.0.end - self.0.start).expect("small");
        // SAFETY: nobody executes there any more.
        unsafe { libc::munmap(self.0.start as *mut _, len) };
    }
}

/// A function on the stage, and how often its hook ran.
struct Stage {
    home: Mapped,
    function: Function,
    memory: File,
}

impl Stage {
    fn set(hook: Hook, code: &[u8]) -> Stage {
        let home = Mapped::at(HOME..HOME + HOME_BYTES);
        home.write(FUNCTION, code);
        home.write(HOOK, &counting_hook(hook.entry_register()));
        home.write(CELL, &[7]);
        let mut padded = code.to_vec();
        padded.resize(code.len() + 8, 0);
        let function = Function {
            hook,
            name: "function",
            module: "stage".into(),
            addr: FUNCTION,
            size: code.len(),
            code: padded,
            inward: Vec::new(),
        };
        let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem").expect("our own");
        Stage { home, function, memory }
    }

    fn planner(&self) -> Planner {
        let maps = Maps::read(Path::new("/proc/self/maps")).expect("readable");
        Planner::new(Holes::new(&maps, &Limits::read(Pid::this()).expect("readable")))
    }

    /// Puts a plan's island there.
    fn install(&self, plan: &Plan) -> Mapped {
        let island = plan.assemble(ENTRY, HOOK);
        let pages = Mapped::at(plan.pages());
        pages.write(island.addr, &island.bytes);
        self.home.write(ENTRY, &[island.trampoline_addr.to_le_bytes(), [0; 8]].concat());
        pages
    }

    fn count(&self) -> u64 {
        // SAFETY: the home is mapped, and the hook counts atomically.
        unsafe { std::sync::atomic::AtomicU64::from_ptr((ENTRY + 8) as *mut u64) }.load(Ordering::SeqCst)
    }

    fn arm(&self, plan: &Plan) {
        let entry = plan.entry(0);
        if plan.way.needs_all_stopped() {
            arm_all_stopped(&self.memory, &entry, &[]).expect("as planned");
        } else {
            arm(&self.memory, &entry).expect("as planned");
        }
    }

    fn disarm(&self, plan: &Plan) {
        let entry = plan.entry(0);
        if plan.way.needs_all_stopped() {
            disarm_all_stopped(&self.memory, &entry, &[]).expect("as armed");
        } else {
            disarm(&self.memory, &entry).expect("as armed");
        }
    }
}

/// Calls the function with known callee-saved registers and checks them after.
fn call(arguments: [u64; 6]) -> u64 {
    const MARKS: [u64; 4] = [0x1212_1212_1212, 0x1313_1313_1313, 0x1414_1414_1414, 0x1515_1515_1515];
    let [rdi, rsi, rdx, rcx, r8, r9] = arguments;
    let (result, changed, r12, r13, r14, r15): (u64, u64, u64, u64, u64, u64);
    // SAFETY: a function on the stage keeps to the System V convention, or the
    // test has found what it looks for.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov rbx, r12",
            "mov rbp, r13",
            "call rax",
            "xor rbx, r12",
            "xor rbp, r13",
            "or rbx, rbp",
            "mov r11, rbx",
            "pop rbp",
            "pop rbx",
            inout("rax") FUNCTION => result,
            inout("rdi") rdi => _, inout("rsi") rsi => _, inout("rdx") rdx => _,
            inout("rcx") rcx => _, inout("r8") r8 => _, inout("r9") r9 => _,
            inout("r12") MARKS[0] => r12, inout("r13") MARKS[1] => r13,
            inout("r14") MARKS[2] => r14, inout("r15") MARKS[3] => r15,
            out("r10") _, out("r11") changed,
        );
    }
    assert_eq!(([r12, r13, r14, r15], changed), (MARKS, 0), "callee-saved registers changed");
    result
}

const ARGUMENTS: [[u64; 6]; 2] = [[1, 2, 3, 4, 5, 6], [u64::MAX, 1 << 40, 0x1234_5678_9abc, 7, !5, 1 << 63]];

/// Tries one plan after another, and returns the ways that were taken.
fn check(hook: Hook, code: &[u8]) -> Vec<Way> {
    let _alone = STAGE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let stage = Stage::set(hook, code);
    let expected = ARGUMENTS.map(call);
    let mut planner = stage.planner();
    let mut ways = Vec::new();
    while let Ok(plan) = planner.plan(&stage.function, &stage.function.code) {
        let island = stage.install(&plan);
        stage.arm(&plan);
        assert_eq!(ARGUMENTS.map(call), expected, "{plan:x?}");
        assert_eq!(stage.count(), 2, "{plan:x?}");
        stage.disarm(&plan);
        assert_eq!(ARGUMENTS.map(call), expected, "{plan:x?}");
        assert_eq!(stage.count(), 2, "{plan:x?}");
        drop(island);
        planner.lost(&plan);
        ways.push(plan.way);
        if plan.way == Way::FiveBytes || ways.len() == PLANS {
            break;
        }
    }
    ways
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_detoured_function_does_what_it_did(
        hook in prop::sample::select(Hook::ALL.to_vec()),
        opening in prop::sample::select(vec![Opening::Plain, Opening::Endbr, Opening::NullTest, Opening::Jump]),
        pieces in prop::collection::vec(piece(), 0..9),
    ) {
        let ways = check(hook, &Builder::build(hook, opening, &pieces));
        prop_assert!(!ways.is_empty());
        if opening == Opening::Jump {
            prop_assert!(ways.contains(&Way::JumpTop));
        }
    }
}

#[test]
fn all_one_byte_ways_are_exercised() {
    // push rbx; mov rbx,rdi; sub rsp,8; mov rax,rbx; add rsp,8; pop rbx; ret
    let code =
        [0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 8, 0x48, 0x89, 0xd8, 0x48, 0x83, 0xc4, 8, 0x5b, 0xc3];
    let ways = check(Hook::Malloc, &code);
    for way in [Way::OneByte, Way::RexByte, Way::FiveBytes] {
        assert!(ways.contains(&way), "{ways:?}");
    }
}

#[test]
fn a_detour_is_toggled_under_callers() {
    const TOGGLES: usize = 20_000;
    let _alone = STAGE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let pieces = [Piece::Save(2, 0), Piece::Save(1, 0), Piece::Room(16), Piece::Compare(7), Piece::Lea(3)];
    let stage = Stage::set(Hook::Malloc, &Builder::build(Hook::Malloc, Opening::Plain, &pieces));
    let mut planner = stage.planner();
    while let Ok(plan) = planner.plan(&stage.function, &stage.function.code) {
        if plan.way.needs_all_stopped() {
            break;
        }
        let island = stage.install(&plan);
        let (stop, expected) = (AtomicBool::new(false), call(ARGUMENTS[1]));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(call(ARGUMENTS[1]), expected);
                    }
                });
            }
            for _ in 0..TOGGLES / 2 {
                stage.arm(&plan);
                stage.disarm(&plan);
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(stage.count() > 0, "{plan:x?}");
        drop(island);
        planner.lost(&plan);
    }
}
