//! Which processes are taken for CPython, and what is said of them.

use super::targets::{Target, script};
use crate::dsl::{available, interpreter, python_tests, skip};
use prof::cpython::{Allocator, Interpreter, Looks, NotPython};
use prof_injector::process::Process;
use std::path::Path;
use std::process::Command;

const READY: &str = "import platform; print(platform.python_version(), flush=True); input()";

fn start(python: &Path) -> Target {
    Target::start(Command::new(python).args(["-c", READY]))
}

fn find(process: &Process) -> Result<Interpreter, NotPython> {
    let maps = process.maps().expect("its maps");
    Interpreter::find(process, &maps, &process.modules(&maps))
}

/// `sys.abiflags` of a version of these tests.
fn flags(python: &str) -> &'static str {
    match python {
        "3.6" | "3.7" => "m",
        debug if debug.ends_with('d') => "d",
        _ => "",
    }
}

/// Debug builds check their small blocks.
fn by_default(python: &str) -> Allocator {
    if flags(python) == "d" { Allocator::PymallocDebug } else { Allocator::Pymalloc }
}

python_tests! { all:
    fn the_version_is_exact(python) {
        let python = interpreter(python);
        let mut target = start(python);
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

    fn the_allocator_is_told(python) {
        let (flags, default) = (flags(python), by_default(python));
        let python = interpreter(python);
        for (setting, expected) in [
            ("", default),
            ("malloc", Allocator::Malloc),
            ("pymalloc_debug", Allocator::PymallocDebug),
            ("malloc_debug", Allocator::MallocDebug),
            ("mimalloc", Allocator::Mimalloc),
            ("mimalloc_debug", Allocator::MimallocDebug),
        ] {
            let has_mimalloc = ["3.13", "3.14", "3.15"].iter().any(|new| python.to_string_lossy().contains(new));
            if setting.starts_with("mimalloc") && !has_mimalloc {
                continue;
            }
            let mut target =
                Target::start(Command::new(python).args(["-c", READY]).env("PYTHONMALLOC", setting));
            target.line();
            let process = target.process();
            let facts = target.interpreter().facts(&process, &process.maps().expect("its maps"));
            assert_eq!(facts.allocator, expected, "{}", python.display());
            assert_eq!((facts.implementation, facts.abi_flags), ("cpython", flags));
        }
    }

    fn tracemalloc_is_looked_through(python) {
        let default = by_default(python);
        let python = interpreter(python);
        let code = format!("import tracemalloc; tracemalloc.start(); {READY}");
        let mut target = Target::start(Command::new(python).args(["-c", &code]));
        target.line();
        let process = target.process();
        let facts = target.interpreter().facts(&process, &process.maps().expect("its maps"));
        assert_eq!(facts.allocator, default, "{}", python.display());
    }

    fn a_busy_process_looks_right(python) {
        let python = interpreter(python);
        let mut target = Target::start(Command::new(python).arg("-I").arg(script("busy.py")));
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

/// Where somebody has them: they are too old for CI's images.
#[test]
fn old_versions_are_refused_by_name() {
    if !available("3.12") {
        return;
    }
    let newer = interpreter("3.12").ancestors().nth(3).expect("a directory of versions");
    for version in ["2.7.18"] {
        let python = newer.join(version).join("bin/python");
        if !python.exists() {
            skip(&format!("no CPython {version}"));
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

/// Starts a program that exports CPython's symbols, compiled with `defines`.
fn stub(dir: &Path, name: &str, defines: &[&str]) -> Target {
    let program = dir.join(name);
    let mut cc = Command::new("cc");
    cc.args(["-rdynamic", "-DFREE_THREADED=0"]).args(defines).arg("-o").arg(&program).arg(script("stub.c"));
    assert!(cc.status().expect("cc runs").success(), "{cc:?}");
    let mut target = Target::start(&mut Command::new(program));
    target.line();
    target
}

#[test]
fn builds_that_cannot_be_read_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let cookie = format!("-DCOOKIE={:#x}", u64::from_ne_bytes(*b"xdebugpy"));
    for (index, (defines, message)) in [
        (vec!["-DPY_VERSION_HEX=0x031000f0"], "CPython 3.16.0 is too new for this version of prof"),
        (vec!["-DPY_VERSION_HEX=0x040000f0"], "CPython 4.0.0 is too new for this version of prof"),
        (vec!["-DPY_VERSION_HEX=0x030500f0"], "CPython 3.5.0 is too old"),
        (vec!["-DPY_VERSION_HEX=0x030c00b1"], "CPython 3.12.0b1 is a development release"),
        (vec!["-DPY_VERSION_HEX=0x030c0000"], "cannot tell the version of the CPython in "),
        (
            vec!["-DPY_VERSION_HEX=0x030b02f0", "-DEXTRA=PyModule_Create2TraceRefs"],
            "this CPython 3.11.2 is built with trace-refs",
        ),
        (
            vec!["-DPY_VERSION_HEX=0x030d00f0", "-DEXTRA=_Py_MergeZeroLocalRefcount"],
            "this CPython 3.13.0 is a free-threaded build",
        ),
        (
            vec!["-DPY_VERSION_HEX=0x030d00f0", &cookie, "-UFREE_THREADED", "-DFREE_THREADED=1"],
            "this CPython 3.13.0 is a free-threaded build",
        ),
        (vec!["-DPY_VERSION_HEX=0x030d00f0"], "CPython 3.13.0: _PyRuntime does not begin with debug offsets"),
        (
            vec!["-DPY_VERSION_HEX=0x030d00f0", &cookie],
            "CPython 3.13.0: word 4 of the debug offsets, 0, is out of range",
        ),
        (vec!["-DPY_VERSION_HEX=0x030c01f0"], "CPython is not initialized in this process"),
        (vec!["-DPY_VERSION_HEX=0x030c01f0", "-DNO_RUNTIME"], " does not export _PyRuntime"),
        (vec!["-DPY_VERSION_HEX=0x030c01f0", "-DEXTRA=pypy_main_startup"], "this process runs PyPy ("),
    ]
    .into_iter()
    .enumerate()
    {
        let target = stub(dir.path(), &format!("stub{index}"), &defines);
        let refusal = find(&target.process()).expect_err(message).to_string();
        assert!(refusal.contains(message), "{defines:?}: {refusal:?}, not {message:?}");
    }
}
