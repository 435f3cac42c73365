"""Counts the instructions that a process executes between two breakpoints, by
executing them one at a time (ptrace(2)).

The time stamp counter is played back: each reading of it is `TICK` later than the one
before, as if nobody were counting. So a count depends on the program alone, and is
the same again tomorrow.
"""

import ctypes
import os
import signal
from contextlib import contextmanager

from .process import Failure

CONT, SINGLESTEP, GETREGS, SETREGS, DETACH, SEIZE = 7, 9, 12, 13, 17, 0x4206
INT3, RDTSC, RDTSCP = b"\xcc", b"\x0f\x31", b"\x0f\x01\xf9"
TICK = 256
LONGEST_S = 120

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    """`struct user_regs_struct` of sys/user.h on x86-64."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
            "fs_base gs_base ds es fs gs"
        ).split()
    ]


class Stepper:
    """Traces the only thread of a child of ours that is about to meet a breakpoint."""

    def __init__(self, pid):
        self.pid, self.registers, self.clock = pid, Registers(), None
        self.memory = os.open("/proc/%d/mem" % pid, os.O_RDONLY)
        self.code = {}
        self._request(SEIZE)

    def sections(self, count):
        """How many instructions each of `count` sections took: what lies between every
        other breakpoint and the next. Between sections the target runs freely."""
        counts = []
        self._wait()
        for number in range(count):
            if number:
                self._request(CONT)
                self._wait()
            counts.append(self._to_breakpoint())
        self._request(DETACH)
        return counts

    def _to_breakpoint(self):
        """Steps to the next breakpoint and beyond it; the instructions before it."""
        count = 0
        while True:
            self._request(GETREGS, ctypes.addressof(self.registers))
            instruction = self._instruction(self.registers.rip)
            if not instruction.startswith((RDTSC, RDTSCP)):
                self._request(SINGLESTEP)
                self._wait()
            else:
                self._play_clock(len(RDTSC) if instruction.startswith(RDTSC) else len(RDTSCP))
            if instruction.startswith(INT3):
                return count
            count += 1

    def _instruction(self, address):
        if address not in self.code:
            self.code[address] = os.pread(self.memory, 3, address)
        return self.code[address]

    def _play_clock(self, length):
        registers = self.registers
        if self.clock is None:
            self._request(SINGLESTEP)
            self._wait()
            self._request(GETREGS, ctypes.addressof(registers))
            self.clock = registers.rdx << 32 | registers.rax
            return
        self.clock += TICK
        registers.rax, registers.rdx = self.clock & 0xFFFF_FFFF, self.clock >> 32
        registers.rip += length
        self._request(SETREGS, ctypes.addressof(registers))

    def _request(self, what, data=0):
        if libc.ptrace(what, self.pid, 0, data) == -1:
            raise Failure("ptrace: " + os.strerror(ctypes.get_errno()))

    def _wait(self):
        """Until it stops by a breakpoint or a step."""
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != signal.SIGTRAP:
            raise Failure("the target did not stop as expected: status %#x" % status)


@contextmanager
def time_limit(seconds=LONGEST_S):
    """Interrupts whatever waits too long."""

    def expired(*_):
        raise Failure("no end within %d s" % seconds)

    previous = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def count(pid, sections, start):
    """Counts while the target does what `start` tells it to."""
    with time_limit():
        stepper = Stepper(pid)
        try:
            start()
            return stepper.sections(sections)
        finally:
            os.close(stepper.memory)
