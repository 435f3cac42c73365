//! Stacks of stopped interpreters: frame by frame what gdb finds.

use super::Unwinder;
use super::test_target::{Known, Program, Target, pythons};
use prof_shared::row::{Base, End, Regs};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Threads in a sleep, in accept, in malloc, deep in a recursion through C; the
/// main thread in a signal handler.
const PROGRAM: &str = r#"
import ctypes, signal, socket, sys, threading, time
sys.setrecursionlimit(10000)
threading.stack_size(64 << 20)
started = threading.Barrier(5)
def sleeper():
    started.wait()
    time.sleep(1000)
def acceptor():
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen()
    started.wait()
    server.accept()
def allocator():
    started.wait()
    while True:
        bytearray(5000)
def deep(n=200):
    if n:
        return max([n], key=lambda _: deep(n - 1))
    started.wait()
    time.sleep(1000)
for work in sleeper, acceptor, allocator, deep:
    threading.Thread(target=work, daemon=True).start()
started.wait()
def on_signal(_):
    print('ready', flush=True)
    time.sleep(1000)
libc = ctypes.CDLL(None)
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_signal)
libc.signal(signal.SIGUSR1, handler)
getattr(libc, 'raise')(signal.SIGUSR1)
"#;

/// Prints each thread's registers and the pc of each of its frames, then waits.
const GDB: &str = r#"
import sys
for name in 'past-main', 'past-entry':
    gdb.execute('set backtrace %s on' % name)
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    regs = [int(frame.read_register(name)) % 2**64 for name in ('rip', 'rsp', 'rbp', 'rbx')]
    pcs = []
    while frame is not None:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pcs.append(frame.pc())
        frame = frame.older()
    print('THREAD', *['%x' % n for n in regs + pcs])
print('DONE')
sys.stdout.flush()
sys.stdin.readline()
"#;

/// gdb, holding a process stopped until dropped.
struct Gdb {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Gdb {
    fn attach(target: &Target) -> Gdb {
        let mut child = Command::new("gdb")
            .args(["--nx", "--batch", "-iex", "set auto-load off", "-p"])
            .arg(target.pid().to_string())
            .args(["-ex", &format!("python exec({GDB:?})")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("gdb is installed");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        Gdb { child, output }
    }

    /// The threads: registers, and the pc of each frame.
    fn threads(&mut self) -> Vec<(Regs, Vec<u64>)> {
        let lines = self.output.by_ref().map(|line| line.expect("gdb prints text"));
        let lines = lines
            .take_while(|line| line != "DONE")
            .filter_map(|line| Some(line.strip_prefix("THREAD ")?.to_owned()));
        let numbers = |line: String| -> Vec<u64> {
            line.split(' ').map(|number| u64::from_str_radix(number, 16).expect("a number")).collect()
        };
        let thread = |numbers: Vec<u64>| {
            let [pc, sp, bp, bx] = *numbers.first_chunk().expect("four registers");
            (Regs { pc, sp, bp, bx }, numbers[4..].to_vec())
        };
        lines.map(numbers).map(thread).collect()
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        let _ = self.child.stdin.as_mut().expect("piped").write_all(b"\n");
        let _ = self.child.wait();
    }
}

/// Stops a target and compares each thread's stack; gives the stacks.
fn compare(target: &Target) -> (Vec<Vec<u64>>, Unwinder<Vec<u8>>) {
    let known = Known::of(target);
    let mut unwinder = known.unwinder();
    let memory = known.process.memory();
    let mut gdb = Gdb::attach(target);
    let stacks = gdb.threads().into_iter().map(|(regs, expected)| {
        let found = unwinder.unwind(regs, 100_000, |addr| memory.read_u64(addr).ok());
        assert_eq!(found.pcs, expected);
        assert_eq!(found.end, End::Complete);
        found.pcs
    });
    (stacks.collect(), unwinder)
}

#[test]
fn stacks_of_interpreters() {
    for python in pythons() {
        println!("{}", python.display());
        let mut target = Target::start(&python, &["-c", PROGRAM]);
        assert_eq!(target.line(), "ready");
        let (stacks, mut unwinder) = compare(&target);
        assert_eq!(stacks.len(), 5);
        assert!(stacks.iter().any(|stack| stack.len() > 800));
        let is_signal = |pc: &u64| unwinder.row(*pc).is_some_and(|row| row.base == Base::SIGNAL);
        assert_eq!(stacks.concat().into_iter().filter(is_signal).count(), 1);
    }
}

/// A function that realigns its stack and keeps the CFA in memory.
const REALIGNED: &str = r#"
#include <alloca.h>
#include <stdio.h>
#include <unistd.h>
typedef int wide __attribute__((vector_size(64)));
__attribute__((noinline)) static void realigned(int size) {
    wide local[4];
    char *room = alloca(size);
    __asm__ volatile("" : : "r"(local), "r"(room) : "memory", "rbx");
    puts("ready");
    fflush(stdout);
    pause();
    __asm__ volatile("" : : "r"(local), "r"(room) : "memory");
}
int main(int count, char **arguments) {
    realigned(count * 100);
    return 0;
}
"#;

#[test]
fn stack_of_a_function_that_realigns_it() {
    let program = Program::build(REALIGNED);
    let mut target = Target::start(program.path(), &[]);
    assert_eq!(target.line(), "ready");
    let (stacks, mut unwinder) = compare(&target);
    assert!(stacks[0].iter().any(|pc| unwinder.row(*pc).is_some_and(|row| row.base == Base::AT_BP)));
}
