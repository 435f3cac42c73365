//! The safe-point oracle on real processes, with the rules made here.

use super::test_target::{Known, Program, Target, pythons};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use prof_injector::Pid;
use prof_injector::safepoint::{Forbidden, Look, Verdict};
use prof_shared::row::Regs;
use std::time::{Duration, Instant};

/// Tries of each thread after which stale words are accepted, as an attacher would,
const PATIENCE: usize = 20;
/// and of all threads, if there are few.
const LEAST_TRIES: usize = 100;

/// A thread held stopped until dropped.
struct Stopped(Pid);

impl Stopped {
    fn stop(thread: Pid) -> Stopped {
        ptrace::seize(thread, ptrace::Options::empty()).expect("the thread is there");
        ptrace::interrupt(thread).expect("it is seized");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        Stopped(thread)
    }

    fn regs(&self) -> Regs {
        let regs = ptrace::getregs(self.0).expect("it is stopped");
        Regs { pc: regs.rip, sp: regs.rsp, bp: regs.rbp, bx: regs.rbx }
    }
}

impl Drop for Stopped {
    /// Lets the thread go and, if it can run, waits until it did: a stop that
    /// follows at once would find it where it was.
    fn drop(&mut self) {
        let before = run_time(self.0);
        let _ = ptrace::detach(self.0, None);
        while before.is_some() && run_time(self.0) == before && is_runnable(self.0) {
            std::thread::yield_now();
        }
    }
}

/// Time on a processor, as the kernel has it.
fn run_time(thread: Pid) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).ok()?;
    Some(line.split(' ').next()?.to_owned())
}

fn is_runnable(thread: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"));
    status.is_ok_and(|status| status.contains("State:\tR") || status.contains("State:\tt"))
}

/// Allocates in a tight loop on some threads and says when it is inside: the
/// word is set before each call of the allocator and cleared after it. No `calloc`:
/// it ends in a jump to `memset`, which is outside although the word is set.
const MALLOC_LOOP: &str = r#"
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#define INSIDE(call) do { inside = 1; __asm__ volatile("" ::: "memory"); call; \
                          __asm__ volatile("" ::: "memory"); inside = 0; } while (0)
static __thread volatile uint64_t inside;
static pthread_mutex_t print = PTHREAD_MUTEX_INITIALIZER;
static void *work(void *unused) {
    void *kept[64] = {0};
    pthread_mutex_lock(&print);
    printf("%ld %lx\n", syscall(SYS_gettid), (long)&inside);
    fflush(stdout);
    pthread_mutex_unlock(&print);
    for (uint64_t seed = (uint64_t)&inside;;) {
        for (int i = 0; i < 300; i++) seed = seed * 6364136223846793005u + 1442695040888963407u;
        void **slot = &kept[seed >> 58];
        size_t size = (seed >> 32) % 3000;
        if (size % 97 == 0) size = 200000;
        if (seed >> 20 & 1) INSIDE(*slot = realloc(*slot, size + 1));
        else if (seed >> 21 & 1) { INSIDE(free(*slot)); *slot = 0; INSIDE(*slot = memalign(64, size)); }
        else { INSIDE(free(*slot)); *slot = 0; INSIDE(*slot = malloc(size)); }
        if (size % 89 == 0) INSIDE(malloc_trim(0));
    }
}
int main(void) {
    for (int i = 0; i < 3; i++) { pthread_t thread; pthread_create(&thread, 0, work, 0); }
    pause();
}
"#;

#[test]
fn a_thread_inside_malloc_is_never_safe() {
    let program = Program::build(MALLOC_LOOP);
    let mut target = Target::start(program.path(), &[]);
    let flags: Vec<(Pid, u64)> = (0..3).map(|_| thread_and_flag(&target.line())).collect();

    let known = Known::of(&target);
    let forbidden = Forbidden::from_modules(&known.modules, &[]).expect("the target has glibc");
    let mut unwinder = known.unwinder();
    let memory = known.process.memory();
    let own = known.modules.iter().find(|module| module.path == program.path()).expect("it is mapped");
    let libc = known.modules.iter().find(|module| module.symbol("gnu_get_libc_version").is_some());
    let munmap = libc.and_then(|libc| libc.symbol("munmap")).expect("libc has munmap");
    let munmap = munmap.addr..munmap.addr + munmap.size; // `free` ends in a jump to it
    let (mut safe, mut inside) = (0, 0);
    for (thread, flag) in flags.iter().cycle().take(1000) {
        let stopped = Stopped::stop(*thread);
        let regs = stopped.regs();
        let look = Look { regs, memory: &memory, maps: &known.maps, accept_stale: true };
        let verdict = forbidden.judge(&look, |pc| unwinder.row(pc));
        let is_set = memory.read_u64(*flag).expect("it is mapped") == 1;
        let is_inside = is_set && !own.has_code(regs.pc) && !munmap.contains(&regs.pc);
        assert!(!(is_inside && verdict == Verdict::Safe), "Safe inside malloc at {:#x}", regs.pc);
        let by_scan_alone = forbidden.judge(&look, |_| None);
        assert!(!(is_inside && by_scan_alone == Verdict::Safe), "scanned past malloc at {:#x}", regs.pc);
        safe += usize::from(verdict == Verdict::Safe);
        inside += usize::from(is_inside);
    }
    assert!(safe > 10 && inside > 100, "{safe} times safe, {inside} times inside malloc");
}

fn thread_and_flag(line: &str) -> (Pid, u64) {
    let (thread, flag) = line.split_once(' ').expect("two numbers");
    let flag = u64::from_str_radix(flag, 16).expect("an address");
    (Pid::from_raw(thread.parse().expect("a number")), flag)
}

/// What Pythons do when somebody attaches.
const PROGRAMS: [(&str, &str); 6] = [
    ("sleep", "print('ready', flush=True)\nimport time\ntime.sleep(1000)"),
    (
        "accept",
        "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\n\
                print('ready', flush=True)\ns.accept()",
    ),
    ("bytes", "print('ready', flush=True)\nwhile True: bytes(2000)"),
    (
        "json",
        "import json\nprint('ready', flush=True)\nwhile True: json.loads(json.dumps([{'a': 1.5}] * 100))",
    ),
    (
        "deep",
        "import sys, time\nsys.setrecursionlimit(10000)\ndef f(n):\n if n: return max([n], key=lambda _: f(n - 1))\n\
              \u{20}print('ready', flush=True)\n time.sleep(1000)\nf(150)",
    ),
    (
        "threads",
        "import json, threading\ndef f():\n while True: json.loads(json.dumps([{'a': 1.5}] * 100))\n\
                 for _ in range(4): threading.Thread(target=f).start()\nprint('ready', flush=True)",
    ),
];

#[test]
fn pythons_are_safe_soon() {
    for python in pythons() {
        for (name, program) in PROGRAMS {
            let mut target = Target::start(&python, &["-c", program]);
            assert_eq!(target.line(), "ready");
            let tries = tries(&target);
            let first = tries.iter().position(|one| one.verdict == Verdict::Safe);
            let slowest = tries.iter().map(|one| one.time).max().unwrap_or_default();
            println!("{} {name}: safe at try {first:?}, slowest verdict {slowest:?}", python.display());
            let last = tries.last().map(|one| one.verdict);
            assert!(first.is_some(), "{} {name}: {last:?}", python.display());
        }
    }
}

/// C code that calls Python back, which says so and stays.
const HELD: [(&str, &str); 2] = [
    ("SignalFrame", "libc.signal(10, handler)\ngetattr(libc, 'raise')(10)"),
    ("Frame", "libc.dl_iterate_phdr(handler, None)"),
];

#[test]
fn a_thread_held_up_at_a_bad_place_is_never_safe() {
    for python in pythons() {
        for (reason, call) in HELD {
            let program = format!(
                "import ctypes, time\nlibc = ctypes.CDLL(None)\n\
                 def held(*_):\n print('ready', flush=True)\n time.sleep(1000)\n\
                 handler = ctypes.CFUNCTYPE(ctypes.c_int)(held)\n{call}"
            );
            let mut target = Target::start(&python, &["-c", &program]);
            assert_eq!(target.line(), "ready");
            for one in tries(&target) {
                let verdict = format!("{:?}", one.verdict);
                assert!(verdict.starts_with(&format!("Unsafe({reason},")), "{}: {verdict}", python.display());
            }
        }
    }
}

struct Try {
    verdict: Verdict,
    time: Duration,
}

/// Judges the target's threads in turn.
fn tries(target: &Target) -> Vec<Try> {
    let known = Known::of(target);
    let forbidden = Forbidden::from_modules(&known.modules, &[]).expect("the target has glibc");
    let mut unwinder = known.unwinder();
    let memory = known.process.memory();
    let threads = target.threads();
    let one = |(index, thread): (usize, &Pid)| {
        let stopped = Stopped::stop(*thread);
        let begin = Instant::now();
        let look = Look {
            regs: stopped.regs(),
            memory: &memory,
            maps: &known.maps,
            accept_stale: index / threads.len() >= PATIENCE,
        };
        let verdict = forbidden.judge(&look, |pc| unwinder.row(pc));
        Try { verdict, time: begin.elapsed() }
    };
    let count = LEAST_TRIES.max(2 * PATIENCE * threads.len());
    threads.iter().cycle().enumerate().take(count).map(one).collect()
}
