"""Names that mean harm: of code objects, files, threads, of the program itself.

Started again as a program with such a name, such arguments and such an environment.
"""

import ctypes
import os
import shutil
import sys

from harness import SCRATCH, N, P, replaced, serve

HARM = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n"
LONG = 10 << 20
NAMES = [
    HARM,
    "<script>alert('x')</script>&\"\\",
    "nul\0byte",
    "lone\udcff\ud800surrogates",
    "\u202egnp.exe\u2066\u2028\ufeff",
    "a" * LONG,
    "\u0436" * LONG,
    "\U0001f40d" * LONG,
    "\x1b" * LONG,
]
COMM = b"\x1b[2J\xff\xfe\xd0x\n)R"
ARGUMENT = "é" * 20000
VERSION = sys.version_info[:2]


malloc = ctypes.CDLL(None).malloc
malloc.restype = P


def template(size):
    malloc(N(size))  # site:allocate


def named(name):
    fields = {"co_name": name, "co_filename": name}
    if VERSION >= (3, 11):
        fields["co_qualname"] = name
    return fields


def long_table(code):
    """A line table that goes on for ever behind what is executed."""
    field = "co_lnotab" if VERSION < (3, 10) else "co_linetable"
    return {field: getattr(code, field) + b"\x02\0" * (LONG // 2)}


def make(fields):
    function = lambda size: None  # noqa: E731
    function.__code__ = replaced(template.__code__, **fields)
    return function


functions = [make(named(name)) for name in NAMES] + [make(long_table(template.__code__))]


def call(index):
    """Calls it as a caller and as the last; allocates 51000 + the index."""
    functions[int(index)](51000 + int(index))


def rename():
    """The thread's name is bytes, and ends in the middle of a character."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(15, COMM) == 0


def pretend():
    """Maps what the payload of another build would be."""
    libc = ctypes.CDLL(None, use_errno=True)
    name = b"prof-payload-" + HARM.encode()
    file = libc.memfd_create(name, 0)
    os.ftruncate(file, 4096)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    assert libc.mmap(None, 4096, 1, 2, file, 0) != ctypes.c_void_p(-1).value
    os.close(file)


def again():
    program = os.path.join(os.fsencode(SCRATCH), b"py\xff" + HARM.encode())
    shutil.copy(sys.executable, program)
    environment = dict(os.environb, PYTHONHOME=os.fsencode(sys.prefix))
    environment[b"HARM"] = environment[b"MORE\xff"] = HARM.encode() + b"\xff\xfe"
    directory = os.path.dirname(sys.executable)
    library = os.path.join(os.path.dirname(directory), "lib")
    environment[b"LD_LIBRARY_PATH"] = os.fsencode(library)
    os.execve(program, [HARM.encode() + b"\xff", __file__, "again", b"\xff\xfe", ARGUMENT], environment)


if len(sys.argv) < 2:
    again()
serve({"call": call, "rename": rename, "pretend": pretend, "count": lambda: len(functions)})
