//! Which processes are taken for CPython, and what is said of them.

use crate::targets::{Target, pythons, script};
use prof::cpython::{Allocator, Interpreter, Looks, NotPython};
use prof_injector::process::Process;
use std::path::{Path, PathBuf};
use std::process::Command;

const READY: &str = "import platform; print(platform.python_version(), flush=True); input()";

fn start(python: &Path) -> Target {
    Target::start(Command::new(python).args(["-c", READY]))
}

fn find(process: &Process) -> Result<Interpreter, NotPython> {
    let maps = process.maps().expect("its maps");
    Interpreter::find(process, &maps, &process.modules(&maps))
}

#[test]
fn the_version_is_exact() {
    for python in pythons() {
        let mut target = start(&python);
        let version = target.line();
        let interpreter = target.interpreter();
        assert_eq!(interpreter.version().to_string(), version);
        let offsets = interpreter.offsets();
        let named =
            [offsets.this_thread_state, offsets.finalizing, offsets.code_type, interpreter.dealloc_slot()];
        let maps = target.process().maps().expect("its maps");
        for addr in named {
            assert!(maps.at(addr).is_some(), "{version}: {addr:#x} is not mapped");
        }
        assert_eq!(target.memory().read_u64(offsets.finalizing).expect("readable"), 0);
        let dealloc = target.memory().read_u64(interpreter.dealloc_slot()).expect("readable");
        assert!(
            maps.at(dealloc).is_some_and(|mapping| mapping.exec),
            "{version}: tp_dealloc is {dealloc:#x}"
        );
    }
}

#[test]
fn the_allocator_is_told() {
    for python in pythons() {
        for (setting, expected) in [
            ("", Allocator::Pymalloc),
            ("malloc", Allocator::Malloc),
            ("pymalloc_debug", Allocator::PymallocDebug),
            ("malloc_debug", Allocator::MallocDebug),
            ("mimalloc", Allocator::Mimalloc),
            ("mimalloc_debug", Allocator::MimallocDebug),
        ] {
            if setting.starts_with("mimalloc") && !python.to_string_lossy().contains("3.13") {
                continue;
            }
            let mut target =
                Target::start(Command::new(&python).args(["-c", READY]).env("PYTHONMALLOC", setting));
            target.line();
            let process = target.process();
            let facts = target.interpreter().facts(&process, &process.maps().expect("its maps"));
            assert_eq!(facts.allocator, expected, "{}", python.display());
            assert_eq!((facts.implementation, facts.abi_flags), ("cpython", ""));
        }
    }
}

#[test]
fn tracemalloc_is_looked_through() {
    for python in pythons() {
        let code = format!("import tracemalloc; tracemalloc.start(); {READY}");
        let mut target = Target::start(Command::new(&python).args(["-c", &code]));
        target.line();
        let process = target.process();
        let facts = target.interpreter().facts(&process, &process.maps().expect("its maps"));
        assert_eq!(facts.allocator, Allocator::Pymalloc, "{}", python.display());
    }
}

#[test]
fn a_busy_process_looks_right() {
    for python in pythons() {
        let mut target = Target::start(Command::new(&python).arg("-I").arg(script("busy.py")));
        target.line();
        let interpreter = target.interpreter();
        for _ in 0..20 {
            assert_eq!(interpreter.verify(&target.memory()), Looks::Right, "{}", python.display());
        }
    }
}

#[test]
fn what_is_not_python_is_refused() {
    let target = Target::start(&mut Command::new("cat"));
    let refusal = find(&target.process()).expect_err("cat is no Python");
    assert!(matches!(refusal, NotPython::NoInterpreter), "{refusal}");
    assert!(refusal.hint().is_some());
}

#[test]
fn old_versions_are_refused_by_name() {
    let versions = pythons()[0].ancestors().nth(3).expect("a directory of versions").to_owned();
    for version in ["2.7.18", "3.6.15", "3.7.16"] {
        let python: PathBuf = versions.join(version).join("bin/python");
        if !python.exists() {
            eprintln!("skipped: no CPython {version}");
            continue;
        }
        let code = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()";
        let mut target = Target::start(Command::new(python).args(["-c", code]));
        target.line();
        match find(&target.process()) {
            Err(NotPython::TooOld(found)) => assert_eq!(found.to_string(), version),
            other => panic!("{version}: {other:?}"),
        }
    }
}
