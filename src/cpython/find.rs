//! Finds the interpreter in a process: which module it is, which version exactly,
//! and where its state lies. Nothing runs for it, and the file may be stripped.

use super::looks::{self, Looks};
use super::offsets::{self, BadTable, Layout};
use super::stamp;
use super::version::Version;
use super::walk::{Damage, Thread, Walker};
use prof_injector::detour::references;
use prof_injector::process::{Maps, Memory, Module, Process, Symbol};
use prof_shared::region::{ABSENT, PyOffsets};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where user space ends.
const ADDRESS_END: u64 = 1 << 47;

/// Why a process has no interpreter that can be looked into.
#[derive(Debug, thiserror::Error)]
pub enum NotPython {
    /// No module defines what CPython exports.
    #[error("no CPython in this process")]
    NoInterpreter,
    /// PyPy has other structures.
    #[error("this process runs PyPy ({0})")]
    PyPy(PathBuf),
    /// Several modules are, and each of two has an interpreter.
    #[error("two CPythons run in this process, {0} and {1}")]
    Several(PathBuf, PathBuf),
    /// The module is there, but no interpreter has been made yet.
    #[error("CPython is not initialized in this process")]
    NotInitialized,
    /// Older than the oldest table.
    #[error("CPython {0} is too old")]
    TooOld(Version),
    /// Newer than the newest table.
    #[error("CPython {0} is too new for this version of prof")]
    TooNew(Version),
    /// An alpha or a beta.
    #[error("CPython {0} is a development release")]
    Unstable(Version),
    /// `--with-trace-refs`, which up to 3.7 every debug build has.
    #[error("this CPython {0} is built with trace-refs")]
    TraceRefs(Version),
    /// `--disable-gil`.
    #[error("this CPython {0} is a free-threaded build")]
    FreeThreaded(Version),
    /// The version's text is not where `Py_GetVersion` leaves it.
    #[error("cannot tell the version of the CPython in {0}")]
    UnknownVersion(PathBuf),
    /// The module hides a symbol that is needed.
    #[error("{module} does not export {symbol}")]
    NoSymbol {
        /// The interpreter's module.
        module: PathBuf,
        /// The symbol.
        symbol: &'static str,
    },
    /// Its own table of offsets (3.13 and later) makes no sense.
    #[error("CPython {version}: {source}")]
    DebugOffsets {
        /// The version.
        version: Version,
        /// What is wrong.
        source: BadTable,
    },
    /// The process's memory cannot be read.
    #[error("cannot read the memory of CPython: {0}")]
    Unreadable(#[from] io::Error),
}

impl NotPython {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoInterpreter => "give the pid of the Python process itself, not of its shell or launcher",
            Self::NotInitialized | Self::UnknownVersion(_) => {
                "it may be starting or ending: try again in a moment"
            }
            Self::PyPy(_) | Self::TooOld(_) => "CPython 3.6 to 3.15 is supported",
            Self::TooNew(_) => "CPython 3.6 to 3.15 is supported: look for a newer prof",
            Self::Unstable(_) => "structures still move before a release candidate: use a release",
            Self::TraceRefs(_) | Self::FreeThreaded(_) => {
                "run the program with a regular build of the same version"
            }
            Self::Several(..) => "only the stacks of one could be told: record a process that runs one",
            Self::NoSymbol { .. } => "the interpreter must be linked with its dynamic symbols (-rdynamic)",
            Self::DebugOffsets { .. } | Self::Unreadable(_) => return None,
        })
    }
}

/// The CPython of a process.
#[derive(Clone, Debug)]
pub struct Interpreter {
    path: PathBuf,
    version: Version,
    is_debug: bool,
    runtime: Range<u64>,
    layout: Layout,
}

impl Interpreter {
    /// Finds it among `modules`. Where several modules define CPython, the one
    /// that has been initialized counts.
    pub fn find(process: &Process, maps: &Maps, modules: &[Module]) -> Result<Interpreter, NotPython> {
        if let Some(pypy) = modules.iter().find(|module| is_pypy(module)) {
            return Err(NotPython::PyPy(pypy.path.clone()));
        }
        let memory = process.memory();
        let mut found: Result<Interpreter, _> = Err(NotPython::NoInterpreter);
        for module in modules.iter().filter(|module| is_cpython(module)) {
            found = match (found, Interpreter::of(&memory, maps, module)) {
                (Ok(one), Ok(other)) => return Err(NotPython::Several(one.path, other.path)),
                (Ok(one), Err(_)) => Ok(one),
                (Err(_), result) => result,
            };
        }
        found
    }

    fn of(memory: &Memory, maps: &Maps, module: &Module) -> Result<Interpreter, NotPython> {
        let version = read_version(memory, maps, module)?;
        let mut layout = layout_for(version)?;
        refuse_builds(module, version)?;
        let is_debug = is_debug_build(module);
        if is_debug {
            layout.arenas.interpreter_state = layout.arenas.interpreter_state_debug;
        }
        let state = if version.at_least(7) { symbol(module, "_PyRuntime")? } else { head(memory, module)? };
        let runtime = state.addr;
        apply_debug_offsets(memory, runtime, version, &mut layout)?;
        layout.walk.this_thread_state = function(module, "PyGILState_GetThisThreadState")?;
        layout.walk.code_type = symbol(module, "PyCode_Type")?.addr;
        layout.walk.finalizing = match layout.runtime_finalizing {
            ABSENT => symbol(module, "_Py_Finalizing")?.addr,
            offset => runtime + u64::from(offset),
        };
        match memory.read_u64(runtime + u64::from(layout.runtime_interpreters))? {
            0 => Err(NotPython::NotInitialized),
            _ => Ok(Interpreter {
                path: module.path.clone(),
                version,
                is_debug,
                runtime: runtime..runtime.saturating_add(state.size),
                layout,
            }),
        }
    }

    /// The module that it lies in, as the process sees it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it is a debug build.
    pub fn is_debug(&self) -> bool {
        self.is_debug
    }

    /// What the payload walks frames by, addresses included.
    ///
    /// `PyGILState_GetThisThreadState` is `pthread_getspecific` behind one test
    /// (`Python/pystate.c`, 3.6 to 3.14): it takes no lock and allocates nothing. In 3.15
    /// it is a load from thread-local storage.
    pub fn offsets(&self) -> PyOffsets {
        self.layout.walk
    }

    /// The address of `PyCode_Type.tp_dealloc`.
    pub fn dealloc_slot(&self) -> u64 {
        self.layout.walk.code_type + u64::from(self.layout.type_dealloc)
    }

    /// Whether the offsets hold in this process, judged by a walk over all stacks.
    pub fn verify(&self, memory: &Memory) -> Looks {
        looks::verify(memory, &self.layout, self.version, self.runtime.start)
    }

    /// Every thread's stack as it is now; see [`Thread::damage`].
    pub fn threads(&self, memory: &Memory) -> Result<Vec<Thread>, Damage> {
        Walker::new(memory, &self.layout, self.version).threads(self.runtime.start)
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn runtime(&self) -> Range<u64> {
        self.runtime.clone()
    }
}

fn is_cpython(module: &Module) -> bool {
    ["PyCode_Type", "Py_GetVersion"].iter().all(|name| module.symbol(name).is_some())
}

fn is_pypy(module: &Module) -> bool {
    ["pypy_execute_source", "pypy_main_startup"].iter().any(|name| module.symbol(name).is_some())
}

fn symbol(module: &Module, symbol: &'static str) -> Result<Symbol, NotPython> {
    let found = module.symbol(symbol).filter(|found| found.addr < ADDRESS_END);
    found.ok_or_else(|| NotPython::NoSymbol { module: module.path.clone(), symbol })
}

fn function(module: &Module, name: &'static str) -> Result<u64, NotPython> {
    let addr = symbol(module, name)?.addr;
    match module.has_code(addr) {
        true => Ok(addr),
        false => Err(NotPython::NoSymbol { module: module.path.clone(), symbol: name }),
    }
}

/// 3.6 keeps its interpreters in a static variable. `PyInterpreterState_Head` does nothing
/// but load it (`Python/pystate.c`).
fn head(memory: &Memory, module: &Module) -> Result<Symbol, NotPython> {
    const NAME: &str = "PyInterpreterState_Head";
    const CODE_BYTES: usize = 16;
    let mut code = [0; CODE_BYTES];
    let function = function(module, NAME)?;
    let len = memory.read_some(function, &mut code)?;
    match references(&code[..len], function, 2)[..] {
        [addr] => Ok(Symbol { addr, size: 8, is_function: false }),
        _ => Err(NotPython::NoSymbol { module: module.path.clone(), symbol: NAME }),
    }
}

fn layout_for(version: Version) -> Result<Layout, NotPython> {
    if !version.at_least(6) {
        return Err(NotPython::TooOld(version));
    }
    let layout = (version.major == 3).then(|| Layout::of(version.minor)).flatten();
    let layout = layout.ok_or(NotPython::TooNew(version))?;
    if version.is_unstable() { Err(NotPython::Unstable(version)) } else { Ok(layout) }
}

/// Builds whose objects begin differently give themselves away by what they
/// export (`Include/object.h`, `Include/modsupport.h`).
fn refuse_builds(module: &Module, version: Version) -> Result<(), NotPython> {
    let exports = |name| module.symbol(name).is_some();
    if exports("_Py_MergeZeroLocalRefcount") {
        return Err(NotPython::FreeThreaded(version));
    }
    if exports("PyModule_Create2TraceRefs") {
        return Err(NotPython::TraceRefs(version));
    }
    Ok(())
}

/// Whether it is built `--with-pydebug`: objects count references (`Include/object.h`).
fn is_debug_build(module: &Module) -> bool {
    module.symbol("_Py_NegativeRefcount").is_some()
}

fn apply_debug_offsets(
    memory: &Memory,
    runtime: u64,
    version: Version,
    layout: &mut Layout,
) -> Result<(), NotPython> {
    let Some(words) = layout.debug else { return Ok(()) };
    let mut table = vec![0; words.bytes()];
    memory.read(runtime, &mut table)?;
    offsets::apply(layout, &words, version, &table).map_err(|source| match source {
        BadTable::FreeThreaded => NotPython::FreeThreaded(version),
        source => NotPython::DebugOffsets { version, source },
    })
}

fn read_version(memory: &Memory, maps: &Maps, module: &Module) -> Result<Version, NotPython> {
    let found = match module.symbol("Py_Version") {
        Some(word) => Version::from_hex(memory.read_u32(word.addr)?),
        None => stamp::read(memory, maps, module),
    };
    found.ok_or_else(|| NotPython::UnknownVersion(module.path.clone()))
}
