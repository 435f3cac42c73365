//! Programs of three languages, each function of them by every way to its name: what
//! addr2line (binutils) says is said here too.

use super::{DebugFiles, NativeFrame, SymbolFiles, Symbols};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static inline __attribute__((always_inline)) int twice(int n) { return n * 2 + rand(); }
static inline __attribute__((always_inline)) int four_times(int n) { return twice(twice(n)); }
__attribute__((noinline)) static int local(int n) { return four_times(n) + 1; }
__attribute__((noinline)) int unlikely(int n) {
    if (__builtin_expect(n == 77, 0)) { puts("rare"); abort(); }
    return local(n) + four_times(n + 1);
}
int alias(int n) __attribute__((alias("unlikely")));
int data[100];
__asm__(".text\nlabel:\n nop\n nop\n ret\n");
int main(int count, char **arguments) {
    for (int at = 0; at < count; at++) data[at] = unlikely(at);
    return data[count - 1];
}
"#;

const CPP: &str = r#"
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>
namespace space {
namespace { struct Hidden { int n; __attribute__((noinline)) int get() const { return n + 1; } }; }
template <typename T> struct Holder {
    std::vector<T> all;
    Holder &operator+=(T one) { all.push_back(one); return *this; }
    __attribute__((noinline)) T sum() const {
        T total{};
        std::for_each(all.begin(), all.end(), [&](const T &one) { total += one; });
        return total;
    }
    virtual ~Holder() {}
};
static int local(const std::map<std::string, int> &all) { return (int)all.count("a"); }
}
int main(int count, char **arguments) {
    space::Holder<long> numbers;
    space::Holder<std::string> texts;
    std::map<std::string, int> known;
    for (int at = 0; at < count; at++) { numbers += at; texts += arguments[at]; known[arguments[at]] = at; }
    auto hidden = std::make_unique<space::Hidden>();
    return (int)numbers.sum() + (int)texts.sum().size() + space::local(known) + hidden->get();
}
"#;

const RUST: &str = r#"
use std::collections::HashMap;
trait Shape { fn area(&self) -> f64; }
struct Square(f64);
impl Shape for Square { #[inline(never)] fn area(&self) -> f64 { self.0 * self.0 } }
#[inline(never)]
fn count<T: std::hash::Hash + Eq>(all: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}
fn main() {
    let shapes: Vec<Box<dyn Shape>> = (0..std::env::args().count()).map(|n| Box::new(Square(n as f64)) as _).collect();
    let counts = count(shapes.iter().map(|shape| shape.area() as u64));
    println!("{}", counts.len());
}
"#;

/// A program in a directory of its own, which is the root where debug files are looked for.
struct Program {
    dir: tempfile::TempDir,
}

impl Program {
    fn build(source: &str, compiler: &[&str]) -> Program {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = match compiler[0] {
            "cc" => "program.c",
            "g++" => "program.cc",
            _ => "program.rs",
        };
        fs::write(dir.path().join(file), source).expect("it can be written");
        let program = Program { dir };
        program.run(&[compiler, &["-o", "program", file]].concat());
        program
    }

    /// Runs a command in the directory.
    fn run(&self, command: &[&str]) {
        let status = Command::new(command[0]).args(&command[1..]).current_dir(self.dir.path()).status();
        assert!(status.unwrap_or_else(|e| panic!("{command:?}: {e}")).success(), "{command:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn files(&self, name: &str) -> SymbolFiles<'static> {
        let root = DebugFiles::below(self.dir.path());
        SymbolFiles::find(fs::read(self.path(name)).unwrap(), &Path::new("/").join(name), &root).unwrap()
    }
}

/// What addr2line prints for each address, by its options.
fn addr2line(file: &Path, options: &str, addresses: &[u64]) -> Vec<Vec<[String; 2]>> {
    let mut child = Command::new("addr2line")
        .args([options, "-a", "-e"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("binutils are installed");
    let mut input = child.stdin.take().expect("piped");
    let asked: String = addresses.iter().map(|address| format!("{address:x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("it ends").stdout;
    writer.join().unwrap().unwrap();
    let mut found = Vec::new();
    let text = String::from_utf8(output).unwrap();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") && line.len() == 18 {
            found.push(Vec::new());
        } else {
            let place = lines.next().unwrap().split(" (disc").next().unwrap().to_owned();
            let place = if place.ends_with('?') { "?".to_owned() } else { place };
            found.last_mut().unwrap().push([line.to_owned(), place]);
        }
    }
    assert_eq!(found.len(), addresses.len());
    found
}

/// The same of ours.
fn shown(frames: &[NativeFrame]) -> Vec<[String; 2]> {
    let number = |line: Option<u32>| line.map_or("?".to_owned(), |line| line.to_string());
    let shown = |frame: &NativeFrame| {
        let file = frame.file.as_deref().unwrap_or("??");
        let place = if frame.line.is_none() { "?".to_owned() } else { format!("{file}:{}", number(frame.line)) };
        [frame.raw_name.clone(), place]
    };
    frames.iter().map(shown).collect()
}

/// The functions that a program defines: address and size.
fn functions(file: &Path) -> Vec<(u64, u64)> {
    let output = Command::new("nm").args(["-S", "--defined-only"]).arg(file).output().expect("binutils");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let [start, size, kind, _] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            "tTwW".contains(kind).then(|| (number(start), number(size)))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn explore() {
    let table: [(&str, &[&str]); 3] = [
        (C, &["cc", "-g", "-O2"]),
        (CPP, &["g++", "-g", "-O2"]),
        (RUST, &["rustc", "-g", "-O"]),
    ];
    for (source, compiler) in table {
        let program = Program::build(source, compiler);
        let file = program.path("program");
        let addresses: Vec<u64> = functions(&file).iter().flat_map(|(start, size)| (*start..start + size).step_by(if compiler[0]=="rustc" {37} else {1})).collect();
        let files = program.files("program");
        let mut symbols = Symbols::new(&files);
        let mut bad = 0;
        for (address, expected) in addresses.iter().zip(addr2line(&file, "-if", &addresses)) {
            let found = shown(&symbols.resolve(*address));
            if found != expected {
                bad += 1;
                if bad < 12 { println!("{address:x}\n  {expected:#?}\n  {found:#?}"); }
            }
        }
        println!("{compiler:?} {} bad of {}", bad, addresses.len());
    }
}

#[test]
fn speed() {
    let home = std::env::home_dir().unwrap();
    for file in std::env::var("SPEED").unwrap_or("~/.pyenv/versions/3.12.1/lib/libpython3.12.so.1.0".into()).split(',') {
        let path = PathBuf::from(file.replace('~', home.to_str().unwrap()));
        let begin = std::time::Instant::now();
        let files = SymbolFiles::find(fs::read(&path).unwrap(), &path, &DebugFiles::below("/")).unwrap();
        let opened = begin.elapsed();
        let left = files.meter.left();
        let mut symbols = Symbols::new(&files);
        let parsed = begin.elapsed();
        let all = functions(&path);
        let all: Vec<u64> = all.iter().flat_map(|(start, size)| [*start, start + size / 2, start + size.saturating_sub(1)]).collect();
        let begin = std::time::Instant::now();
        let step = (all.len() / 20_000).max(1);
        let mut count = 0; let mut frames = 0; let mut inl = 0;
        for address in all.iter().step_by(step) { count += 1; let f = symbols.resolve(*address); frames += f.len(); inl += f.iter().filter(|f| f.inlined).count(); }
        println!("{file}: open {opened:?} parse {:?} resolve {count} {:?} frames {frames} inlined {inl}; steps {} of {left}, bytes {}", parsed - opened, begin.elapsed(), left - files.meter.left(), left / 8);
        println!("{:?}", symbols.functions_named("_PyEval_EvalFrameDefault"));
    }
}
