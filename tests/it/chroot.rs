//! The binary needs nothing but the kernel: it runs in an empty root directory.

use crate::dsl::{self, skip};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Object, elf};
use std::path::PathBuf;
use std::process::Command;

/// The release build if there is one to test, else the one built with the tests;
/// both are linked alike.
fn binary() -> PathBuf {
    std::env::var_os("PROF_RELEASE_BINARY").map_or_else(dsl::binary, PathBuf::from)
}

#[test]
fn runs_in_an_empty_root() {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let probe = Command::new("chroot").args(["/", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        return skip("no right to change the root directory");
    }
    std::fs::copy(binary(), root.path().join("prof")).expect("the binary can be copied");
    let output = Command::new("chroot").arg(root.path()).args(["/prof", "--version"]).output();
    let output = output.expect("chroot can be started");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("prof {}\n", env!("CARGO_PKG_VERSION")));
}

/// No interpreter, no needed library, and position-independent.
#[test]
fn is_a_static_pie() {
    let data = std::fs::read(binary()).expect("the binary can be read");
    let file = ElfFile64::<object::Endianness>::parse(&*data).expect("an ELF file");
    assert_eq!(file.kind(), object::ObjectKind::Dynamic);
    let types: Vec<_> =
        file.elf_program_headers().iter().map(|header| header.p_type(file.endian())).collect();
    assert!(!types.contains(&elf::PT_INTERP), "it wants a dynamic loader");
    assert!(file.imports().expect("readable imports").next().is_none());
}
