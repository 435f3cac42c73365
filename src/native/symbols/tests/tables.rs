//! Symbol tables: which of several symbols an address belongs to.

use super::program::Program;
use crate::native::symbols::Symbols;

/// A library of nothing but symbols. `.fill` gives it room.
const LIBRARY: &str = r#"
    .section .text
    .macro function name
    .type \name, @function
    .endm

    .globl outer
    function outer
outer:
    .fill 4, 1, 0x90
label_in_outer:
    .fill 4, 1, 0x90
    function inner
inner:
    .fill 2, 1, 0x90
    .size inner, 2
    .fill 2, 1, 0x90
    .size outer, 12

gap:
    .fill 4, 1, 0x90

    .globl unsized
    function unsized
unsized:
    .fill 8, 1, 0x90

    function local_alias
    .globl global_alias
    function global_alias
    .weak weak_alias
    function weak_alias
    .globl __global_alias
    function __global_alias
__global_alias:
local_alias:
global_alias:
weak_alias:
label_alias:
    .fill 4, 1, 0x90
    .size local_alias, 4
    .size __global_alias, 4
    .size global_alias, 4
    .size weak_alias, 4
    .fill 4, 1, 0x90

    .globl table
    .type table, @object
table:
    .fill 4, 1, 0x90
    .size table, 4

    .globl work
    function work
work:
    .fill 4, 1, 0x90
    .size work, 4
    .globl workshop
    function workshop
workshop:
    .fill 4, 1, 0x90
    .size workshop, 4
    function work.part.0
work.part.0:
    .fill 4, 1, 0x90
    .size work.part.0, 4
    function work.cold
work.cold:
    .fill 4, 1, 0x90
    .size work.cold, 4

    function last
last:
    .fill 4, 1, 0x90

    .section .text.other, "ax"
    .fill 8, 1, 0x90
end:
"#;

fn name(symbols: &mut Symbols<'_>, address: u64) -> Option<String> {
    symbols.resolve(address).into_iter().next().map(|frame| frame.function)
}

#[test]
fn the_best_symbol_of_an_address() {
    let program = Program::build(LIBRARY, "cc -shared -nostdlib -Wl,-z,noseparate-code");
    let files = program.files();
    let mut symbols = Symbols::new(&files);
    let start = symbols.functions_named("outer")[0].start;
    let expected = "
        outer outer outer outer outer outer outer outer inner inner outer outer
        gap gap gap gap
        unsized unsized unsized unsized unsized unsized unsized unsized
        weak_alias weak_alias weak_alias weak_alias - - - -
        - - - -
        work work work work workshop workshop workshop workshop
        work.part.0 work.part.0 work.part.0 work.part.0 work.cold work.cold work.cold work.cold
        last last last last";
    for (address, expected) in (start..).zip(expected.split_whitespace()) {
        let found = name(&mut symbols, address);
        assert_eq!(found.as_deref().unwrap_or("-"), expected, "{}", address - start);
    }
    assert_eq!(name(&mut symbols, start - 1), None);
    assert_eq!(name(&mut symbols, u64::MAX), None);
}

#[test]
fn the_parts_of_a_function() {
    let program = Program::build(LIBRARY, "cc -shared -nostdlib");
    let files = program.files();
    let symbols = Symbols::new(&files);
    let start = symbols.functions_named("outer")[0].start;
    let parts: Vec<_> =
        symbols.functions_named("work").iter().map(|part| part.start - start..part.end - start).collect();
    assert_eq!(parts, [36..40, 44..48, 48..52]);
    assert_eq!(symbols.functions_named("nothing"), []);
    assert_eq!(symbols.functions_named("__global_alias").len(), 1);
}

/// Exported functions alone are known of a stripped library.
#[test]
fn dynamic_symbols() {
    let program = Program::build(LIBRARY, "cc -shared -nostdlib -s");
    let files = program.files();
    let mut symbols = Symbols::new(&files);
    let exported = program.symbols("-D", "TW");
    assert_eq!(exported.len(), 7);
    let start = symbols.functions_named("outer")[0].start;
    for (address, expected) in
        [(8, Some("outer")), (12, None), (16, Some("unsized")), (24, Some("weak_alias")), (44, None)]
    {
        assert_eq!(name(&mut symbols, start + address).as_deref(), expected, "{address}");
    }
}

/// A library of many files keeps their symbols apart from where none is.
#[test]
fn functions_without_a_size_end_with_their_section() {
    let library = ".section .text\n .type f, @function\nf: nop\n .section .other, \"ax\"\n nop\n nop\n";
    let program = Program::build(library, "cc -shared -nostdlib");
    let files = program.files();
    let mut symbols = Symbols::new(&files);
    let part = symbols.functions_named("f")[0].clone();
    assert_eq!(part.end - part.start, 1);
    assert_eq!(name(&mut symbols, part.end), None);
}

/// Every stub, of each form that the linker makes.
#[test]
fn stubs_of_the_linker() {
    const SOURCE: &str = r#"
        #include <stdlib.h>
        #include <string.h>
        #include <stdio.h>
        void *(*volatile pointer)(size_t) = malloc;
        int main(int count, char **arguments) {
            free(malloc(10)); puts(arguments[0]); memset(arguments[0], 0, count);
            return ((char *)pointer(3))[0];
        }
    "#;
    let commands = [
        "cc -O1 -Wl,-z,lazy",
        "cc -O1 -Wl,-z,now",
        "cc -O1 -fcf-protection=full -Wl,-z,lazy",
        "cc -O1 -fcf-protection=full -Wl,-z,ibtplt -no-pie",
        "cc -O1 -s",
    ];
    for command in commands {
        let program = Program::build(SOURCE, command);
        let files = program.files();
        let mut symbols = Symbols::new(&files);
        let text = program.run("objdump -d program");
        let is_stub = |line: &&str| line.ends_with("@plt>:");
        let mut names = Vec::new();
        for line in text.lines().filter(is_stub) {
            let (address, stub) = line.split_once(" <").expect("a name");
            let address = u64::from_str_radix(address, 16).expect("an address");
            let stub = stub.trim_end_matches(">:");
            assert_eq!(name(&mut symbols, address).as_deref(), Some(stub), "{command}: {address:#x}");
            assert_eq!(name(&mut symbols, address + 6).as_deref(), Some(stub), "{command}: {address:#x}");
            names.push(stub.to_owned());
        }
        assert!(names.len() >= 2 && names.iter().any(|name| name == "puts@plt"), "{command}: {names:?}");
    }
}
