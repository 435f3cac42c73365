"""Seccomp filters, made by hand; as a program it runs a command under one.

usage: seccomp.py ACTION NAME COMMAND ARGUMENTS...

ACTION is a SECCOMP_RET_*, lower case, NAME a system call, or `docker` for a list that
is allowed.
"""

import ctypes
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
#: Of x86_64: number and, for some, which argument must have which bits.
CALLS = {
    "read": (0,),
    "close": (3,),
    "mmap_exec": (9, 2, 4),
    "mprotect": (10,),
    "mprotect_exec": (10, 2, 4),
    "munmap": (11,),
    "rt_sigreturn": (15,),
    "madvise_wipe": (28, 2, 18),
    "sigaltstack": (131,),
    "prctl": (157,),
    "reboot": (169,),
    "tgkill": (234,),
    "restart_syscall": (219,),
    "openat": (257,),
    "memfd_create": (319,),
    "membarrier": (324,),
}
#: What a program may do in a container, more or less: enough for all that is needed here.
ALLOWED = [0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 20, 28, 35, 39, 56, 60, 61, 72, 131, 150]
ALLOWED += [149, 186, 202, 204, 218, 228, 219, 230, 231, 234, 257, 262, 270, 273, 281, 318, 319, 334, 435]
ACTIONS = {"kill": 0x80000000, "kill_thread": 0, "trap": 0x30000, "errno": 0x50001, "allow": 0x7FFF0000}
LOAD, EQUAL, SET, RETURN = 0x20, 0x15, 0x45, 0x06
TSYNC = 1


def op(code, k, if_true=0, if_false=0):
    return struct.pack("<HBBI", code, if_true, if_false, k)


def against(action, number, argument=None, bits=0):
    """Answers one system call with `action` and allows all others."""
    end = [op(RETURN, ACTIONS[action]), op(RETURN, ACTIONS["allow"])]
    if argument is None:
        return [op(LOAD, 0), op(EQUAL, number, 0, 1)] + end
    look = [op(LOAD, 16 + 8 * argument), op(SET, bits, 0, 1)]
    return [op(LOAD, 0), op(EQUAL, number, 0, 3)] + look + end


def only(numbers):
    """Allows these and lets all others fail."""
    each = [op(EQUAL, number, len(numbers) - at) for at, number in enumerate(numbers)]
    return [op(LOAD, 0)] + each + [op(RETURN, ACTIONS["errno"]), op(RETURN, ACTIONS["allow"])]


def install(program, flags):
    code = b"".join(program)
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(code) // 8, 0), 16)
    keeper = ctypes.create_string_buffer(code)
    struct.pack_into("<Q", program, 8, ctypes.addressof(keeper))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    result = libc.syscall(317, 1, flags, program)  # SECCOMP_SET_MODE_FILTER
    assert result == 0, ctypes.get_errno()


def filter_of(action, name):
    return only(ALLOWED) if name == "docker" else against(action, *CALLS[name])


if __name__ == "__main__":
    install(filter_of(*sys.argv[1:3]), 0)
    os.execvp(sys.argv[3], sys.argv[3:])
