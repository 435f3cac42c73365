//! Stacks read from outside against what the interpreter itself says of them.

use super::targets::{Target, script};
use crate::dsl::{interpreter, python_tests};
use prof::cpython::{Frame, Looks, Thread};
use std::path::Path;
use std::process::Command;

fn expected(json: &str) -> Vec<(String, String, u32)> {
    let frames: Vec<(String, String, Option<u32>, u32)> = serde_json::from_str(json).expect("a stack");
    frames.into_iter().map(|(name, file, line, first)| (name, file, line.unwrap_or(first))).collect()
}

fn plain(frames: &[Frame]) -> Vec<(String, String, u32)> {
    frames.iter().map(|frame| (frame.name.to_string(), frame.file.to_string(), frame.line)).collect()
}

fn thread_with<'a>(threads: &'a [Thread], name: &str) -> &'a Thread {
    let of_name = |thread: &&Thread| thread.frames.iter().any(|frame| frame.name.ends_with(name));
    threads.iter().find(of_name).unwrap_or_else(|| panic!("no thread in {name}: {threads:#?}"))
}

fn start(python: &Path, script_name: &str) -> Target {
    Target::start(Command::new(python).arg("-I").arg(script(script_name)))
}

python_tests! { all:
    fn every_frame_has_the_line_that_the_interpreter_says(python) {
        let python = interpreter(python);
        let mut target = start(python, "cases.py");
        let cases: Vec<String> = serde_json::from_str(&target.line()).expect("the cases");
        let interpreter = target.interpreter();
        for (fd, case) in (100..).zip(&cases) {
            target.wait_for_read(fd);
            target.say("dump");
            let expected = expected(&target.line());
            let threads = interpreter.threads(&target.memory()).expect("a walk");
            let main = thread_with(&threads, "main");
            assert!(main.damage.is_none(), "{}, {case}: {:?}", python.display(), main.damage);
            assert_eq!(plain(&main.frames), expected, "{}, {case}", python.display());
            assert_eq!(interpreter.verify(&target.memory()), Looks::Right, "{}, {case}", python.display());
            target.say("next");
        }
        assert_eq!(target.line(), "done");
    }

    fn threads_of_subinterpreters_are_walked(python) {
        let python = interpreter(python);
        let mut target = start(python, "subinterpreter.py");
        target.line();
        target.wait_for_read(100);
        let threads = target.interpreter().threads(&target.memory()).expect("a walk");
        let inner = thread_with(&threads, "inner");
        assert_eq!((inner.frames[0].line, inner.frames[1].line), (4, 6), "{}", python.display());
        assert!(thread_with(&threads, "outer").damage.is_none());
    }

    fn the_finalizing_word_is_set_at_the_end(python) {
        let python = interpreter(python);
        let mut target = start(python, "ending.py");
        target.line();
        let finalizing = target.interpreter().offsets().finalizing;
        target.say("end");
        target.wait_for_read(100);
        let word = target.memory().read_u64(finalizing).expect("readable");
        assert_ne!(word, 0, "{}", python.display());
    }

    fn a_native_id_is_the_tid(python) {
        let python = interpreter(python);
        let mut target = start(python, "ending.py");
        target.line();
        let threads = target.interpreter().threads(&target.memory()).expect("a walk");
        let ids: Vec<_> = threads.iter().filter_map(|thread| thread.native_id).collect();
        if target.interpreter().version().at_least(11) {
            assert_eq!(ids, [u64::from(target.pid())], "{}", python.display());
        } else {
            assert_eq!(ids, [0_u64; 0], "{}", python.display());
        }
    }
}
