//! Rows of an unwind table and their execution.
//!
//! *Finding* the row of a pc is somebody else's work (`.eh_frame`, tables); here
//! a row is only *executed*. Memory arrives as a closure, so the same code walks
//! the stack of a stopped thread, a copy of a stack, and the hook's own stack.
//! Everything is bounded and nothing panics: rows and memory may be garbage.
//!
//! ```text
//!   higher addresses
//!   │ caller's frame   │
//!   ├──────────────────┤ ◄─ CFA = the caller's sp
//!   │ return address   │    CFA − 8
//!   │ saved rbp, rbx … │    CFA + 8 × Saved
//!   │ locals           │
//!   └──────────────────┘ ◄─ sp
//! ```
//!
//! x86_64 System V only. Of the registers that a function saves, rbp and rbx are
//! followed: compilers base a CFA on no other one behind the innermost frame.

/// How the CFA is computed; a byte, so that any bit pattern is a valid value.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base(pub u8);

impl Base {
    /// There is code, but its rule does not fit into a row.
    pub const UNSUPPORTED: Base = Base(0);
    /// The outermost frame: it has no caller.
    pub const END: Base = Base(1);
    /// `CFA = rsp + offset`
    pub const SP: Base = Base(2);
    /// `CFA = rbp + offset`
    pub const BP: Base = Base(3);
    /// `CFA = rbx + offset`
    pub const BX: Base = Base(4);
    /// `CFA = *(rbp + offset)`, `Saved` counts from rbp: a function that realigns its stack.
    pub const AT_BP: Base = Base(5);
    /// `CFA = *(rsp + offset) + 8`: assembly that keeps the caller's sp on its stack.
    pub const AT_SP: Base = Base(6);
    /// `CFA = rsp + 8 + 8 × ((pc & 15) ≥ offset)`: the linker's PLT.
    pub const PLT: Base = Base(7);
    /// rsp is the address of a `ucontext`: the return of a signal handler.
    pub const SIGNAL: Base = Base(8);
}

/// Where a function saved a register, in words from the CFA (see [`Base::AT_BP`]).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved(pub i8);

impl Saved {
    /// Nowhere: the register still holds the caller's value.
    pub const SAME: Saved = Saved(i8::MIN);
}

/// The rule for every pc from `start` up to the next row.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// First pc, relative to the start of the module's text.
    pub start: u32,
    /// See [`Base`].
    pub offset: i32,
    /// How the CFA is computed.
    pub base: Base,
    /// Where rbp is.
    pub bp: Saved,
    /// Where rbx is.
    pub bx: Saved,
    reserved: u8,
}

const _: () = assert!(size_of::<Row>() == 12);
const _: () = assert!(size_of::<Regs>() == 32);

impl Row {
    /// A row that saves no register.
    pub const fn new(start: u32, base: Base, offset: i32) -> Row {
        Row { start, offset, base, bp: Saved::SAME, bx: Saved::SAME, reserved: 0 }
    }

    /// As it lies in a table.
    pub fn to_bytes(&self) -> [u8; size_of::<Row>()] {
        let (start, offset) = (self.start.to_ne_bytes(), self.offset.to_ne_bytes());
        let saved = [self.bp.0 as u8, self.bx.0 as u8];
        let mut bytes = [0; size_of::<Row>()];
        bytes[..4].copy_from_slice(&start);
        bytes[4..8].copy_from_slice(&offset);
        bytes[8] = self.base.0;
        bytes[9..11].copy_from_slice(&saved);
        bytes
    }

    /// Whether `other` says the same of its own range.
    pub fn has_rule_of(&self, other: &Row) -> bool {
        Row { start: 0, ..*self } == Row { start: 0, ..*other }
    }
}

/// The registers that a walk follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regs {
    /// rip: the next instruction, or where a call returns to.
    pub pc: u64,
    /// rsp.
    pub sp: u64,
    /// rbp.
    pub bp: u64,
    /// rbx.
    pub bx: u64,
}

/// The caller's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its registers.
    pub regs: Regs,
    /// Whether its pc was interrupted there rather than returned to, see [`lookup_pc`].
    pub is_interrupted: bool,
}

/// Why a walk went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The outermost frame was reached.
    End,
    /// The row says nothing usable.
    Unsupported,
    /// A word of the stack could not be read.
    Unreadable(u64),
    /// The CFA is not above the frame or not aligned.
    BadCfa(u64),
}

/// The pc to look up for a frame. A return address may lie behind the last
/// instruction of its function, so the call before it is meant.
pub fn lookup_pc(pc: u64, is_interrupted: bool) -> u64 {
    pc.wrapping_sub(u64::from(!is_interrupted))
}

/// Executes one row: from the registers of a frame to those of its caller.
pub fn exec(row: &Row, regs: &Regs, mut read: impl FnMut(u64) -> Option<u64>) -> Result<Next, Stop> {
    let mut word = |addr| read(addr).ok_or(Stop::Unreadable(addr));
    let offset = i64::from(row.offset);
    let cfa = match row.base {
        Base::END => return Err(Stop::End),
        Base::SIGNAL => return exec_signal(regs, word),
        Base::SP => regs.sp.wrapping_add_signed(offset),
        Base::BP => regs.bp.wrapping_add_signed(offset),
        Base::BX => regs.bx.wrapping_add_signed(offset),
        Base::AT_BP => word(regs.bp.wrapping_add_signed(offset))?,
        Base::AT_SP => word(regs.sp.wrapping_add_signed(offset))?.wrapping_add(8),
        Base::PLT => regs.sp.wrapping_add(if (regs.pc & 15) as i64 >= offset { 16 } else { 8 }),
        _ => return Err(Stop::Unsupported),
    };
    if cfa <= regs.sp || cfa & 7 != 0 {
        return Err(Stop::BadCfa(cfa));
    }
    let anchor = if row.base == Base::AT_BP { regs.bp } else { cfa };
    let mut saved = |register: u64, at: Saved| match at {
        Saved::SAME => Ok(register),
        Saved(words) => word(anchor.wrapping_add_signed(i64::from(words) * 8)),
    };
    let (bp, bx) = (saved(regs.bp, row.bp)?, saved(regs.bx, row.bx)?);
    let pc = word(cfa.wrapping_sub(8))?;
    Ok(Next { regs: Regs { pc, sp: cfa, bp, bx }, is_interrupted: false })
}

/// Where the registers begin in a `ucontext`, and how many are general.
const GREGS: u64 = 40;
const GREG_COUNT: u64 = 16;

/// Where a `ucontext` keeps the general registers.
pub fn saved_words(context: u64) -> impl Iterator<Item = u64> {
    (0..GREG_COUNT).map(move |index| context.wrapping_add(GREGS + 8 * index))
}

/// The interrupted registers, at their places in `struct ucontext` (Linux,
/// arch/x86/include/uapi/asm/sigcontext.h; glibc's `gregs` begin at 40).
fn exec_signal(regs: &Regs, mut word: impl FnMut(u64) -> Result<u64, Stop>) -> Result<Next, Stop> {
    let mut greg = |index: u64| word(regs.sp.wrapping_add(GREGS + 8 * index));
    let interrupted = Regs { bp: greg(10)?, bx: greg(11)?, sp: greg(15)?, pc: greg(16)? };
    Ok(Next { regs: interrupted, is_interrupted: true })
}

/// One frame of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkFrame {
    /// Its registers.
    pub regs: Regs,
    /// Whether its pc was interrupted there, see [`lookup_pc`].
    pub is_interrupted: bool,
    /// Its row, if there is one.
    pub row: Option<Row>,
}

impl WalkFrame {
    /// The address of its `ucontext`, if a signal handler returns to it.
    pub fn context(&self) -> Option<u64> {
        self.row.filter(|row| row.base == Base::SIGNAL).map(|_| self.regs.sp)
    }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the outermost frame: nothing is missing.
    Complete,
    /// At a pc that has no row.
    Unknown(u64),
    /// At a pc whose row could not be executed.
    Stuck(u64, Stop),
    /// At the limit of frames.
    TooDeep,
    /// The visitor had seen enough.
    Left,
}

/// Walks at most `limit` frames from the innermost outwards. `rules` finds the
/// row of a look-up pc; `visit` sees each frame and says whether to go on.
pub fn walk(
    regs: Regs,
    limit: usize,
    mut rules: impl FnMut(u64) -> Option<Row>,
    mut read: impl FnMut(u64) -> Option<u64>,
    mut visit: impl FnMut(&WalkFrame) -> bool,
) -> End {
    let mut next = Next { regs, is_interrupted: true };
    for _ in 0..limit {
        let Next { regs, is_interrupted } = next;
        let row = rules(lookup_pc(regs.pc, is_interrupted));
        if !visit(&WalkFrame { regs, is_interrupted, row }) {
            return End::Left;
        }
        let Some(row) = row else { return End::Unknown(regs.pc) };
        next = match exec(&row, &regs, &mut read) {
            Ok(next) => next,
            Err(Stop::End) => return End::Complete,
            Err(stop) => return End::Stuck(regs.pc, stop),
        };
    }
    End::TooDeep
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGS: Regs = Regs { pc: 0x1008, sp: 0x100, bp: 0x120, bx: 0x110 };

    /// A stack at 0x100 whose word at address `a` is `0x1000 + a`.
    fn stack(addr: u64) -> Option<u64> {
        (0x100..0x200).contains(&addr).then_some(0x1000 + addr)
    }

    fn next(pc: u64, sp: u64, bp: u64, bx: u64) -> Result<Next, Stop> {
        Ok(Next { regs: Regs { pc, sp, bp, bx }, is_interrupted: false })
    }

    fn check(row: Row, expected: Result<Next, Stop>) {
        assert_eq!(exec(&row, &REGS, stack), expected, "{row:?}");
    }

    #[test]
    fn each_base() {
        check(Row::new(0, Base::SP, 16), next(0x1108, 0x110, 0x120, 0x110));
        check(Row::new(0, Base::BP, 16), next(0x1128, 0x130, 0x120, 0x110));
        check(Row::new(0, Base::BX, 8), next(0x1110, 0x118, 0x120, 0x110));
        check(Row::new(0, Base::PLT, 8), next(0x1108, 0x110, 0x120, 0x110));
        check(Row::new(0, Base::PLT, 11), next(0x1100, 0x108, 0x120, 0x110));
        check(Row::new(0, Base::END, 0), Err(Stop::End));
        check(Row::new(0, Base::UNSUPPORTED, 0), Err(Stop::Unsupported));
        check(Row::new(0, Base(200), 0), Err(Stop::Unsupported));
    }

    #[test]
    fn saved_registers_are_read() {
        let row = Row { bp: Saved(-2), bx: Saved(-3), ..Row::new(0, Base::SP, 32) };
        check(row, next(0x1118, 0x120, 0x1110, 0x1108));
    }

    #[test]
    fn realigned_frames_are_left_by_the_saved_cfa() {
        let memory = |addr| match addr {
            0x118 => Some(0x180),
            0x178 => Some(0x42),
            0x120 => Some(0x1a0),
            _ => None,
        };
        let row = Row { bp: Saved(0), ..Row::new(0, Base::AT_BP, -8) };
        assert_eq!(exec(&row, &REGS, memory), next(0x42, 0x180, 0x1a0, 0x110));
    }

    #[test]
    fn saved_stack_pointers_are_followed() {
        let memory = |addr| [(0x110, 0x178), (0x178, 0x42)].iter().find(|(a, _)| *a == addr).map(|(_, w)| *w);
        let row = Row::new(0, Base::AT_SP, 0x10);
        assert_eq!(exec(&row, &REGS, memory), next(0x42, 0x180, 0x120, 0x110));
    }

    #[test]
    fn garbage_stops() {
        check(Row::new(0, Base::SP, 0), Err(Stop::BadCfa(0x100)));
        check(Row::new(0, Base::SP, -8), Err(Stop::BadCfa(0xf8)));
        check(Row::new(0, Base::SP, 12), Err(Stop::BadCfa(0x10c)));
        check(Row::new(0, Base::SP, 0x1000), Err(Stop::Unreadable(0x10f8)));
        check(Row { bp: Saved(127), ..Row::new(0, Base::SP, 16) }, Err(Stop::Unreadable(0x508)));
        let wild = Regs { pc: u64::MAX, sp: u64::MAX, bp: u64::MAX, bx: u64::MAX };
        for base in 0..=u8::MAX {
            for offset in [i32::MIN, -1, 0, 9, i32::MAX] {
                let row = Row { bp: Saved(-127), bx: Saved(127), ..Row::new(0, Base(base), offset) };
                assert!(exec(&row, &wild, |_| None).is_err());
                let _ = exec(&row, &wild, Some);
            }
        }
    }

    #[test]
    fn signal_frames_restore_the_interrupted_registers() {
        let row = Row::new(0, Base::SIGNAL, 0);
        let expected = Regs { pc: 0x11a8, sp: 0x11a0, bp: 0x1178, bx: 0x1180 };
        assert_eq!(exec(&row, &REGS, stack), Ok(Next { regs: expected, is_interrupted: true }));
    }

    #[test]
    fn a_walk_looks_up_the_call_before_a_return_address() {
        let mut looked_up = [0; 2];
        let mut count = 0;
        let rules = |pc| {
            looked_up[count] = pc;
            count += 1;
            Some(if count == 1 { Row::new(0, Base::SP, 16) } else { Row::new(0, Base::END, 0) })
        };
        assert_eq!(walk(REGS, 10, rules, stack, |_| true), End::Complete);
        assert_eq!(looked_up, [0x1008, 0x1107]);
    }

    #[test]
    fn a_walk_is_bounded() {
        let up = |_| Some(Row::new(0, Base::SP, 16));
        assert_eq!(walk(REGS, 3, up, stack, |_| true), End::TooDeep);
        assert_eq!(walk(REGS, 3, up, stack, |_| false), End::Left);
        assert_eq!(walk(REGS, 99, up, stack, |_| true), End::Stuck(0x11f8, Stop::Unreadable(0x208)));
        assert_eq!(walk(REGS, 99, |_| None, stack, |_| true), End::Unknown(0x1008));
    }
}
