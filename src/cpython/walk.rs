//! Walks every thread's Python stack from outside, through the same offsets that
//! the payload gets.
//!
//! ```text
//!  _PyRuntime ─► interpreter ─► thread state ─► frame ─► frame ─► 0
//!                    ▼              ▼             ▼
//!                   next           next          code ─► name, file, lines
//! ```
//!
//! The process runs on meanwhile, so a single walk may meet a frame that has just
//! gone: damage of one thread is kept with that thread, for [`super::looks`] to
//! judge. Lists are bounded; a cycle is damage; and a walk ends after [`WALK_MAX`], for
//! bounded lists of bounded lists can still be made to take days.

use super::object::{Code, Objects};
use super::offsets::Layout;
use super::{Version, lines};
use prof_injector::process::Memory;
use prof_shared::region::{ABSENT, FRAME_COUNT, ip_form};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use super::object::Damage;

const INTERPRETERS_MAX: usize = 1 << 10;
const THREADS_MAX: usize = 1 << 16;
const FRAMES_MAX: usize = FRAME_COUNT as usize;
const CODE_BYTES_MAX: i64 = 1 << 28;
/// How long a walk may take: of 500 threads it takes some milliseconds.
const WALK_MAX: Duration = Duration::from_secs(5);
/// Descriptions of code objects that are remembered, in bytes.
const CODES_MAX: usize = 64 << 20;

/// A thread state and its stack.
#[derive(Debug)]
pub struct Thread {
    /// Address of the thread state.
    pub state: u64,
    /// The `pthread_t`.
    pub id: u64,
    /// The tid in the target's pid namespace (3.11 and later).
    pub native_id: Option<u64>,
    /// Its frames, leaf first, as far as they could be read.
    pub frames: Vec<Frame>,
    /// Whether frames at the root were left out because there were too many.
    pub is_truncated: bool,
    /// What stopped the walk, if it did not reach the root.
    pub damage: Option<Damage>,
}

/// One Python frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Address of its code object.
    pub code: u64,
    /// The qualified name (3.11 and later), else the name.
    pub name: Rc<str>,
    /// The source file.
    pub file: Rc<str>,
    /// The line that executes.
    pub line: u32,
}

/// Reads one interpreter process.
pub struct Walker<'a> {
    objects: Objects<'a>,
    layout: &'a Layout,
    version: Version,
    codes: HashMap<u64, Rc<Code>>,
    /// Of the descriptions in `codes`.
    codes_bytes: usize,
    end: Instant,
}

/// A frame as it lies in memory.
struct RawFrame {
    code: Option<u64>,
    previous: u64,
    ip: u64,
}

impl<'a> Walker<'a> {
    /// A walker that knows nothing yet.
    pub fn new(memory: &'a Memory, layout: &'a Layout, version: Version) -> Walker<'a> {
        let objects = Objects { memory, offsets: &layout.walk, object_type: layout.object_type };
        let end = Instant::now() + WALK_MAX;
        Walker { objects, layout, version, codes: HashMap::new(), codes_bytes: 0, end }
    }

    /// All threads of all interpreters of the runtime at `runtime`.
    pub fn threads(&mut self, runtime: u64) -> Result<Vec<Thread>, Damage> {
        let newest =
            self.objects.pointer_or_null(runtime, self.layout.runtime_interpreters, "an interpreter")?;
        let interpreters =
            self.list(newest, self.layout.interpreter_next, "interpreters", INTERPRETERS_MAX)?;
        let mut threads = Vec::new();
        for interpreter in interpreters {
            let newest =
                self.objects.pointer_or_null(interpreter, self.layout.interpreter_threads, "a thread")?;
            for state in self.list(newest, self.layout.thread_next, "threads", THREADS_MAX)? {
                threads.push(self.thread(state)?);
                self.is_in_time()?;
            }
        }
        Ok(threads)
    }

    fn is_in_time(&self) -> Result<(), Damage> {
        if Instant::now() < self.end { Ok(()) } else { Err(Damage::Endless(WALK_MAX.as_secs())) }
    }

    fn list(&self, first: u64, next: u32, what: &'static str, limit: usize) -> Result<Vec<u64>, Damage> {
        let mut all = Vec::new();
        let mut item = first;
        while item != 0 {
            if all.len() == limit {
                return Err(Damage::TooMany { what, limit });
            }
            all.push(item);
            item = self.objects.pointer_or_null(item, next, what)?;
        }
        Ok(all)
    }

    fn thread(&mut self, state: u64) -> Result<Thread, Damage> {
        let native_id = match self.layout.native_thread_id {
            ABSENT => None,
            offset => Some(self.objects.u64(state + u64::from(offset))?),
        };
        let id = self.objects.u64(state + u64::from(self.layout.thread_id))?;
        let mut thread =
            Thread { state, id, native_id, frames: Vec::new(), is_truncated: false, damage: None };
        thread.damage = self.stack(&mut thread).err();
        Ok(thread)
    }

    fn stack(&mut self, thread: &mut Thread) -> Result<(), Damage> {
        let mut seen = HashSet::new();
        let mut addr = self.leaf(thread.state)?;
        while addr != 0 {
            if seen.len() == FRAMES_MAX {
                thread.is_truncated = true;
                break;
            }
            if !seen.insert(addr) {
                return Err(Damage::Pointer { what: "a frame in a cycle", addr });
            }
            self.is_in_time()?;
            let raw = self.frame(addr)?;
            if let Some(code) = raw.code {
                let frame = self.describe(code, raw.ip)?;
                thread.frames.push(frame);
            }
            addr = raw.previous;
        }
        Ok(())
    }

    fn leaf(&self, state: u64) -> Result<u64, Damage> {
        let walk = &self.layout.walk;
        match walk.cframe_frame {
            ABSENT => self.objects.pointer_or_null(state, walk.tstate_frame, "a frame"),
            within => {
                let cframe = self.objects.pointer(state, walk.tstate_frame, "a C frame")?;
                self.objects.pointer_or_null(cframe, within, "a frame")
            }
        }
    }

    fn frame(&self, addr: u64) -> Result<RawFrame, Damage> {
        let walk = &self.layout.walk;
        let previous = self.objects.pointer_or_null(addr, walk.frame_previous, "a frame")?;
        let hidden = walk.frame_owner != ABSENT
            && u32::from(self.objects.u8(addr + u64::from(walk.frame_owner))?) >= walk.frame_owner_hidden;
        if hidden {
            return Ok(RawFrame { code: None, previous, ip: 0 });
        }
        let code = Some(self.objects.masked(addr, walk.frame_code, walk.frame_code_mask, "a code object")?);
        let at = addr + u64::from(walk.frame_ip);
        let ip = match walk.frame_ip_form {
            ip_form::POINTER => self.objects.u64(at)?,
            _ => self.objects.u32(at)?.into(),
        };
        Ok(RawFrame { code, previous, ip })
    }

    fn describe(&mut self, addr: u64, ip: u64) -> Result<Frame, Damage> {
        let code = match self.codes.get(&addr) {
            Some(known) => Rc::clone(known),
            None => self.code(addr)?,
        };
        let offset = self.offset(addr, ip)?;
        let line = lines::line(self.version, code.first_line, &code.line_table, offset);
        Ok(Frame { code: addr, name: code.name.clone(), file: code.file.clone(), line })
    }

    fn code(&mut self, addr: u64) -> Result<Rc<Code>, Damage> {
        let code = Rc::new(self.objects.code(addr)?);
        self.codes_bytes += size_of::<Code>() + code.name.len() + code.file.len() + code.line_table.len();
        if self.codes_bytes > CODES_MAX {
            self.codes.clear();
            self.codes_bytes = 0;
        }
        self.codes.insert(addr, Rc::clone(&code));
        Ok(code)
    }

    /// Bytes from the code's first instruction, negative before it.
    fn offset(&self, code: u64, ip: u64) -> Result<i32, Damage> {
        let walk = &self.layout.walk;
        let offset = match walk.frame_ip_form {
            ip_form::POINTER => ip.wrapping_sub(code + u64::from(walk.code_instructions)).cast_signed(),
            ip_form::UNITS => i64::from(ip as i32) * 2,
            _ => i64::from(ip as i32),
        };
        match i32::try_from(offset) {
            Ok(small) if (-2..CODE_BYTES_MAX).contains(&offset) => Ok(small),
            _ => Err(Damage::Value { what: "an instruction offset", value: offset.cast_unsigned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpython::looks::{Looks, verify};
    use prof_injector::Pid;
    use proptest::prelude::*;

    /// Structures of CPython 3.12 in our own memory, by word.
    struct Fake {
        words: Box<[u64; 256]>,
        layout: Layout,
    }

    const RUNTIME: usize = 0;
    const INTERPRETER: usize = 16;
    const THREAD: usize = 32;
    const CFRAME: usize = 64;
    const LEAF: usize = 72;
    const ROOT: usize = 88;
    const CODE: usize = 104;
    const NAME: usize = 136;
    const TABLE: usize = 160;
    const CODE_TYPE: usize = 200;

    impl Fake {
        /// One thread, in `name` called by itself, on lines 8 and 7 of a file.
        fn new() -> Fake {
            let layout = Layout::of(12).expect("a table");
            let mut fake = Fake { words: Box::new([0; 256]), layout };
            let walk = fake.layout.walk;
            fake.layout.walk.code_type = fake.addr(CODE_TYPE);
            fake.point(RUNTIME, layout.runtime_interpreters, INTERPRETER);
            fake.point(INTERPRETER, layout.interpreter_threads, THREAD);
            fake.point(THREAD, walk.tstate_frame, CFRAME);
            fake.point(CFRAME, walk.cframe_frame, LEAF);
            fake.point(LEAF, walk.frame_previous, ROOT);
            for (frame, offset) in [(LEAF, 2), (ROOT, 0)] {
                fake.point(frame, walk.frame_code, CODE);
                let first = fake.addr(CODE) + u64::from(walk.code_instructions);
                fake.set(frame, walk.frame_ip, first + offset);
            }
            fake.point(CODE, layout.object_type, CODE_TYPE);
            for text in [walk.code_qualified_name, walk.code_file] {
                fake.point(CODE, text, NAME);
            }
            fake.point(CODE, walk.code_line_table, TABLE);
            fake.words[CODE + walk.code_first_line as usize / 8] = 7 << (walk.code_first_line % 8 * 8);
            fake.set(NAME, walk.str_length, 4);
            fake.set(NAME, walk.str_state, 1 << 2 | 1 << 5 | 1 << 6);
            fake.set(NAME, walk.str_ascii_data, u64::from_ne_bytes(*b"name\0\0\0\0"));
            fake.set(TABLE, walk.bytes_length, 4);
            fake.set(TABLE, walk.bytes_data, u64::from_ne_bytes([0x80, 0, 0xe8, 2, 0, 0, 0, 0]));
            fake
        }

        fn addr(&self, word: usize) -> u64 {
            &raw const self.words[word] as u64
        }

        fn set(&mut self, base: usize, offset: u32, value: u64) {
            self.words[base + offset as usize / 8] = value;
        }

        fn point(&mut self, base: usize, offset: u32, to: usize) {
            self.set(base, offset, self.addr(to));
        }

        fn memory() -> Memory {
            Memory::new(Pid::from_raw(std::process::id().cast_signed()))
        }

        fn version() -> Version {
            Version::parse("3.12.1").expect("a version")
        }

        fn threads(&self) -> Result<Vec<Thread>, Damage> {
            Walker::new(&Fake::memory(), &self.layout, Fake::version()).threads(self.addr(RUNTIME))
        }

        fn looks(&self) -> Looks {
            verify(&Fake::memory(), &self.layout, Fake::version(), self.addr(RUNTIME))
        }

        fn complaint(&self) -> String {
            match self.looks() {
                Looks::Wrong(why) => why,
                other => panic!("it looks {other:?}"),
            }
        }
    }

    #[test]
    fn sound_structures_look_right() {
        let fake = Fake::new();
        let threads = fake.threads().expect("a walk");
        let frames: Vec<_> = threads[0].frames.iter().map(|f| (&*f.name, &*f.file, f.line)).collect();
        assert_eq!(frames, [("name", "name", 8), ("name", "name", 7)]);
        assert_eq!(fake.looks(), Looks::Right);
    }

    #[test]
    fn a_walk_ends_in_time() {
        let (fake, memory) = (Fake::new(), Fake::memory());
        let mut walker = Walker::new(&memory, &fake.layout, Fake::version());
        walker.end = Instant::now();
        let threads = walker.threads(fake.addr(RUNTIME));
        assert!(matches!(threads, Err(Damage::Endless(_))), "{threads:?}");
    }

    #[test]
    fn descriptions_that_are_remembered_are_bounded() {
        let (mut fake, memory) = (Fake::new(), Fake::memory());
        fake.set(TABLE, fake.layout.walk.bytes_length, 400);
        let mut walker = Walker::new(&memory, &fake.layout, Fake::version());
        walker.codes_bytes = CODES_MAX - 500;
        let code = fake.addr(CODE);
        walker.code(code).expect("a code object");
        walker.code(code).expect("a code object");
        assert!(walker.codes_bytes < CODES_MAX && walker.codes.len() == 1);
    }

    #[test]
    fn hidden_frames_are_left_out() {
        let mut fake = Fake::new();
        let owner = fake.layout.walk.frame_owner;
        fake.set(LEAF, owner, 3 << (owner % 8 * 8));
        fake.set(LEAF, fake.layout.walk.frame_code, 0);
        assert_eq!(fake.threads().expect("a walk")[0].frames.len(), 1);
    }

    #[test]
    fn no_frames_are_told_from_wrong_ones() {
        let mut fake = Fake::new();
        fake.set(CFRAME, fake.layout.walk.cframe_frame, 0);
        assert_eq!(fake.looks(), Looks::NoFrames);
        fake.set(RUNTIME, fake.layout.runtime_interpreters, 0);
        assert_eq!(fake.looks(), Looks::NoFrames);
    }

    #[test]
    fn damage_is_named() {
        let walk = Fake::new().layout.walk;
        for (base, offset, value, complaint) in [
            (LEAF, walk.frame_code, 0, "a code object has the address 0x0"),
            (LEAF, walk.frame_code, 1 << 47, "a code object has the address"),
            (LEAF, walk.frame_code, 4097, "a code object has the address 0x1001"),
            (LEAF, walk.frame_code, 4096, "cannot read 0x1008"),
            (CODE, 8, 4096, "is no code object"),
            (ROOT, walk.frame_ip, 8, "an instruction offset is"),
            (NAME, walk.str_length, u64::MAX, "the length of a str is"),
            (NAME, walk.str_state, 0, "the state of a str is 0"),
            (NAME, walk.str_state, 1 << 5 | 3 << 2, "the state of a str is"),
            (TABLE, walk.bytes_length, 1 << 40, "the length of a line table is"),
            (THREAD, walk.tstate_frame, 0, "a C frame has the address 0x0"),
        ] {
            let mut fake = Fake::new();
            fake.set(base, offset, value);
            let why = fake.complaint();
            assert!(why.contains(complaint), "{why:?}, not {complaint:?}");
        }
    }

    #[test]
    fn cycles_end() {
        let mut fake = Fake::new();
        fake.point(ROOT, fake.layout.walk.frame_previous, LEAF);
        assert!(fake.complaint().starts_with("a frame in a cycle"));
        let mut fake = Fake::new();
        fake.point(INTERPRETER, fake.layout.interpreter_next, INTERPRETER);
        assert_eq!(fake.complaint(), "more than 1024 interpreters");
    }

    proptest! {
        #[test]
        fn any_memory_is_harmless(changes in prop::collection::vec((0_usize..256, any::<u64>(), 0_usize..300), 1..20)) {
            let mut fake = Fake::new();
            for (word, value, target) in changes {
                fake.words[word] = if target < 256 { fake.addr(target) } else { value };
            }
            drop(fake.threads());
        }
    }
}
