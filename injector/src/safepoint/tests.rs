//! Verdicts over stacks made up in this process's own memory, and the ranges
//! found in a real process.

use super::*;
use crate::Pid;
use crate::process::{Mapping, Maps, Memory, Process};
use prof_shared::row::{Base, Regs, Row};
use std::io::{Read, Write};
use std::ops::Range;
use std::process::{Child, Command, Stdio};

/// Forbidden code of the made-up stacks.
const EVIL: Range<u64> = 0x10_000..0x11_000;
/// Code in which every function has a frame of two words.
const GOOD: Range<u64> = 0x20_000..0x21_000;
/// Code that nobody called: the outermost function.
const START: u64 = 0x30_000;
/// Code without rules.
const UNKNOWN: u64 = 0x40_000;
/// The signal restorer.
const RESTORER: u64 = 0x50_000;

fn rules(pc: u64) -> Option<Row> {
    match pc {
        pc if GOOD.contains(&pc) || EVIL.contains(&pc) => Some(Row::new(0, Base::SP, 16)),
        pc if pc >> 12 == START >> 12 => Some(Row::new(0, Base::END, 0)),
        _ => None,
    }
}

/// Judges a thread at `pc` whose stack holds `words`; they stand in the middle
/// of a mapping of a normal stack's size.
fn judge(pc: u64, words: &[u64], is_normal: bool, accept_stale: bool) -> Verdict {
    let mut memory = vec![0u64; 4096];
    memory[1000..][..words.len()].copy_from_slice(words);
    let start = memory.as_ptr() as u64;
    let end = start + if is_normal { 4096 * 8 } else { 1100 * 8 };
    let line = format!("{start:x}-{end:x} rw-p 00000000 00:00 0 ");
    let maps = Maps(vec![Mapping::parse(&line).unwrap()]);
    let regs = Regs { pc, sp: start + 8000, bp: 0, bx: 0 };
    let forbidden = Forbidden::of_ranges(&[EVIL], &[RESTORER]);
    forbidden.judge(&Look { regs, memory: &Memory::new(Pid::this()), maps: &maps, accept_stale }, rules)
}

#[test]
fn a_complete_walk_and_a_clean_scan_are_safe() {
    assert_eq!(judge(0x20_000, &[7, 0x20_100, 8, START + 5], true, false), Verdict::Safe);
    assert_eq!(judge(0x20_000, &[7, 0x20_100, 8, START + 5], false, false), Verdict::Safe);
}

#[test]
fn forbidden_frames_are_unsafe() {
    let at = |pc, words: &[u64]| judge(pc, words, true, true);
    assert_eq!(at(0x10_000, &[7, START + 5]), Verdict::Unsafe(Reason::Pc, 0x10_000));
    assert_eq!(at(0x20_000, &[7, 0x10_100, 8, START + 5]), Verdict::Unsafe(Reason::Frame, 0x10_100));
    assert_eq!(at(0x20_000, &[7, 0x10_100]), Verdict::Unsafe(Reason::Frame, 0x10_100));
    assert_eq!(at(RESTORER + 7, &[]), Verdict::Unsafe(Reason::Pc, RESTORER + 7));
    assert_eq!(at(0x20_000, &[7, RESTORER]), Verdict::Unsafe(Reason::SignalFrame, RESTORER));
}

/// A call that does not return can be the last instruction of its function.
#[test]
fn return_addresses_belong_to_the_call_before() {
    assert_eq!(
        judge(0x20_000, &[7, EVIL.end, 8, START + 5], true, true),
        Verdict::Unsafe(Reason::Frame, EVIL.end)
    );
    assert_eq!(judge(0x20_000, &[7, GOOD.end, EVIL.start, START + 5], true, false), Verdict::Safe);
}

#[test]
fn stale_words_need_to_be_accepted() {
    let words = [0x10_100, 0x20_100, 8, START + 5];
    assert_eq!(judge(0x20_000, &words, true, false), Verdict::Unproven(Unsure::StaleWord(0x10_100)));
    assert_eq!(judge(0x20_000, &words, true, true), Verdict::Safe);
}

#[test]
fn what_lies_outside_the_live_stack_does_not_count() {
    let words = [7, START + 5, 0x10_100];
    assert_eq!(judge(0x20_000, &words, true, false), Verdict::Safe);
}

#[test]
fn a_broken_walk_needs_a_clean_scan_of_a_normal_stack() {
    let words = [7, UNKNOWN, 8, 9];
    assert_eq!(judge(0x20_000, &words, true, false), Verdict::Safe);
    let verdict = judge(0x20_000, &words, false, true);
    assert!(matches!(verdict, Verdict::Unproven(Unsure::Incomplete(_))), "{verdict:?}");
    for word in [0x10_100, RESTORER] {
        let verdict = judge(0x20_000, &[7, UNKNOWN, 8, word], true, true);
        assert_eq!(verdict, Verdict::Unsafe(Reason::StackWord, word));
    }
}

#[test]
fn a_wild_stack_pointer_is_unproven() {
    let regs = Regs { pc: 0x20_000, sp: 0x1000, bp: 0, bx: 0 };
    let look = Look { regs, memory: &Memory::new(Pid::this()), maps: &Maps::default(), accept_stale: true };
    let verdict = Forbidden::of_ranges(&[EVIL], &[]).judge(&look, rules);
    assert_eq!(verdict, Verdict::Unproven(Unsure::NoStack));
}

/// `cat`, running: what was written has come back.
struct Cat(Child);

impl Cat {
    fn start() -> Cat {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat is there");
        child.stdin.as_mut().expect("piped").write_all(b"x").expect("cat reads");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("cat writes");
        Cat(child)
    }

    fn modules(&self) -> Vec<crate::process::Module> {
        let process = Process::open(Pid::from_raw(self.0.id() as i32)).unwrap();
        process.modules(&process.maps().unwrap())
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ranges_of_a_real_libc() {
    let cat = Cat::start();
    let modules = cat.modules();
    let forbidden = Forbidden::from_modules(&modules, &[EVIL]).unwrap();
    let libc = modules.iter().find(|module| glibc::is_libc(module)).unwrap();
    let addr = |name| libc.symbol(name).expect(name).addr;
    for name in
        ["malloc", "free", "calloc", "realloc", "malloc_info", "fork", "exit", "system", "dl_iterate_phdr"]
    {
        assert!(forbidden.has_pc(addr(name)), "{name}");
    }
    for name in
        ["read", "write", "nanosleep", "poll", "memcpy", "qsort", "printf", "pthread_mutex_lock", "accept"]
    {
        assert!(!forbidden.has_pc(addr(name)), "{name}");
    }
    assert!(forbidden.has_pc(EVIL.start) && !forbidden.has_pc(EVIL.end));
    assert!(!forbidden.restorers().is_empty());
    let loader = modules.iter().find(|module| glibc::is_loader(module)).unwrap();
    assert!(loader.text.iter().all(|text| forbidden.has_pc(text.start) && forbidden.has_pc(text.end - 1)));
    assert!(forbidden.ranges().is_sorted_by(|a, b| a.start < b.start && a.end < b.end));
}

/// Where the symbols of Debian's libc are installed, its local functions are
/// checked too.
#[test]
fn the_malloc_range_holds_its_local_functions() {
    let cat = Cat::start();
    let modules = cat.modules();
    let libc = modules.iter().find(|module| glibc::is_libc(module)).unwrap();
    let id: String = libc.build_id.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("/usr/lib/debug/.build-id/{}/{}.debug", &id[..2], &id[2..]);
    let Ok(data) = std::fs::read(&path) else {
        return println!("skipped: no {path}");
    };
    let range = glibc::malloc_range(libc).unwrap();
    let elf = goblin::elf::Elf::parse(&data).unwrap();
    let mut found = 0;
    for symbol in elf.syms.iter().filter(|symbol| symbol.is_function() && symbol.st_value != 0) {
        let name = elf.strtab.get_at(symbol.st_name).unwrap_or_default();
        let start = symbol.st_value + libc.load_bias;
        let is_local = ["_int_", "sysmalloc", "systrim", "tcache_", "arena_", "malloc_con", "_mid_memalign"];
        if is_local.iter().any(|prefix| name.starts_with(prefix)) {
            assert!(range.contains(&start) && range.contains(&(start + symbol.st_size - 1)), "{name}");
            found += 1;
        }
    }
    assert!(found >= 6, "{found}");
    assert!(range.end - range.start < 0x10_000, "{range:x?}");
}

#[test]
fn dlopen_is_found() {
    let cat = Cat::start();
    let modules = cat.modules();
    let loader = find_dlopen(&modules).unwrap();
    let owner = modules.iter().find(|module| module.has_code(loader.dlopen)).unwrap();
    assert_eq!(owner.symbol("dlopen").map(|symbol| symbol.addr), Some(loader.dlopen));
    assert!(owner.has_code(loader.dlclose) && loader.dlerror.is_some_and(|addr| owner.has_code(addr)));
    assert_eq!(find_dlopen(&[]), None);
}

#[test]
fn without_glibc_nothing_is_said() {
    assert!(matches!(Forbidden::from_modules(&[], &[]), Err(Error::NoGlibc)));
}
