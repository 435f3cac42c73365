//! Facts about the interpreter for a capture's metadata.

use super::{Interpreter, Version};
use prof_injector::process::{Maps, Memory, Process};
use prof_shared::region::ABSENT;
use std::fmt;
use std::ops::Range;

/// What a capture says of the interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `sys.implementation.name`.
    pub implementation: &'static str,
    /// Its version.
    pub version: Version,
    /// `sys.abiflags`.
    pub abi_flags: &'static str,
    /// Who serves `PyObject_Malloc`.
    pub allocator: Allocator,
}

/// CPython's object allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocator {
    /// Its own small-object allocator, the default.
    Pymalloc,
    /// libc's.
    Malloc,
    /// mimalloc (3.13 and later).
    Mimalloc,
    /// pymalloc with debug hooks.
    PymallocDebug,
    /// libc's with debug hooks.
    MallocDebug,
    /// mimalloc with debug hooks.
    MimallocDebug,
    /// Something that an extension has put in.
    Custom,
}

impl Allocator {
    /// As `PYTHONMALLOC` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pymalloc => "pymalloc",
            Self::Malloc => "malloc",
            Self::Mimalloc => "mimalloc",
            Self::PymallocDebug => "pymalloc_debug",
            Self::MallocDebug => "malloc_debug",
            Self::MimallocDebug => "mimalloc_debug",
            Self::Custom => "custom",
        }
    }

    fn from_setting(setting: &str) -> Option<Allocator> {
        Some(match setting {
            "pymalloc" => Self::Pymalloc,
            "malloc" => Self::Malloc,
            "mimalloc" => Self::Mimalloc,
            "debug" | "pymalloc_debug" => Self::PymallocDebug,
            "malloc_debug" => Self::MallocDebug,
            "mimalloc_debug" => Self::MimallocDebug,
            _ => return None,
        })
    }

    fn with_debug_hooks(self) -> Allocator {
        match self {
            Self::Pymalloc => Self::PymallocDebug,
            Self::Malloc => Self::MallocDebug,
            Self::Mimalloc => Self::MimallocDebug,
            other => other,
        }
    }
}

impl fmt::Display for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Interpreter {
    /// What a capture says of it. The allocator is read from the runtime's tables
    /// (3.12 and later), else from the environment that the process started with.
    pub fn facts(&self, process: &Process, maps: &Maps) -> Facts {
        let tables = Tables::read(&process.memory(), self);
        let allocator = match tables {
            Some(tables) => tables.allocator(maps),
            None => from_environment(process, self.is_debug()),
        };
        Facts { implementation: "cpython", version: self.version(), abi_flags: self.abi_flags(), allocator }
    }

    /// Up to 3.7 a build with pymalloc says so, and nearly every one is.
    fn abi_flags(&self) -> &'static str {
        match (self.version().at_least(8), self.is_debug()) {
            (false, false) => "m",
            (false, true) => "dm",
            (true, false) => "",
            (true, true) => "d",
        }
    }
}

/// One domain's allocator: `PyMemAllocatorEx`, hooks taken off.
#[derive(Clone, Copy)]
struct Domain {
    context: u64,
    malloc: u64,
    has_debug_hooks: bool,
}

/// The three domains of `_PyRuntime.allocators.standard`.
struct Tables {
    raw: Domain,
    mem: Domain,
    obj: Domain,
    /// An address in the interpreter's module.
    module: u64,
}

/// `PyMemAllocatorEx`: a context and four functions.
const TABLE_BYTES: u64 = 5 * 8;
/// `debug_alloc_api_t`: a letter and the table below.
const DEBUG_BYTES: u64 = 8 + TABLE_BYTES;

impl Tables {
    fn read(memory: &Memory, interpreter: &Interpreter) -> Option<Tables> {
        let offset = interpreter.layout().runtime_allocators;
        if offset == ABSENT {
            return None;
        }
        let standard = interpreter.runtime().start + u64::from(offset);
        let domain = |index| Domain::read(memory, standard, index, &interpreter.runtime());
        let module = interpreter.offsets().code_type;
        Some(Tables { raw: domain(0)?, mem: domain(1)?, obj: domain(2)?, module })
    }

    fn allocator(&self, maps: &Maps) -> Allocator {
        let file = |addr| maps.at(addr).map(|mapping| (mapping.device, mapping.inode));
        let is_own = |domain: &Domain| domain.context == 0 && file(domain.malloc) == file(self.module);
        if ![&self.raw, &self.mem, &self.obj].into_iter().all(is_own) {
            return Allocator::Custom;
        }
        // mimalloc serves `mem` and `obj` from heaps of their own, hence by two
        // functions (`Objects/obmalloc.c`, 3.13).
        let base = if self.obj.malloc == self.raw.malloc {
            Allocator::Malloc
        } else if self.obj.malloc == self.mem.malloc {
            Allocator::Pymalloc
        } else {
            Allocator::Mimalloc
        };
        if self.obj.has_debug_hooks { base.with_debug_hooks() } else { base }
    }
}

impl Domain {
    /// Reads table `index` and what debug hooks or tracemalloc have wrapped: their
    /// context is where they keep the allocator below, in the runtime.
    fn read(memory: &Memory, standard: u64, index: u64, runtime: &Range<u64>) -> Option<Domain> {
        let debug = standard + 3 * TABLE_BYTES;
        let debug = debug..debug + 3 * DEBUG_BYTES;
        let mut table = standard + index * TABLE_BYTES;
        let mut has_debug_hooks = false;
        for _ in 0..4 {
            let (context, malloc) = (memory.read_u64(table).ok()?, memory.read_u64(table + 8).ok()?);
            if !runtime.contains(&context) {
                return Some(Domain { context, malloc, has_debug_hooks });
            }
            let is_debug = debug.contains(&context);
            has_debug_hooks |= is_debug;
            table = if is_debug { context + 8 } else { context };
        }
        None
    }
}

/// `PYTHONMALLOC` and `PYTHONDEVMODE`; `-E`, `-I` and `-X dev` are not looked at.
fn from_environment(process: &Process, is_debug: bool) -> Allocator {
    let environment = std::fs::read(format!("/proc/{}/environ", process.pid())).unwrap_or_default();
    parse_environment(&environment, is_debug)
}

fn parse_environment(environment: &[u8], is_debug: bool) -> Allocator {
    let value = |name: &str| {
        let mut entries = environment.split(|&byte| byte == 0);
        let found = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        found.map(String::from_utf8_lossy).filter(|value| !value.is_empty())
    };
    let set = value("PYTHONMALLOC").and_then(|setting| Allocator::from_setting(&setting));
    match set {
        Some(allocator) => allocator,
        None if is_debug || value("PYTHONDEVMODE").is_some() => Allocator::PymallocDebug,
        None => Allocator::Pymalloc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_allocator() {
        for (environment, expected) in [
            ("", Allocator::Pymalloc),
            ("A=b\0PYTHONMALLOC=malloc\0", Allocator::Malloc),
            ("PYTHONMALLOC=debug", Allocator::PymallocDebug),
            ("PYTHONMALLOC=\0PYTHONDEVMODE=1\0", Allocator::PymallocDebug),
            ("PYTHONMALLOC=malloc\0PYTHONDEVMODE=1", Allocator::Malloc),
            ("XPYTHONMALLOC=malloc\0PYTHONMALLOCX=malloc", Allocator::Pymalloc),
            ("PYTHONMALLOC=default\0PYTHONDEVMODE=1", Allocator::PymallocDebug),
            ("PYTHONMALLOC=\u{fffd}", Allocator::Pymalloc),
        ] {
            assert_eq!(parse_environment(environment.as_bytes(), false), expected, "{environment:?}");
        }
    }
}
