//! Files that ask for endless work, or lie: their DWARF is given up, and the symbol table
//! still says which function an address is in.

use super::program::Program;
use crate::native::symbols::Symbols;

/// A library with one function `f` of 16 bytes, and DWARF written by hand.
fn library(dwarf: &str) -> Program {
    let text = r#"
    .section .text
    .globl f
    .type f, @function
f:  .fill 16, 1, 0x90
    .size f, 16

    .macro unit abbreviations
    .long 9f - 8f
8:  .short 5
    .byte 1, 8
    .long \abbreviations
    .endm
    .macro end_unit
9:
    .endm
    .macro entry code, tag, children
    .uleb128 \code, \tag
    .byte \children
    .endm
    .macro attribute name, form
    .uleb128 \name, \form
    .endm
    .macro end_entry
    .uleb128 0, 0
    .endm
"#;
    Program::build(&format!("{text}{dwarf}"), "cc -shared -nostdlib")
}

/// Whether DWARF is given up, and the symbol table is not.
#[track_caller]
fn is_given_up(program: &Program) -> bool {
    let files = program.files();
    let mut symbols = Symbols::new(&files);
    let start = symbols.functions_named("f")[0].start;
    for address in start..start + 16 {
        let frames = symbols.resolve(address);
        assert_eq!(frames.last().expect("the symbol table knows it").function, "f");
    }
    symbols.is_incomplete()
}

/// DWARF of one function that says how deep inlining goes in it.
fn nested(depth: usize) -> Program {
    library(&format!(
        r#"
    .section .debug_abbrev
    entry 1, 0x11, 1
    attribute 0x11, 0x01
    attribute 0x12, 0x07
    end_entry
    entry 2, 0x2e, 1
    attribute 0x11, 0x01
    attribute 0x12, 0x07
    end_entry
    entry 3, 0x1d, 1
    attribute 0x11, 0x01
    attribute 0x12, 0x0b
    end_entry
    .byte 0
    .section .debug_info
    unit 0
    .uleb128 1
    .quad f, 16
    .uleb128 2
    .quad f, 16
    .rept {depth}
    .uleb128 3
    .quad f
    .byte 16
    .endr
    .fill {depth}, 1, 0
    .byte 0, 0
    end_unit"#
    ))
}

#[test]
fn functions_nested_without_end() {
    assert!(!is_given_up(&nested(50)));
    assert!(is_given_up(&nested(100_000)));
}

/// Many are cut; they are not the stack's, which holds more.
#[test]
fn inlining_is_cut() {
    let program = nested(300);
    let files = program.files();
    let mut symbols = Symbols::new(&files);
    let start = symbols.functions_named("f")[0].start;
    let frames = symbols.resolve(start);
    assert!(frames.len() <= 256, "{}", frames.len());
    assert_eq!((frames[0].inlined, frames[frames.len() - 1].inlined), (true, false));
}

/// Each unit has the same long list of addresses.
fn sharing_ranges(units: usize) -> Program {
    library(&format!(
        r#"
    .section .debug_abbrev
    entry 1, 0x11, 0
    attribute 0x55, 0x17
    end_entry
    .byte 0
    .section .debug_info
    .rept {units}
    unit 0
    .uleb128 1
    .long 12
    end_unit
    .endr
    .section .debug_rnglists
    .long 7f - 6f
6:  .short 5
    .byte 8, 0
    .long 0
    .rept 20000
    .byte 4
    .uleb128 1, 2
    .endr
    .byte 0
7:"#
    ))
}

#[test]
fn units_that_share_a_long_list() {
    assert!(!is_given_up(&sharing_ranges(2)));
    assert!(is_given_up(&sharing_ranges(2000)));
}

/// An entry with attributes that take no bytes: they are read for nothing.
fn with_attributes(count: usize) -> Program {
    library(&format!(
        r#"
    .section .debug_abbrev
    entry 1, 0x11, 1
    attribute 0x11, 0x01
    attribute 0x12, 0x07
    end_entry
    entry 2, 0x34, 0
    .rept {count}
    attribute 0x3f, 0x19
    .endr
    end_entry
    .byte 0
    .section .debug_info
    unit 0
    .uleb128 1
    .quad f, 16
    .fill 1000, 1, 2
    .byte 0
    end_unit"#
    ))
}

#[test]
fn entries_of_many_attributes() {
    assert!(!is_given_up(&with_attributes(100)));
    assert!(is_given_up(&with_attributes(10_000)));
}

/// Files whose paths begin with the directory of their unit, which has a long name.
fn with_directory(length: usize) -> Program {
    library(&format!(
        r#"
    .section .debug_abbrev
    entry 1, 0x11, 0
    attribute 0x11, 0x01
    attribute 0x12, 0x07
    attribute 0x10, 0x17
    attribute 0x1b, 0x08
    end_entry
    .byte 0
    .section .debug_info
    unit 0
    .uleb128 1
    .quad f, 16
    .long 0
    .fill {length}, 1, 'd
    .byte 0
    end_unit
    .section .debug_line
    .long 7f - 6f
6:  .short 4
    .long 5f - 4f
4:  .byte 1, 1, 1, -5, 14, 13
    .byte 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1
    .byte 0
    .rept 5000
    .asciz "f"
    .byte 0, 0, 0
    .endr
    .byte 0
5:  .byte 0, 9, 2
    .quad f
    .byte 1, 2, 16, 0, 1, 1
7:"#
    ))
}

#[test]
fn long_names_of_directories() {
    assert!(!is_given_up(&with_directory(10)));
    assert!(is_given_up(&with_directory(200_000)));
}

/// A header of a line program that claims to have as many files as bytes: a place would
/// be made for each.
fn with_line_header(length: usize) -> Program {
    library(&format!(
        r#"
    .section .debug_abbrev
    entry 1, 0x11, 0
    attribute 0x11, 0x01
    attribute 0x12, 0x07
    attribute 0x10, 0x17
    end_entry
    .byte 0
    .section .debug_info
    unit 0
    .uleb128 1
    .quad f, 16
    .long 0
    end_unit
    .section .debug_line
    .long 7f - 6f
6:  .short 5
    .byte 8, 0
    .long 5f - 4f
4:  .byte 1, 1, 1, -5, 14, 13
    .byte 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1
    .byte 1
    .uleb128 1, 8
    .uleb128 1
    .asciz "/directory"
    .byte 1
    .uleb128 1, 8
    .uleb128 {length}
    .fill {length}, 1, 0
5:  .byte 0, 9, 2
    .quad f
    .byte 1, 2, 16, 0, 1, 1
7:"#
    ))
}

#[test]
fn headers_of_line_programs() {
    let line = |length| {
        let program = with_line_header(length);
        let files = program.files();
        let mut symbols = Symbols::new(&files);
        let start = symbols.functions_named("f")[0].start;
        symbols.resolve(start)[0].line
    };
    assert_eq!(line(1000), Some(1));
    assert_eq!(line(5 << 20), None);
}

/// A section, and an old symbol table, that grow without bounds.
#[test]
fn data_that_unpacks_to_much_more() {
    let text = "\n.section .debug_str\n.fill 30000000, 1, 'a\n";
    let program = library(text);
    program.run("objcopy --compress-debug-sections=zlib program");
    assert!(program.files().module.section(".debug_str").is_empty());
    program.run("head -c 30000000 /dev/zero > zeros; xz zeros");
    program.run("objcopy --add-section .gnu_debugdata=zeros.xz program");
    assert!(program.files().mini.is_none());
    let image = super::super::image::Image::open(std::fs::read(program.path("program")).unwrap()).unwrap();
    assert!(image.mini_debug_info().is_none());
}

#[test]
fn what_is_no_elf_file_is_refused() {
    use crate::native::{DebugFiles, SymbolFiles};
    let root = DebugFiles::below("/nowhere");
    let find = |bytes: &[u8]| SymbolFiles::find(bytes, "/a".as_ref(), &root).is_ok();
    let program = library("");
    let mut bytes = std::fs::read(program.path("program")).unwrap();
    assert!(find(&bytes));
    assert!(!find(&bytes[..100]));
    assert!(!find(&[]));
    bytes[0x12] = 183;
    assert!(!find(&bytes));
}
