//! One stack out of two: native frames, and those of Python in the place of the
//! interpreter's frames that evaluate them.
//!
//! ```text
//!  native   main … eval │ call │ eval │ malloc's caller      both root first
//!  Python        a b    ▲      ▲ c                           ▲ an evaluation begins here
//!  together main … a b    call   c      malloc's caller
//! ```
//!
//! Where the number of evaluations differs, the two are put together from the leaf and the
//! root gets a mark that says so, unless it has one that says what is missing.
//!
//! Between two events little changes, so what was put together below stays.

use prof_shared::native::{MISSING, missing};
use prof_shared::record::{Frames, SHIM_OFFSET};

use crate::model::{CodeId, Frame, StackId, Stacks};

/// The deepest stack that is believed.
const MAX_DEPTH: usize = 1 << 16;

/// Both stacks of a thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Hybrid {
    python: Side,
    native: Side,
    /// What was put together last.
    built: Vec<Step>,
    lead: Lead,
    is_current: bool,
}

/// One of the two, root first.
#[derive(Clone, Debug, Default)]
struct Side {
    frames: Vec<Part>,
    /// Evaluations in it.
    evaluations: usize,
    /// So many frames are as they were when they were put together.
    same: usize,
}

/// A frame; with it an evaluation begins, or it is one.
#[derive(Clone, Copy, Debug)]
struct Part {
    frame: Frame,
    is_evaluation: bool,
}

/// The stack up to and with a native frame.
#[derive(Clone, Copy, Debug)]
struct Step {
    stack: StackId,
    /// Frames of Python in it.
    python: usize,
}

/// What comes before the first native frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lead {
    /// What the root is marked with; 0 if with nothing.
    mark: u32,
    /// Evaluations of Python whose native frames are missing.
    python: usize,
    /// Native ones whose frames of Python are missing.
    native: usize,
}

impl Side {
    /// `None` if that cannot be.
    fn change(&mut self, pops: u32, mut pushes: Frames<'_>, code: impl Fn(u32) -> CodeId) -> Option<()> {
        let kept = self.frames.len().checked_sub(pops as usize)?;
        let gone = self.frames.drain(kept..).filter(|part| part.is_evaluation).count();
        self.evaluations -= gone;
        self.same = self.same.min(kept);
        while let Some((number, offset, is_evaluation)) = pushes.next_flagged() {
            self.frames.push(Part { frame: Frame { code: code(number), offset }, is_evaluation });
            self.evaluations += usize::from(is_evaluation);
        }
        (self.frames.len() <= MAX_DEPTH).then_some(())
    }
}

impl Hybrid {
    pub fn change_python(&mut self, pops: u32, pushes: Frames<'_>) -> Option<()> {
        self.is_current = false;
        self.python.change(pops, pushes, CodeId)
    }

    pub fn change_native(&mut self, pops: u32, pushes: Frames<'_>) -> Option<()> {
        self.is_current = false;
        self.native.change(pops, pushes, CodeId::native)
    }

    /// The stack that they are together.
    #[inline]
    pub fn stack(&mut self, stacks: &mut Stacks) -> StackId {
        if !self.is_current {
            self.build(stacks);
        }
        self.built.last().map_or(StackId::EMPTY, |step| step.stack)
    }

    #[cold]
    #[inline(never)]
    fn build(&mut self, stacks: &mut Stacks) {
        let lead = self.lead();
        // The first step is what comes before all native frames.
        self.built.truncate(if lead == self.lead { self.native.same + 1 } else { 0 });
        while self.built.last().is_some_and(|step| !self.stays(step)) {
            self.built.pop();
        }
        self.lead = lead;
        if self.built.is_empty() {
            let first = self.before_all(stacks);
            self.built.push(first);
        }
        let mut step = self.built[self.built.len() - 1];
        let mut unpaired = self.unpaired();
        for index in self.built.len() - 1..self.native.frames.len() {
            let Part { frame, is_evaluation } = self.native.frames[index];
            if is_evaluation && unpaired == 0 {
                let next = self.evaluation(step, stacks);
                // One whose frame is just going away has none left to show.
                let is_bare = next.stack == step.stack;
                step = if is_bare { Step { stack: stacks.push(step.stack, frame), ..next } } else { next };
            } else if frame.code != CodeId::native(MISSING) {
                unpaired -= usize::from(is_evaluation);
                step.stack = stacks.push(step.stack, frame);
            }
            self.built.push(step);
        }
        (self.native.same, self.python.same) = (self.native.frames.len(), self.python.frames.len());
        self.is_current = true;
    }

    /// Evaluations without frames of Python that are still to come.
    fn unpaired(&self) -> usize {
        let done = || self.native.frames[..self.built.len() - 1].iter().filter(|part| part.is_evaluation);
        if self.lead.native == 0 { 0 } else { self.lead.native.saturating_sub(done().count()) }
    }

    /// Whether the Python frames of a step are as they were, and end where they did.
    fn stays(&self, step: &Step) -> bool {
        let ends = || self.python.frames.get(step.python).is_none_or(|next| next.is_evaluation);
        step.python < self.python.same || step.python == self.python.same && ends()
    }

    fn lead(&self) -> Lead {
        let (native, python) = (self.native.evaluations, self.python.evaluations);
        let root = self.native.frames.first().map(|part| part.frame);
        let is_cut = self.python.frames.first().is_some_and(|part| is_truncated(part.frame));
        let mark = match root {
            None => missing::NONE,
            Some(root) if root.code == CodeId::native(MISSING) => root.offset as u32,
            Some(_) if native != python && !is_cut => missing::APART,
            Some(_) => 0,
        };
        Lead { mark, python: python.saturating_sub(native), native: native.saturating_sub(python) }
    }

    /// Marks, and what has no native frames.
    fn before_all(&self, stacks: &mut Stacks) -> Step {
        let mut step = Step { stack: StackId::EMPTY, python: 0 };
        if self.lead.mark != 0 {
            let frame = Frame { code: CodeId::native(MISSING), offset: self.lead.mark as i32 };
            step.stack = stacks.push(step.stack, frame);
        }
        step = self.until_next(step, stacks);
        for _ in 0..self.lead.python {
            step = self.evaluation(step, stacks);
        }
        step
    }

    /// Puts the frames of one evaluation on top.
    fn evaluation(&self, step: Step, stacks: &mut Stacks) -> Step {
        let Some(first) = self.python.frames.get(step.python) else { return step };
        let stack = put(first.frame, step.stack, stacks);
        self.until_next(Step { stack, python: step.python + 1 }, stacks)
    }

    /// Puts frames on top with which no evaluation begins.
    fn until_next(&self, mut step: Step, stacks: &mut Stacks) -> Step {
        while let Some(part) = self.python.frames.get(step.python).filter(|part| !part.is_evaluation) {
            step = Step { stack: put(part.frame, step.stack, stacks), python: step.python + 1 };
        }
        step
    }
}

fn is_truncated(frame: Frame) -> bool {
    frame.code == CodeId::TRUNCATED && frame.offset != SHIM_OFFSET
}

/// Puts a frame on top, unless it is nobody's.
fn put(frame: Frame, stack: StackId, stacks: &mut Stacks) -> StackId {
    let is_shim = frame.code == CodeId::TRUNCATED && frame.offset == SHIM_OFFSET;
    if is_shim { stack } else { stacks.push(stack, frame) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_shared::record::{Decoder, Delta, Encoder, Record};
    use proptest::prelude::*;

    /// Both sides as letters: `e` evaluates, other native frames are small; of Python's frames
    /// those that begin an evaluation are large, and a dot is one that is nobody's.
    fn change(hybrid: &mut Hybrid, (pops, native): (u32, &str), (python_pops, python): (u32, &str)) {
        let (mut bytes, mut delta) = ([0; 4096], Delta::default());
        let mut encoder = Encoder::new(&mut bytes, &mut delta);
        encoder.native(pops, native.len() as u32);
        for letter in native.chars() {
            let module = if letter == '!' { MISSING } else { u32::from(letter) };
            encoder.flagged_frame(module, missing::UNKNOWN as i32, letter == 'e');
        }
        encoder.stack(python_pops, python.len() as u32);
        for letter in python.chars() {
            let shim = letter == '.';
            let code = if shim { 0 } else { u32::from(letter) };
            encoder.flagged_frame(code, SHIM_OFFSET, shim || letter.is_ascii_uppercase());
        }
        let length = encoder.len();
        let mut rest = &bytes[..length];
        let mut decoder = Decoder::new();
        while let Some(record) = decoder.next(&mut rest).expect("records") {
            match record {
                Record::Native { pops, pushes } => hybrid.change_native(pops, pushes),
                Record::Stack { pops, pushes } => hybrid.change_python(pops, pushes),
                _ => None,
            }
            .expect("it can be");
        }
    }

    /// Root first. A mark is a `!`.
    fn text(stack: StackId, stacks: &Stacks) -> String {
        let letter = |frame: Frame| match frame.code.module() {
            Some(MISSING) => '!',
            code => char::from_u32(code.unwrap_or(frame.code.0)).unwrap_or('?'),
        };
        let mut letters: Vec<char> = stacks.frames(stack).map(letter).collect();
        letters.reverse();
        letters.into_iter().collect()
    }

    fn together(native: &str, python: &str) -> String {
        let (mut hybrid, mut stacks) = (Hybrid::default(), Stacks::new());
        change(&mut hybrid, (0, native), (0, python));
        text(hybrid.stack(&mut stacks), &stacks)
    }

    #[test]
    fn frames_of_python_are_where_they_are_evaluated() {
        for (native, python, expected) in [
            ("", "", "!"),
            ("mx", "", "mx"),
            ("mexey", "AbCd", "mAbxCdy"),
            ("mexey", ".ab.cd", "mabxcdy"),
            ("mexey", ".a.", "maxey"),
            ("mex", "AB", "!AmBx"),
            ("mexe", "A", "!mexA"),
            ("!xe", "ABc", "!AxBc"),
            ("!", "AB", "!AB"),
        ] {
            assert_eq!(together(native, python), expected, "{native} {python}");
        }
    }

    proptest! {
        /// Whatever changed in between, it is as if it were put together anew.
        #[test]
        fn what_stays_is_right(changes in prop::collection::vec(
            (0usize..6, "[mxe]{0,5}", 0usize..6, "[ABcd.]{0,5}"), 1..12))
        {
            let (mut hybrid, mut stacks) = (Hybrid::default(), Stacks::new());
            let (mut native, mut python) = (String::new(), String::new());
            for (pops, more, python_pops, python_more) in changes {
                let (pops, python_pops) = (pops.min(native.len()), python_pops.min(python.len()));
                native.truncate(native.len() - pops);
                python.truncate(python.len() - python_pops);
                (native, python) = (native + &more, python + &python_more);
                change(&mut hybrid, (pops as u32, &more), (python_pops as u32, &python_more));
                let stack = hybrid.stack(&mut stacks);
                prop_assert_eq!(text(stack, &stacks), together(&native, &python), "{} {}", native, python);
            }
        }
    }
}
