//! What is taken for an entry.

use crate::target::Target;
use prof_injector::detour::{Found, Hook, find};
use prof_injector::process::Module;

/// The modules of a small process, and libc's index.
fn modules() -> (Vec<Module>, usize) {
    let target = Target::start("\"$0\"");
    let modules = target.process.modules(&target.process.maps().expect("readable"));
    let libc = modules.iter().position(|module| module.symbol("malloc").is_some()).expect("a libc");
    (modules, libc)
}

fn names(found: &Found) -> Vec<&'static str> {
    found.functions.iter().map(|function| function.name).collect()
}

#[test]
fn names_at_one_address_are_one_entry() {
    let (modules, libc) = modules();
    let found = find(&modules);
    for (name, other, hook) in
        [("aligned_alloc", "memalign", Hook::AlignedAlloc), ("mmap", "mmap64", Hook::Mmap)]
    {
        let addrs = [name, other].map(|name| modules[libc].symbol(name).expect("in glibc").addr);
        assert_eq!(addrs[0], addrs[1], "{name}");
        let entries: Vec<_> = found.functions.iter().filter(|function| function.addr == addrs[0]).collect();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].name, entries[0].hook), (name, hook));
    }
}

#[test]
fn the_loaders_allocator_is_left_out() {
    let (mut modules, libc) = modules();
    let symbol = modules[libc].symbol("malloc").expect("in libc");
    modules[libc].symbols.insert("_rtld_global".into(), symbol);
    let mut names = names(&find(&modules));
    names.sort();
    assert_eq!(names, ["mmap", "mremap", "munmap"]);
}

#[test]
fn an_indirect_function_is_left_out_and_said() {
    let (mut modules, libc) = modules();
    modules[libc].symbols.get_mut("calloc").expect("in libc").is_function = false;
    let found = find(&modules);
    assert!(!names(&found).contains(&"calloc"));
    assert_eq!(found.skipped.len(), 1);
    let said = found.skipped[0].to_string();
    assert!(said.ends_with("defines calloc, but not as a plain function"), "{said}");
}
