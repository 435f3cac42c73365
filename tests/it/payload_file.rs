//! The payload is what every loader takes: a library without demands.

use object::read::elf::{Dyn, ElfFile64, ElfSection64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, elf};

fn payload() -> ElfFile64<'static, Endianness> {
    ElfFile64::parse(prof::PAYLOAD).expect("the payload is an ELF file")
}

fn segments() -> Vec<(elf::ProgramType, elf::ProgramFlags)> {
    let file = payload();
    let headers = file.elf_program_headers().iter();
    headers.map(|header| (header.p_type(file.endian()), header.p_flags(file.endian()))).collect()
}

fn dynamic_tags() -> Vec<elf::DynamicTag> {
    let file = payload();
    let headers = file.elf_program_headers().iter();
    let found =
        headers.filter_map(|header| header.dynamic(file.endian(), prof::PAYLOAD).expect("a sound segment"));
    found.flatten().map(|entry| entry.d_tag(file.endian())).collect()
}

fn section(name: &str) -> Option<ElfSection64<'static, 'static, Endianness>> {
    let file: &'static _ = Box::leak(Box::new(payload()));
    file.section_by_name(name)
}

#[test]
fn is_a_library_for_this_machine() {
    let file = payload();
    assert_eq!(file.kind(), object::ObjectKind::Dynamic);
    assert_eq!(file.elf_header().e_machine(file.endian()), elf::EM_X86_64);
}

#[test]
fn wants_nothing() {
    let undefined: Vec<_> =
        payload().dynamic_symbols().filter(|symbol| symbol.is_undefined()).map(|s| s.index()).collect();
    assert!(undefined.len() <= 1, "undefined symbols besides the null symbol: {undefined:?}");
    let tags = dynamic_tags();
    assert!(!tags.is_empty());
    let init = [elf::DT_INIT, elf::DT_FINI, elf::DT_INIT_ARRAY, elf::DT_FINI_ARRAY, elf::DT_PREINIT_ARRAY];
    for tag in init.into_iter().chain([elf::DT_NEEDED, elf::DT_TEXTREL, elf::DT_JMPREL]) {
        assert!(!tags.contains(&tag), "it has the dynamic tag {tag:?}");
    }
}

#[test]
fn has_no_thread_local_storage() {
    assert!(segments().iter().all(|&(kind, _)| kind != elf::PT_TLS));
}

#[test]
fn has_no_executable_stack_and_no_writable_code() {
    let segments = segments();
    let stack = segments.iter().find(|(kind, _)| *kind == elf::PT_GNU_STACK);
    assert_eq!(stack.map(|&(_, flags)| flags & elf::PF_X), Some(elf::ProgramFlags(0)), "{segments:?}");
    assert!(segments.iter().all(|&(_, flags)| flags & (elf::PF_W | elf::PF_X) != elf::PF_W | elf::PF_X));
}

#[test]
fn has_only_relative_relocations() {
    let file = payload();
    let relocations = file.dynamic_relocations().into_iter().flatten();
    for (offset, relocation) in relocations {
        let object::RelocationFlags::Elf { r_type } = relocation.flags() else { panic!("an ELF relocation") };
        assert_eq!(r_type, elf::R_X86_64_RELATIVE, "at {offset:#x}");
    }
}

/// Debuggers, profilers and our own safe-point proof unwind through it.
#[test]
fn has_unwind_tables() {
    let size = section(".eh_frame").map_or(0, |section| section.size());
    assert!(size > 0, "no .eh_frame");
    assert!(segments().iter().any(|&(kind, _)| kind == elf::PT_GNU_EH_FRAME));
}

#[test]
fn is_small() {
    assert!((1..96 << 10).contains(&prof::PAYLOAD.len()), "{} bytes", prof::PAYLOAD.len());
}
