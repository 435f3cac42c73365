//! Exactness does not depend on how a process lies in its memory: large, crowded,
//! far from libc, without randomization, with any stack limit.

use crate::dsl::*;
use crate::exactness::record_in;

/// The whole sequence, exact; every entry has a way in, named.
fn check(mut target: Target) {
    let before = Snapshot::of(&target);
    let (log, capture) =
        record_in(&mut target, &["functions", "oddities", "mappings", "pointers", "storm 300"]);
    capture.holds_exactly(&log);
    let stats = &capture.stats;
    let entries = stats["entries"].as_array().expect("entries is a list");
    for name in ["malloc", "calloc", "realloc", "free", "posix_memalign", "mmap", "munmap"] {
        let entry = entries.iter().find(|entry| entry["name"] == name);
        assert!(entry.is_some_and(|entry| entry["way"].is_string()), "no way into {name}: {stats:#}");
    }
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
}

python_tests! { named:
    fn plain(python) {
        check(target("sequences.py").python(python).ready());
    }

    fn four_gib_of_mappings(python) {
        check(target("sequences.py").arg("mappings").python(python).ready());
    }

    fn two_hundred_threads(python) {
        check(target("sequences.py").arg("threads").python(python).ready());
    }

    fn a_large_library_above_libc(python) {
        let library = big_library().display().to_string();
        check(target("sequences.py").env("LD_PRELOAD", &library).python(python).ready());
    }

    fn no_randomization(python) {
        check(target("sequences.py").under(&["setarch", "-R"]).python(python).ready());
    }

    fn no_randomization_and_a_large_library(python) {
        let library = big_library().display().to_string();
        let under = ["setarch", "-R", "env", &format!("LD_PRELOAD={library}")];
        check(target("sequences.py").under(&under).python(python).ready());
    }

    /// In a C program, on a thread that is not its first.
    fn embedded(python) {
        let Some(library) = shared_library(python) else {
            return skip(&format!("Python {python} has no shared library"));
        };
        let embed = embedding_program().display().to_string();
        let library = library.display().to_string();
        check(target("sequences.py").under(&[&embed]).env("PROF_TEST_LIBRARY", &library).python(python).ready());
    }

    fn eight_gib_of_stack(python) {
        check(target("sequences.py").under(&EIGHT_GIB).python(python).ready());
    }

    fn unlimited_stack(python) {
        check(target("sequences.py").under(&UNLIMITED).python(python).ready());
    }
}

const EIGHT_GIB: [&str; 4] = ["sh", "-c", "ulimit -s 8388608 && exec \"$@\"", "sh"];
const UNLIMITED: [&str; 4] = ["sh", "-c", "ulimit -s unlimited && exec \"$@\"", "sh"];
