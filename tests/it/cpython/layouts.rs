//! The tables of offsets against what each version's headers say.

use crate::dsl::{interpreter, python_tests, skip};
use std::path::Path;
use std::process::Command;

/// A debug build's headers know one value differently, and the table has both.
fn as_in_debug_builds(table: &str) -> String {
    const DEBUG: &str = "interpreter_state_debug: ";
    let value = table.lines().find_map(|line| line.trim().strip_prefix(DEBUG)).expect("a value");
    let line = |line: &str| match line.trim().strip_prefix("interpreter_state: ") {
        Some(_) => format!("        interpreter_state: {value}\n"),
        None => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

python_tests! { all:
    fn tables_are_what_the_headers_say(python) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = interpreter(python);
        let code = "import sysconfig; print(sysconfig.get_path('include'), end='')";
        let include = Command::new(python).args(["-Ic", code]).output().expect("it runs").stdout;
        let include = String::from_utf8(include).expect("UTF-8");
        if !Path::new(&include).join("Python.h").exists() {
            return skip(&format!("no headers in {include}"));
        }
        let made = Command::new(root.join("scripts/gen_offsets")).args(["--print", &include]).output();
        let made = made.expect("the script runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let minor = include.rsplit_once('.').expect("a version").1.trim_end_matches('m');
        let (minor, is_debug) = (minor.trim_end_matches('d'), minor.ends_with('d'));
        let table = std::fs::read_to_string(root.join(format!("src/cpython/offsets/v3_{minor}.rs")));
        let made = String::from_utf8(made.stdout).expect("UTF-8");
        let table = table.expect("a table");
        let table = if is_debug { as_in_debug_builds(&table) } else { table };
        assert_eq!(made, table, "run scripts/gen_offsets: {}", python.display());
    }
}
