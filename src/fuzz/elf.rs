//! Files that a process has mapped.

use crate::cpython::Interpreter;
use crate::native::{DebugFiles, Rules, SymbolFiles, Symbols};
use prof_injector::Pid;
use prof_injector::detour;
use prof_injector::memfd;
use prof_injector::process::{Mapping, Maps, Process};
use prof_injector::safepoint::{Forbidden, allocator_text, find_dlopen};
use std::io::Write;
use std::os::fd::AsRawFd;

/// Takes the bytes for a file that is mapped whole and executable.
pub fn elf(data: &[u8]) {
    rules(data);
    symbols(data);
    let mut file = memfd::create("fuzz").expect("memory files can be made");
    file.write_all(data).expect("there is room");
    let own = Process::open(Pid::from_raw(std::process::id().cast_signed())).expect("we live");
    let line = format!("7e0000000000-7e0000400000 r-xp 00000000 00:01 7 /proc/self/fd/{}", file.as_raw_fd());
    let maps = Maps(vec![Mapping::parse(&line).expect("a line of maps")]);
    let modules = own.modules(&maps);
    let found = detour::find(&modules);
    let _refused = Forbidden::from_modules(&modules, &[]);
    let _none = (allocator_text(&modules), find_dlopen(&modules));
    let _none = Interpreter::find(&own, &maps, &modules);
    for function in found.functions {
        assert!(function.size <= data.len());
    }
}

/// Unwind rules, of the whole file and of some places.
fn rules(data: &[u8]) {
    let Ok(mut rules) = Rules::parse(data) else { return };
    let text = rules.text();
    for pc in (0..64).map(|step| text.wrapping_add(step * 97)) {
        let _none = rules.row(pc);
    }
    if let Ok(table) = rules.table() {
        assert!(table.rows().is_sorted_by_key(|row| row.start));
        assert!(table.rows().len() <= data.len() * 8);
    }
}

/// Functions and lines, of some places in each function and of some elsewhere.
fn symbols(data: &[u8]) {
    let nowhere = DebugFiles::below("/proc/self/fdinfo");
    let Ok(files) = SymbolFiles::find(data, "/module".as_ref(), &nowhere) else { return };
    let mut symbols = Symbols::new(&files);
    let functions = symbols.functions();
    assert!(functions.is_sorted_by_key(|range| range.start));
    let step = functions.len() / 64 + 1;
    let inside =
        functions.iter().step_by(step).flat_map(|range| [range.start, range.start.midpoint(range.end)]);
    for address in inside.chain((0..64).map(|step| step * 97)).chain([u64::MAX]) {
        for frame in symbols.resolve(address) {
            assert!(frame.function.len().max(frame.raw_name.len()) < 5000);
        }
    }
}
