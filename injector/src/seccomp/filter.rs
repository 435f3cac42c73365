//! What a seccomp filter makes of a system call, without making it: seccomp(2), and for
//! the machine that filters are written for, Linux Documentation/networking/filter.rst.
//!
//! What is not known of a call (an address that will be chosen later) is not known to
//! this machine either: where a filter asks for it both ways are gone, and the worst
//! answer counts. Jumps only lead forward, so each way ends.

use super::Call;
use std::fmt;

/// `AUDIT_ARCH_X86_64` (uapi/linux/audit.h).
const ARCHITECTURE: u32 = 0xc000_003e;
/// Bytes of `struct seccomp_data`: number, architecture, instruction pointer, six arguments.
const DATA_BYTES: u32 = 64;
/// More steps than this are not gone: 4096 instructions are the most of a filter.
const MOST_STEPS: usize = 1 << 17;

/// What becomes of a system call, mildest first. Of several filters' answers, and so
/// of several ways, the last in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made, and logged.
    Log,
    /// A tracer decides; without one it fails.
    Trace,
    /// Another process decides.
    Notify,
    /// It fails.
    Errno,
    /// SIGSYS, whose default kills the process.
    Trap,
    /// The thread is killed.
    KillThread,
    /// The process is killed.
    KillProcess,
    /// The filter is not understood.
    Unclear,
}

impl Action {
    /// The `SECCOMP_RET_*` in the upper half of a filter's answer (uapi/linux/seccomp.h).
    fn of(answer: u32) -> Action {
        match answer & 0xffff_0000 {
            0x7fff_0000 => Action::Allow,
            0x7ffc_0000 => Action::Log,
            0x7ff0_0000 => Action::Trace,
            0x7fc0_0000 => Action::Notify,
            0x0005_0000 => Action::Errno,
            0x0003_0000 => Action::Trap,
            0x8000_0000 => Action::KillProcess,
            // The kernel takes what it does not know for this.
            _ => Action::KillThread,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Allow | Action::Log => "allows",
            Action::Trace => "leaves to a tracer",
            Action::Notify => "leaves to another process",
            Action::Errno => "refuses",
            Action::Trap => "sends SIGSYS for",
            Action::KillThread => "kills the thread for",
            Action::KillProcess => "kills the process for",
            Action::Unclear => "is not understood, as for",
        })
    }
}

/// One filter: instructions as `struct sock_filter` (uapi/linux/filter.h), each in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(pub Vec<u64>);

/// A word of the machine; `None` if it is not known.
type Word = Option<u32>;

/// One way through a filter.
#[derive(Clone)]
struct Way {
    at: usize,
    a: Word,
    x: Word,
    memory: [Word; 16],
}

struct Instruction {
    code: u16,
    if_true: usize,
    if_false: usize,
    k: u32,
}

impl Instruction {
    fn decode(word: u64) -> Instruction {
        Instruction {
            code: word as u16,
            if_true: usize::from((word >> 16) as u8),
            if_false: usize::from((word >> 24) as u8),
            k: (word >> 32) as u32,
        }
    }
}

/// Where an instruction leads.
enum Next {
    On,
    Jump(usize),
    /// The condition is not known.
    Both,
    Answer(Word),
    Senseless,
}

impl Filter {
    /// The worst that it may do to `call`.
    pub fn action(&self, call: &Call) -> Action {
        self.worst(call).unwrap_or(Action::Unclear)
    }

    fn worst(&self, call: &Call) -> Option<Action> {
        let mut worst = Action::Allow;
        let mut ways = vec![Way { at: 0, a: Some(0), x: Some(0), memory: [Some(0); 16] }];
        let mut steps = 0;
        while let Some(mut way) = ways.pop() {
            loop {
                steps += 1;
                let instruction = Instruction::decode(*self.0.get(way.at).filter(|_| steps < MOST_STEPS)?);
                way.at += 1;
                match way.step(&instruction, call) {
                    Next::On => {}
                    Next::Jump(by) => way.at += by,
                    Next::Both => {
                        ways.push(Way { at: way.at + instruction.if_false, ..way.clone() });
                        way.at += instruction.if_true;
                    }
                    Next::Answer(answer) => {
                        worst = worst.max(Action::of(answer?));
                        break;
                    }
                    Next::Senseless => return None,
                }
            }
        }
        Some(worst)
    }
}

// Codes as in linux/bpf_common.h; those that seccomp_check_filter (kernel/seccomp.c) lets pass.
const LOAD_DATA: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const LOADX_LENGTH: u16 = 0x81;
const LOAD: u16 = 0x00;
const LOADX: u16 = 0x01;
const LOAD_MEMORY: u16 = 0x60;
const LOADX_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const STOREX: u16 = 0x03;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;
const JUMP: u16 = 0x05;
const CLASS: u16 = 0x07;
const CLASS_ALU: u16 = 0x04;
const OPERATION: u16 = 0xf0;
/// The operand is X, not k.
const BY_X: u16 = 0x08;

impl Way {
    fn step(&mut self, instruction: &Instruction, call: &Call) -> Next {
        let &Instruction { code, k, if_true, if_false } = instruction;
        let slot = k as usize % self.memory.len();
        match code {
            LOAD_DATA => self.a = data(call, k),
            LOAD_LENGTH => self.a = Some(DATA_BYTES),
            LOADX_LENGTH => self.x = Some(DATA_BYTES),
            LOAD => self.a = Some(k),
            LOADX => self.x = Some(k),
            LOAD_MEMORY => self.a = self.memory[slot],
            LOADX_MEMORY => self.x = self.memory[slot],
            STORE => self.memory[slot] = self.a,
            STOREX => self.memory[slot] = self.x,
            TAX => self.x = self.a,
            TXA => self.a = self.x,
            RETURN => return Next::Answer(Some(k)),
            RETURN_A => return Next::Answer(self.a),
            JUMP => return Next::Jump(k as usize),
            _ => {
                let operand = if code & BY_X != 0 { self.x } else { Some(k) };
                return match code & CLASS {
                    CLASS_ALU => self.calculate(code & OPERATION, operand),
                    _ => match compare(code, self.a, operand) {
                        Ok(Some(true)) => Next::Jump(if_true),
                        Ok(Some(false)) => Next::Jump(if_false),
                        Ok(None) => Next::Both,
                        Err(Senseless) => Next::Senseless,
                    },
                };
            }
        }
        Next::On
    }

    fn calculate(&mut self, operation: u16, operand: Word) -> Next {
        const NEGATE: u16 = 0x80;
        let (Some(a), Some(b)) = (self.a, operand.or((operation == NEGATE).then_some(0))) else {
            self.a = None;
            return Next::On;
        };
        self.a = Some(match operation {
            0x00 => a.wrapping_add(b),
            0x10 => a.wrapping_sub(b),
            0x20 => a.wrapping_mul(b),
            // By zero the kernel ends the filter with 0, SECCOMP_RET_KILL_THREAD.
            0x30 if b == 0 => return Next::Answer(Some(0)),
            0x30 => a / b,
            0x40 => a | b,
            0x50 => a & b,
            0x60 => a.wrapping_shl(b),
            0x70 => a.wrapping_shr(b),
            NEGATE => a.wrapping_neg(),
            0xa0 => a ^ b,
            _ => return Next::Senseless,
        });
        Next::On
    }
}

struct Senseless;

fn compare(code: u16, a: Word, b: Word) -> Result<Option<bool>, Senseless> {
    const CLASS_JUMP: u16 = 0x05;
    let holds: fn(u32, u32) -> bool = match (code & CLASS, code & OPERATION) {
        (CLASS_JUMP, 0x10) => |a, b| a == b,
        (CLASS_JUMP, 0x20) => |a, b| a > b,
        (CLASS_JUMP, 0x30) => |a, b| a >= b,
        (CLASS_JUMP, 0x40) => |a, b| a & b != 0,
        _ => return Err(Senseless),
    };
    Ok(a.zip(b).map(|(a, b)| holds(a, b)))
}

/// The word at `offset` of the `struct seccomp_data` of a call.
fn data(call: &Call, offset: u32) -> Word {
    const ARGS: u32 = 16;
    match offset {
        0 => Some(call.number as u32),
        4 => Some(ARCHITECTURE),
        // Where the call is made from.
        8 | 12 => None,
        _ => {
            let arg = call.args.get((offset.checked_sub(ARGS)? / 8) as usize).copied()??;
            Some(if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const KILL: u32 = 0x8000_0000;

    fn op(code: u16, k: u32) -> u64 {
        u64::from(code) | u64::from(k) << 32
    }

    fn jump(code: u16, k: u32, if_true: u8, if_false: u8) -> u64 {
        op(code, k) | u64::from(if_true) << 16 | u64::from(if_false) << 24
    }

    fn call(args: [Option<u64>; 6]) -> Call {
        Call { name: "mmap", number: 9, args, is_needed: true }
    }

    /// Kills a call whose word at `offset` satisfies a comparison with `k`.
    fn killing(offset: u32, comparison: u16, k: u32) -> Filter {
        Filter(vec![op(LOAD_DATA, offset), jump(comparison, k, 0, 1), op(RETURN, KILL), op(RETURN, ALLOW)])
    }

    #[test]
    fn words_of_a_call_are_told_apart() {
        let call = call([Some(1), Some(0x7_0000_0002), None, None, None, None]);
        let (equal, set) = (0x15, 0x45);
        for (offset, comparison, k, kills) in [
            (0, equal, 9, true),
            (0, equal, 8, false),
            (4, equal, ARCHITECTURE, true),
            (16, equal, 1, true),
            (20, equal, 1, false),
            (24, equal, 2, true),
            (28, equal, 7, true),
            (24, set, 3, true),
            (24, set, 4, false),
            (0, 0x25, 9, false),
            (0, 0x35, 9, true),
            // Not known: the worst counts.
            (32, equal, 1, true),
            (8, equal, 1, true),
        ] {
            let expected = if kills { Action::KillProcess } else { Action::Allow };
            assert_eq!(
                killing(offset, comparison, k).action(&call),
                expected,
                "{offset} {comparison:#x} {k}"
            );
        }
    }

    #[test]
    fn the_machine_calculates() {
        let call = call([Some(0xff); 6]);
        let program = [
            op(LOAD_DATA, 16),
            op(0x54, 0x0f), // and
            op(STORE, 3),
            op(LOADX_MEMORY, 3),
            op(0x6c, 0), // shift left by x
            op(0x44, 1), // or
            op(0x34, 3), // divide
            op(0x84, 0), // negate
        ];
        let value = (0x0f_u32 << 0x0f | 1) / 3;
        let mut whole = program.to_vec();
        whole.extend([jump(0x15, value.wrapping_neg(), 1, 0), op(RETURN, KILL), op(RETURN, ALLOW)]);
        assert_eq!(Filter(whole).action(&call), Action::Allow);
        assert_eq!(Filter(vec![op(0x34, 0), op(RETURN, ALLOW)]).action(&call), Action::KillThread);
        let of_length = Filter(vec![op(LOAD_LENGTH, 0), op(0x14, DATA_BYTES), op(RETURN_A, 0)]);
        assert_eq!(of_length.action(&call), Action::KillThread, "the answer 0");
    }

    #[test]
    fn what_makes_no_sense_is_unclear() {
        let call = call([None; 6]);
        let endless: Vec<u64> = (0..4095).flat_map(|_| [op(LOAD_DATA, 16), jump(0x15, 1, 0, 1)]).collect();
        let outside = vec![op(JUMP, 7), op(RETURN, ALLOW)];
        let unknown_answer = vec![op(LOAD_DATA, 16), op(RETURN_A, 0)];
        for program in [vec![], endless, outside, vec![op(0xffff, 0)], vec![op(0x94, 1)], unknown_answer] {
            assert_eq!(Filter(program).action(&call), Action::Unclear);
        }
    }

    #[test]
    fn answers_have_an_order() {
        let answers = [
            (ALLOW, Action::Allow),
            (0x7ffc_0000, Action::Log),
            (0x7ff0_0001, Action::Trace),
            (0x7fc0_0000, Action::Notify),
            (0x0005_0001, Action::Errno),
            (0x0003_0000, Action::Trap),
            (0, Action::KillThread),
            (KILL, Action::KillProcess),
        ];
        for (answer, action) in answers {
            assert_eq!(Action::of(answer), action);
        }
        assert!(answers.is_sorted_by_key(|(_, action)| *action));
    }
}
