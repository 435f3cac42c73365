//! The C library that the targets load, built once a run of the tests.

use super::program;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Known allocations, by every function, from any thread: `helper.c`.
pub fn helper_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("helper", &["helper.c"]))
}

/// A library of 24 MiB that does nothing; preloaded, it lies above libc.
pub fn big_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("big", &["big.c"]))
}

/// Forks by signal handlers.
pub fn forks_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("forks", &["forks.c"]))
}

/// The sized frees of C23, to be preloaded where the C library has none.
pub fn c23_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("c23", &["c23.c"]))
}

/// Another allocator than the C library's, to be preloaded.
pub fn arena_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("arena", &["arena.c"]))
}

/// Calls whose native stacks are known: `native.c`.
pub fn native_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("native", &["native.c"]))
}

/// The C half of the workloads.
pub fn hostile_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("hostile", &["storms.c", "registers.c", "waits.c", "counts.c"]))
}

/// An allocator that signal handlers may use, to be preloaded.
pub fn classes_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("classes", &["classes.c"]))
}

/// An allocator whose functions wait for each other when told to, to be preloaded.
pub fn slow_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("slow", &["slow.c"]))
}

/// A program that embeds Python: `embed.c`.
pub fn embedding_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| compile("embed", &[], &["embed.c"]))
}

fn build(name: &str, sources: &[&str]) -> PathBuf {
    compile(&format!("{name}.so"), &["-shared"], sources)
}

/// Builds beside the place and moves it there, if it is another one: other test runs
/// may use it now.
fn compile(name: &str, kind: &[&str], sources: &[&str]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(dir).expect("the target directory can be written");
    let built = dir.join(name);
    let fresh = dir.join(format!("{}.{name}", std::process::id()));
    let flags = [
        "-fPIC",
        "-O1",
        "-g",
        "-Wall",
        "-Wno-deprecated-declarations",
        "-fno-builtin",
        "-fno-ipa-icf",
        "-pthread",
    ];
    let sources = sources.iter().map(|source| program(source));
    let mut cc = Command::new("cc");
    let output = cc.args(kind).args(flags).arg("-o").arg(&fresh).args(sources).arg("-ldl").output();
    let output = output.expect("a C compiler named cc is installed");
    assert!(output.status.success(), "cc {name}:\n{}", String::from_utf8_lossy(&output.stderr));
    match std::fs::read(&fresh).ok() == std::fs::read(&built).ok() {
        true => std::fs::remove_file(&fresh).expect("it was just made"),
        false => std::fs::rename(&fresh, &built).expect("what was built can be moved in place"),
    }
    built
}
