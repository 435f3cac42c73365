//! From DWARF's call frame rules to a [`Row`]. Expressions are recognised, not
//! evaluated: compilers, linkers and assembly in libc use a handful of shapes.

use gimli::{CfaRule, Encoding, Operation, Reader, Register, RegisterRule, UnwindExpression, UnwindTableRow};
use gimli::{UnwindSection, X86_64};
use prof_shared::row::{Base, Row, Saved};

/// Most operations in an expression that a row can stand for.
const LONGEST: usize = 9;

/// The context that expressions are read in.
pub(super) struct Compiler<'a, S> {
    /// `.eh_frame`.
    pub section: &'a S,
    /// Of the CIE.
    pub encoding: Encoding,
    /// Whether the FDE is that of a signal trampoline.
    pub is_signal: bool,
}

impl<S> Compiler<'_, S> {
    /// The row that starts at `start`; `None` if a row cannot say it.
    pub fn row<R>(&self, start: u32, rules: &UnwindTableRow<usize>) -> Option<Row>
    where
        R: Reader<Offset = usize>,
        S: UnwindSection<R>,
    {
        if self.is_signal {
            return Some(Row::new(start, Base::SIGNAL, 0));
        }
        match rules.register(X86_64::RA) {
            None | Some(RegisterRule::Offset(-8)) => {}
            Some(RegisterRule::Undefined) => return Some(Row::new(start, Base::END, 0)),
            Some(_) => return None,
        }
        let (base, offset) = self.cfa(rules.cfa())?;
        let mut row = Row::new(start, base, i32::try_from(offset).ok()?);
        row.bp = self.saved(base, rules.register(X86_64::RBP))?;
        row.bx = self.saved(base, rules.register(X86_64::RBX))?;
        Some(row)
    }

    fn cfa<R>(&self, rule: &CfaRule<usize>) -> Option<(Base, i64)>
    where
        R: Reader<Offset = usize>,
        S: UnwindSection<R>,
    {
        match rule {
            CfaRule::RegisterAndOffset { register, offset } => Some((base_of(*register)?, *offset)),
            CfaRule::Expression(expression) => cfa_of(&self.operations(expression)?),
        }
    }

    /// Where a register is. What is undefined is never asked for again.
    fn saved<R>(&self, base: Base, rule: Option<RegisterRule<usize>>) -> Option<Saved>
    where
        R: Reader<Offset = usize>,
        S: UnwindSection<R>,
    {
        let offset = match rule {
            None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => return Some(Saved::SAME),
            Some(RegisterRule::Offset(offset)) if base != Base::AT_BP => offset,
            Some(RegisterRule::Expression(at)) if base == Base::AT_BP => match self.operations(&at)?[..] {
                [Operation::RegisterOffset { register: X86_64::RBP, offset, .. }] => offset,
                _ => return None,
            },
            Some(_) => return None,
        };
        let words = i8::try_from(offset / 8).ok().map(Saved)?;
        (offset % 8 == 0 && words != Saved::SAME).then_some(words)
    }

    fn operations<R>(&self, expression: &UnwindExpression<usize>) -> Option<Vec<Operation<R>>>
    where
        R: Reader<Offset = usize>,
        S: UnwindSection<R>,
    {
        let operations = expression.get(self.section).ok()?.operations(self.encoding);
        let operations = operations.take(LONGEST + 1).collect::<Result<Vec<_>, _>>().ok()?;
        (operations.len() <= LONGEST).then_some(operations)
    }
}

fn base_of(register: Register) -> Option<Base> {
    match register {
        X86_64::RSP => Some(Base::SP),
        X86_64::RBP => Some(Base::BP),
        X86_64::RBX => Some(Base::BX),
        _ => None,
    }
}

fn cfa_of<R: Reader>(operations: &[Operation<R>]) -> Option<(Base, i64)> {
    use Operation::{And, Deref, Ge, Plus, PlusConstant, RegisterOffset, Shl, UnsignedConstant};
    match *operations {
        [RegisterOffset { register: X86_64::RBP, offset, .. }, Deref { size: 8, space: false, .. }] => {
            Some((Base::AT_BP, offset))
        }
        [
            RegisterOffset { register: X86_64::RSP, offset, .. },
            Deref { size: 8, space: false, .. },
            PlusConstant { value: 8 },
        ] => Some((Base::AT_SP, offset)),
        [
            RegisterOffset { register: X86_64::RSP, offset: 8, .. },
            RegisterOffset { register: X86_64::RA, offset: 0, .. },
            UnsignedConstant { value: 15 },
            And,
            UnsignedConstant { value: threshold @ 0..=15 },
            Ge,
            UnsignedConstant { value: 3 },
            Shl,
            Plus,
        ] => Some((Base::PLT, threshold as i64)),
        _ => None,
    }
}
