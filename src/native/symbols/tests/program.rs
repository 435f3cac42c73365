//! Programs that are compiled for one test, and what binutils say of them.

use crate::native::symbols::{DebugFiles, NativeFrame, SymbolFiles};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A function's name and its place as `FILE:LINE`, or `?`.
pub type Named = [String; 2];

/// A program in a directory of its own, which is the root where debug files are looked for.
pub struct Program {
    dir: tempfile::TempDir,
}

impl Program {
    /// Compiles `source` to `program`. The first word of `command` is the compiler.
    pub fn build(source: &str, command: &str) -> Program {
        let file = match command.split(' ').next() {
            Some("g++") => "program.cc",
            Some("rustc") => "program.rs",
            _ if source.contains(".section") => "program.s",
            _ => "program.c",
        };
        let program = Program { dir: tempfile::tempdir().expect("a temporary directory") };
        program.write(file, source.as_bytes());
        program.run(&format!("{command} -o program {file}"));
        program
    }

    /// Runs a command of the shell in the directory.
    pub fn run(&self, command: &str) -> String {
        let output = Command::new("sh").args(["-ec", command]).current_dir(self.dir.path()).output();
        let output = output.expect("there is a shell");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }

    /// What is known of `/program` with this directory as the root.
    pub fn files(&self) -> SymbolFiles<'static> {
        let root = DebugFiles::below(self.dir.path());
        let bytes = fs::read(self.path("program")).expect("it was built");
        SymbolFiles::find(bytes, Path::new("/program"), &root).expect("an ELF file")
    }

    /// Where a file with the build-id of the program is looked for.
    pub fn place_by_build_id(&self) -> String {
        let notes = self.run("readelf -n program");
        let id = notes.split("Build ID: ").nth(1).expect("it has one").lines().next().expect("a line");
        format!("usr/lib/debug/.build-id/{}/{}.debug", &id[..2], &id[2..])
    }

    /// The symbols of `kinds` that `nm` prints with these options: address, size, name.
    pub fn symbols(&self, options: &str, kinds: &str) -> Vec<(u64, u64, String)> {
        let text = self.run(&format!("nm -S --defined-only {options} program"));
        let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
        let symbol = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            [start, size, kind, name] if kinds.contains(kind) => {
                Some((number(start), number(size), name.to_owned()))
            }
            _ => None,
        };
        text.lines().filter_map(symbol).collect()
    }

    /// Addresses of its functions, `step` apart.
    pub fn addresses(&self, step: usize) -> Vec<u64> {
        let functions = self.symbols("", "tTwW");
        let mut found: Vec<_> =
            functions.into_iter().flat_map(|(start, size, _)| (start..start + size).step_by(step)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What addr2line says of each address in `program`, inlined functions first.
    pub fn addr2line(&self, addresses: &[u64]) -> Vec<Vec<Named>> {
        let mut child = Command::new("addr2line")
            .args(["-ifae", "program"])
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("binutils are installed");
        let mut input = child.stdin.take().expect("piped");
        let asked: String = addresses.iter().map(|address| format!("{address:x}\n")).collect();
        let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
        let text = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text");
        writer.join().expect("no panic").expect("it reads");
        let found = by_address(&text);
        assert_eq!(found.len(), addresses.len());
        found
    }
}

fn by_address(text: &str) -> Vec<Vec<Named>> {
    let mut found: Vec<Vec<Named>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") && line.len() == 18 {
            found.push(Vec::new());
            continue;
        }
        let place =
            lines.next().expect("a place follows a name").split(" (discriminator").next().expect("one");
        // Without DWARF the name of the source may come from the symbol table.
        let place = if place.ends_with('?') { "?" } else { place };
        found.last_mut().expect("an address came first").push([line.to_owned(), place.to_owned()]);
    }
    found
}

/// Our frames as addr2line shows them.
pub fn named(frames: &[NativeFrame]) -> Vec<Named> {
    let place = |frame: &NativeFrame| Some(format!("{}:{}", frame.file.as_deref()?, frame.line?));
    let named = |frame: &NativeFrame| [frame.raw_name.clone(), place(frame).unwrap_or("?".to_owned())];
    frames.iter().map(named).collect()
}

/// Whether a tool is there; one that is missing is named.
pub fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: no {tool}");
    }
    found
}
