//! The functions and lines of native code, from the files of a module.
//!
//! ```text
//!  the module's bytes ─► SymbolFiles ─► Symbols ─► resolve(address) ─► NativeFrame, …
//!                          │ image: ELF, unpacked    │ dwarf: functions, inlined ones, lines
//!    DebugFiles ───────────┘                         │ functions: symbol tables, stubs (plt)
//!    (stripped off, shared, packed)                  └ name: as people write it
//! ```
//!
//! For the end of a recording, in `prof` itself: nothing here runs or reads a process. The
//! bytes are hostile: what is malformed has no name, and memory and time stay in proportion
//! to the files (`meter`).

mod debug_files;
mod dwarf;
mod functions;
mod image;
mod meter;
mod name;
mod plt;

#[cfg(test)]
mod tests;

use super::Error;
use dwarf::Lines;
use functions::{Function, Functions};
use image::Image;
use meter::Meter;
use std::cell::OnceCell;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

pub use debug_files::DebugFiles;

/// What all look-ups in the DWARF of one module may take together. A large library takes a
/// second; overlapping units of a hostile one take as long as they like.
const MOST_TIME: Duration = Duration::from_secs(20);
/// Steps of reading for each byte of DWARF. Real files take less than half a step.
const STEPS_PER_BYTE: usize = 4;
/// Small files have a head start.
const FIRST_STEPS: usize = 1 << 20;

/// A function that was running, or was inlined into one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeFrame {
    /// Its name as people write it.
    pub function: String,
    /// Its name as the linker knows it, or the function's last name.
    pub raw_name: String,
    /// The source file.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// Whether it was inlined into the next frame.
    pub inlined: bool,
}

/// The files that say something of one module.
pub struct SymbolFiles<'m> {
    module: Image<'m>,
    /// What `strip` took out of it.
    stripped: Option<Image<'static>>,
    /// The symbols that `strip` left in it, compressed.
    mini: Option<Image<'static>>,
    /// What its DWARF shares with that of other modules.
    shared: Option<Image<'static>>,
    /// What of its DWARF was never linked into it.
    package: Option<Image<'static>>,
    meter: Meter,
}

/// The functions and lines of one module.
pub struct Symbols<'a> {
    files: &'a SymbolFiles<'a>,
    functions: Functions<'a>,
    /// Read when the first address is asked for.
    lines: OnceCell<Option<Lines<'a>>>,
    time: Duration,
}

impl<'m> SymbolFiles<'m> {
    /// Takes the bytes of a module as the process has mapped them, and looks for what else
    /// there is. `path` is the module's below the root of `debug_files`.
    pub fn find(
        module: impl AsRef<[u8]> + 'm,
        path: &Path,
        debug_files: &DebugFiles,
    ) -> Result<SymbolFiles<'m>, Error> {
        let module = Image::open(module)?;
        let stripped = if module.has_dwarf() { None } else { debug_files.stripped(&module.elf(), path) };
        let mini = if stripped.is_none() { module.mini_debug_info() } else { None };
        let (path, dwarf) =
            stripped.as_ref().map_or((path, &module), |(path, image)| (path.as_path(), image));
        let shared = debug_files.shared(&dwarf.elf(), path);
        let package = if dwarf.is_split() { debug_files.package(path) } else { None };
        let all = [Some(dwarf), shared.as_ref(), package.as_ref()];
        let bytes: usize = all.into_iter().flatten().map(Image::dwarf_bytes).sum();
        let meter = Meter::new(bytes.saturating_mul(STEPS_PER_BYTE).saturating_add(FIRST_STEPS));
        Ok(SymbolFiles { module, stripped: stripped.map(|(_, image)| image), mini, shared, package, meter })
    }

    /// The file that has the DWARF, if one has.
    fn dwarf(&self) -> &Image<'m> {
        self.stripped.as_ref().unwrap_or(&self.module)
    }

    fn lines(&self) -> Option<Lines<'_>> {
        let dwarf = Some(self.dwarf()).filter(|dwarf| dwarf.has_dwarf())?;
        Lines::new(dwarf, self.shared.as_ref(), self.package.as_ref(), &self.meter)
    }
}

impl<'a> Symbols<'a> {
    /// Reads the symbol tables; DWARF is read as it is asked for.
    pub fn new(files: &'a SymbolFiles<'a>) -> Symbols<'a> {
        let others = files.stripped.iter().chain(&files.mini);
        let functions = Functions::new(&files.module, others);
        Symbols { files, functions, lines: OnceCell::new(), time: Duration::ZERO }
    }

    /// The functions at an address of the file (without load bias), innermost first: the
    /// inlined ones, then the one that they are in. None if no function is known there.
    ///
    /// For a return address ask for the byte before it, which is in the call. What returns
    /// may be the first byte of another function, or of another line.
    pub fn resolve(&mut self, address: u64) -> Vec<NativeFrame> {
        let mut found = Vec::new();
        if self.time < MOST_TIME {
            let begin = Instant::now();
            let lines = self.lines.get_or_init(|| self.files.lines());
            found = lines.as_ref().map(|lines| lines.frames(address)).unwrap_or_default();
            self.time += begin.elapsed();
        }
        frames(found, self.functions.at(address))
    }

    /// The places of a function and of the parts that a compiler made of it (`NAME.cold`,
    /// `NAME.part.0`), ascending, by the symbol tables.
    pub fn functions_named(&self, name: &str) -> Vec<Range<u64>> {
        self.functions.named(name)
    }

    /// The places of all functions, ascending.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn functions(&self) -> Vec<Range<u64>> {
        self.functions.ranges().collect()
    }

    /// Whether there is DWARF that is not used, because it makes no sense or asks for more
    /// work than its size allows.
    pub fn is_incomplete(&self) -> bool {
        let makes_no_sense = self.lines.get().is_some_and(Option::is_none);
        let asks_too_much = self.files.meter.is_empty() || self.time >= MOST_TIME;
        self.files.dwarf().has_dwarf() && (makes_no_sense || asks_too_much)
    }
}

/// What DWARF knows of an address, and the symbol table.
fn frames(mut found: Vec<dwarf::Frame>, function: Option<&Function>) -> Vec<NativeFrame> {
    let outermost = found.pop().unwrap_or(dwarf::Frame { name: None, file: None, line: None });
    let symbol = function.map(Function::raw_name);
    // DWARF may have but the last name of a function of C++ or Rust.
    let is_better = |symbol: &String| {
        outermost
            .name
            .as_ref()
            .is_none_or(|name| name::is_mangled(symbol.as_bytes()) && !name::is_mangled(name))
    };
    let raw = symbol.filter(is_better).or_else(|| Some(name::text(outermost.name.as_ref()?)));
    let Some(raw) = raw else { return Vec::new() };
    let inlined = found.into_iter().map(|frame| {
        let raw = frame.name.map_or_else(|| "??".to_owned(), |name| name::text(&name));
        native(raw, frame.file, frame.line, true)
    });
    let mut frames: Vec<_> = inlined.collect();
    frames.push(native(raw, outermost.file, outermost.line, false));
    frames
}

fn native(raw_name: String, file: Option<String>, line: Option<u32>, inlined: bool) -> NativeFrame {
    NativeFrame { function: name::demangled(&raw_name), raw_name, file, line, inlined }
}
