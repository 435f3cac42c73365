//! Builds the payload with its own profile and target directory, for embedding.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Unwind tables, so that debuggers and C++ exceptions pass through hooks; no
/// start files and no libraries, so that nothing but relative relocations is left.
const RUSTFLAGS: [&str; 11] = [
    "-Cforce-unwind-tables=yes",
    "-Crelocation-model=pic",
    "-Ctarget-cpu=x86-64",
    // Intel's processors from Skylake to Cascade Lake decode a branch at a 32-byte boundary
    // anew each time (erratum SKX102): a quarter of the frame walk. Prefixes move them, of
    // which a processor takes less notice than of further instructions.
    "-Cllvm-args=-x86-branches-within-32B-boundaries",
    "-Cllvm-args=-x86-pad-max-prefix-size=5",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-Wl,-z,noexecstack,-z,separate-code,-z,max-page-size=4096",
    "-Clink-arg=-Wl,--no-undefined,--build-id=sha1,--hash-style=gnu",
    "-Clink-arg=-Wl,-Bsymbolic",
    "-Clink-arg=-Wl,--gc-sections",
];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for source in ["build.rs", "payload/Cargo.toml", "payload/src", "payload/shared/src"] {
        println!("cargo:rerun-if-changed={}", root.join(source).display());
    }
    let payload = out.join("payload.so");
    fs::copy(build(&root, &out.join("payload")), &payload).expect("the payload was built");
    println!("cargo:rustc-env=PROF_PAYLOAD={}", payload.display());
}

/// Runs cargo for the payload; the path of the library.
fn build(root: &Path, target_dir: &Path) -> PathBuf {
    let target = env::var("TARGET").expect("cargo sets it");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo.args(["build", "--release", "--locked", "--offline", "--target", &target, "--target-dir"]);
    cargo.arg(target_dir).arg("--manifest-path").arg(root.join("payload/Cargo.toml"));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f")).env_remove("RUSTFLAGS");
    // Lints run over the payload by themselves, not as a part of this build.
    cargo.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("RUSTC_WRAPPER");
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the payload does not build");
    target_dir.join(target).join("release/libprof_payload.so")
}
