//! The names of native code, from the files of modules. Read when nobody is held up by it.

use crate::model::{NativeFunction, NativeModule, NativePlace};
use crate::native::{DebugFiles, NativeFrame, SymbolFiles, Symbols};
use prof_injector::process::Process;
use std::ops::Range;
use std::path::Path;

/// The function of CPython that evaluates Python code, in every version; it is exported.
pub const EVALUATION: &str = "_PyEval_EvalFrameDefault";

/// Where files are looked for that say more: as the process sees them.
pub fn debug_files(process: &Process) -> DebugFiles {
    DebugFiles::below(format!("/proc/{}/root", process.pid()))
}

/// The parts of a module that evaluate Python code, as addresses of its file, ascending.
pub fn evaluations(module: &NativeModule, file: &[u8], debug_files: &DebugFiles) -> Vec<Range<u64>> {
    let files = SymbolFiles::find(file, Path::new(&module.path), debug_files);
    files.map(|files| Symbols::new(&files).functions_named(EVALUATION)).unwrap_or_default()
}

/// What is at these addresses of a module's file; nothing of those without a name.
pub fn resolve(
    module: &NativeModule,
    file: &[u8],
    debug_files: &DebugFiles,
    addresses: impl Iterator<Item = u32>,
) -> Vec<NativePlace> {
    let mut addresses = addresses.peekable();
    if addresses.peek().is_none() {
        return Vec::new();
    }
    let Ok(files) = SymbolFiles::find(file, Path::new(&module.path), debug_files) else { return Vec::new() };
    let mut symbols = Symbols::new(&files);
    let place = |offset: u32| {
        let functions = symbols.resolve(offset.into()).into_iter().map(function).collect();
        NativePlace { module: module.id, offset, functions }
    };
    addresses.map(place).filter(|place| !place.functions.is_empty()).collect()
}

fn function(frame: NativeFrame) -> NativeFunction {
    NativeFunction {
        name: frame.function,
        file: frame.file.unwrap_or_default(),
        line: frame.line.unwrap_or_default(),
    }
}
