//! Line tables of real code against the interpreter's own decoding.

use super::targets::script;
use crate::dsl::{interpreter, python_tests};
use prof::cpython::{Version, line};
use std::path::Path;
use std::process::Command;

type Described = (String, u32, String, Vec<(i32, i32, Option<u32>)>);

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().as_chunks::<2>().0;
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16);
    pairs.iter().map(|pair| byte(pair).expect("hex")).collect()
}

fn output_of(python: &Path, arguments: &[&str]) -> String {
    let output = Command::new(python).arg("-IWignore").args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

python_tests! { all:
    fn every_instruction_has_the_line_that_the_interpreter_says(python) {
        let python = interpreter(python);
        let version = output_of(python, &["-c", "import platform; print(platform.python_version(), end='')"]);
        let version = Version::parse(&version).unwrap_or_else(|| panic!("{version}"));
        let tables = output_of(python, &[script("tables.py").to_str().expect("UTF-8")]);
        let mut instructions = 0;
        for text in tables.lines() {
            let (name, first, table, ranges): Described = serde_json::from_str(text).expect("a description");
            let table = bytes(&table);
            for (start, end, expected) in ranges {
                for offset in (start..end).step_by(2) {
                    let expected = expected.unwrap_or(first);
                    assert_eq!(
                        line(version, first, &table, offset),
                        expected,
                        "{version} {name} at {offset}"
                    );
                    instructions += 1;
                }
            }
            assert_eq!(line(version, first, &table, -2), first, "{version} {name}");
        }
        assert!(instructions > 10_000, "{version}: only {instructions} instructions compared");
    }
}
