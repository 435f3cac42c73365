//! Stacks of C and Python: the native frames are those that the C library itself saw.

use crate::dsl::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What the C library saw: return addresses, innermost first, and the functions' names.
type Seen = Vec<(u64, String)>;

/// A recording of `native.py`.
struct Played {
    /// The records of the capture.
    records: Vec<Value>,
    seen: BTreeMap<u64, Seen>,
}

const EVALUATION: &str = "_PyEval_EvalFrameDefault";

/// Has `native.py` do these things.
fn play(python: &str, commands: &[&str]) -> Played {
    let mut target = start(python);
    let file = target.scratch().join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "--native", "-o"]).arg(&file).recording();
    for command in commands {
        target.ask(command);
    }
    recording.interrupt();
    let maps = std::fs::read_to_string(target.proc_dir().join("maps")).expect("it runs");
    assert!(!maps.contains("/memfd:prof-"), "{maps}");
    let played = Played::read(&file, &[native_library()], target.scratch());
    target.finish();
    played
}

fn start(python: &str) -> Target {
    let library = native_library().display().to_string();
    target("native.py").python(python).env("PROF_TEST_NATIVE", &library).ready()
}

impl Played {
    fn read(file: &Path, libraries: &[&Path], scratch: &Path) -> Played {
        let output = prof(&["parse", "--json"]).arg(file).run().success();
        let records = output.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let text = libraries.iter().map(|library| {
            let name = library.file_name().expect("a file").display().to_string();
            std::fs::read_to_string(scratch.join(format!("backtraces.{name}"))).expect("the helper wrote")
        });
        let text: String = text.collect();
        Played { records, seen: text.lines().map(seen).collect() }
    }

    /// The stack of the one allocation of that size.
    fn stack(&self, size: u64) -> &Vec<Value> {
        let is_it = |record: &&Value| record["kind"] == "malloc" && record["size"] == size;
        let found: Vec<_> = self.records.iter().filter(is_it).collect();
        let [event] = found[..] else { panic!("{} allocations of {size} bytes", found.len()) };
        event["stack"].as_array().expect("an allocation has a stack")
    }

    /// Where a native frame was in the process.
    #[track_caller]
    fn addr(&self, frame: &Value) -> u64 {
        let is_it = |record: &&Value| record["kind"] == "module" && record["path"] == frame["module"];
        let module = self.records.iter().find(is_it);
        let Some(module) = module else { panic!("{frame} is in no module") };
        let bias = module["load_bias"].as_u64().expect("a number");
        let offset = frame["offset"].as_str().and_then(|text| text.strip_prefix("0x")).expect("an address");
        bias.wrapping_add(u64::from_str_radix(offset, 16).expect("an address"))
    }

    /// Compares a stack with what the C library saw; gives it. Where frames of Python are it saw
    /// the interpreter's evaluation.
    #[track_caller]
    fn check(&self, size: u64) -> &Vec<Value> {
        let stack = self.stack(size);
        let mut seen = self.seen[&size].iter();
        let mut is_python = false;
        for (index, frame) in stack.iter().filter(|frame| frame["inlined"] != true).enumerate() {
            if frame.is_array() {
                is_python = true;
                continue;
            }
            let own = self.addr(frame);
            // The innermost asked a moment before it allocated. One that was interrupted made no call.
            let is_it = |pc: u64| index == 0 || own == pc - 1 || own == pc;
            let skipped: Vec<_> = seen.by_ref().take_while(|(pc, _)| !is_it(*pc)).collect();
            let is_evaluation = |(_, name): &&(u64, String)| name == EVALUATION || name == "?";
            let fits = skipped.iter().all(is_evaluation) && skipped.is_empty() != is_python;
            assert!(fits, "{size} bytes, frame {index}: {skipped:x?} in {:?}", names(stack));
            is_python = false;
        }
        assert_eq!((seen.next(), is_python), (None, false), "{size} bytes: {:?}", names(stack));
        assert_eq!(stack[0]["name"], "marked");
        stack
    }
}

/// `SIZE PC=NAME PC=NAME …`
fn seen(line: &str) -> (u64, Seen) {
    let mut words = line.split(' ');
    let size = words.next().and_then(|word| word.parse().ok()).expect("a size");
    let frame = |word: &str| {
        let (pc, name) = word.split_once('=').expect("an address and a name");
        (u64::from_str_radix(pc, 16).expect("an address"), name.to_owned())
    };
    (size, words.map(frame).collect())
}

/// The names of a stack's frames, innermost first: of C, and of Python in brackets.
fn names(stack: &[Value]) -> Vec<String> {
    let name = |frame: &Value| match frame.as_array() {
        Some(python) => format!("[{}]", python[0].as_str().expect("a name").rsplit('.').next().expect("one")),
        None => frame["name"].as_str().expect("a name").to_owned(),
    };
    stack.iter().map(name).collect()
}

/// The names of Python's frames, and of those of the helper.
fn own(stack: &[Value]) -> Vec<String> {
    let is_own = |frame: &Value| {
        frame.is_array() || frame["module"].as_str().is_some_and(|module| module.ends_with("native.so"))
    };
    names(&stack.iter().filter(|frame| is_own(frame)).cloned().collect::<Vec<_>>())
}

python_tests! { all:
    fn plain_calls(python) {
        let played = play(python, &["plain"]);
        let calls = ["marked", "middle", "[plain]", "[serve]", "[<module>]"].map(String::from);
        assert_eq!(own(played.check(40001)), calls);
        let sorted = names(played.check(40003));
        let position = |name: &str| sorted.iter().position(|found| found == name).expect(name);
        assert!(position("[<lambda>]") + 1 < position("[plain]"), "C lies between: {sorted:?}");
        for size in [40005, 40007, 40009] {
            played.check(size);
        }
    }

    /// What called a frame that is as it was.
    fn other_callers(python) {
        let played = play(python, &["callers"]);
        for (size, caller) in [(40071, "by_one"), (40073, "by_another"), (40075, "by_one")] {
            let calls = ["marked", "middle", caller, "[callers]", "[serve]", "[<module>]"].map(String::from);
            assert_eq!(own(played.check(size)), calls);
        }
    }

    fn recursion_through_c(python) {
        let played = play(python, &["recursion"]);
        for size in [40011, 40013, 40015, 40017, 40019] {
            let stack = played.check(size);
            assert_eq!(names(stack).iter().filter(|name| *name == "[recursion]").count(), 151);
            assert!(stack.len() > 700, "{}", stack.len());
        }
    }

    fn generators_and_destructors(python) {
        let played = play(python, &["generators", "destructors"]);
        for size in [40021, 40023, 40025, 40031, 40033] {
            played.check(size);
        }
        assert!(own(played.stack(40023)).starts_with(&["marked", "middle", "[numbers]", "[resume]", "[generators]"].map(String::from)));
        assert!(own(played.stack(40033)).contains(&"[__del__]".to_owned()));
    }

    fn threads_of_both_kinds(python) {
        let played = play(python, &["threads"]);
        played.check(40041);
        assert_eq!(own(played.check(40043)), ["marked", "middle", "run_marked"]);
        assert_eq!(own(played.check(40045)), ["marked", "middle", "[<lambda>]", "call_back", "run_callback"]);
        played.check(40047);
    }

    /// On the stack that was interrupted, and on another one.
    fn signal_handlers(python) {
        let played = play(python, &["signals"]);
        assert!(own(played.check(40051)).starts_with(&["marked", "middle", "handler"].map(String::from)));
        let elsewhere = played.stack(40053);
        assert_eq!(elsewhere.last().expect("a mark")["name"], "<native stack not the thread's own>");
        played.check(40055);
    }
}

/// Its frames are there once the recorder has seen it, and those of what comes in its place.
#[test]
fn libraries_that_come_and_go() {
    let mut target = start("3.12");
    let scratch = target.scratch().to_owned();
    let file = scratch.join("capture.prof");
    let recording = prof(&["attach", &target.pid(), "--native", "-o"]).arg(&file).recording();
    let mut libraries = Vec::new();
    for name in ["one-native.so", "two-native.so"] {
        let library = scratch.join(name);
        std::fs::copy(native_library(), &library).expect("a library can be copied");
        target.ask(&format!("load_late {}", library.display()));
        until("the library is seen", || {
            modules(&file).iter().any(|(path, _)| path.ends_with(name)).then_some(())
        });
        target.ask("use_late");
        target.ask("unload_late");
        until("it is seen to be gone", || {
            modules(&file).iter().any(|(path, has_ended)| path.ends_with(name) && *has_ended).then_some(())
        });
        libraries.push(library);
    }
    recording.interrupt();
    let output = prof(&["parse", "--json"]).arg(&file).run().success();
    target.finish();
    let stacks: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|record: &Value| record["size"] == 40061 && record["kind"] == "malloc")
        .map(|record| record["stack"].clone())
        .collect();
    let [one, two] = &stacks[..] else { panic!("{} allocations", stacks.len()) };
    for (stack, library) in [one, two].iter().zip(&libraries) {
        let stack = stack.as_array().expect("a stack");
        assert_eq!(names(stack)[..2], ["marked", "middle"], "{stack:?}");
        assert_eq!(stack[0]["module"], library.display().to_string());
        assert!(stack.last().is_some_and(|root| root["name"] == "_start"), "{stack:?}");
    }
}

/// The modules in a capture so far, and whether each is gone.
fn modules(file: &Path) -> Vec<(String, bool)> {
    let output = prof(&["parse", "--json"]).arg(file).run();
    let records = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let modules = records.filter(|record| record["kind"] == "module");
    modules
        .map(|m| (m["path"].as_str().unwrap_or_default().to_owned(), m.get("ended_ns").is_some()))
        .collect()
}
