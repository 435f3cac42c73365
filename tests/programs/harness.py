"""What every target program shares: the handshake and the C helper.

A target says `ready`, then does what the lines on its stdin name and answers
`did WORD ...` to each, until `stop`.
"""

import ctypes
import json
import os
import sys

SCRATCH = os.environ["PROF_TEST_SCRATCH"]
HELPER = ctypes.CDLL(os.environ["PROF_TEST_HELPER"])
#: The same functions, called with the GIL held.
HOLDING = ctypes.PyDLL(os.environ["PROF_TEST_HELPER"])

for library in (HELPER, HOLDING):
    for name in (
        "do_malloc do_calloc do_realloc do_reallocarray do_posix_memalign do_aligned_alloc do_memalign "
        "do_valloc do_pvalloc do_mmap do_mmap64 do_mmap_stack do_mmap_over do_mremap table_malloc"
    ).split():
        getattr(library, name).restype = ctypes.c_void_p
    library.checked_load.restype = ctypes.c_uint64

P = ctypes.c_void_p
N = ctypes.c_size_t


def open_log(lanes):
    """Opens the helper's log where the test looks for it."""
    path = os.path.join(SCRATCH, "ops").encode()
    assert HELPER.open_log(path, lanes) == 0


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve(commands, check=lambda: True, lines=None):
    """Shakes hands and obeys until `stop`. What does something else meanwhile gives the
    lines of its stdin itself."""
    say("ready")
    for line in lines or iter(sys.stdin.readline, ""):
        word, _, rest = line.strip().partition(" ")
        if word == "stop":
            break
        answer = commands[word](*rest.split())
        say("did %s %s" % (word, "" if answer is None else answer))
    say("self-check ok" if check() else "self-check failed")


def replaced(code, **changes):
    """The code object with some attributes changed: `code.replace`, which 3.8 brought."""
    if hasattr(code, "replace"):
        return code.replace(**changes)
    order = (
        "argcount kwonlyargcount nlocals stacksize flags code consts names varnames "
        "filename name firstlineno lnotab freevars cellvars"
    ).split()
    return type(code)(*(changes.get("co_" + name, getattr(code, "co_" + name)) for name in order))


class Witness:
    """Keeps the stacks that Python itself sees, leaf first, by allocated size."""

    def __init__(self):
        self.stacks = {}

    def __call__(self, size):
        frame = sys._getframe(1)
        stack = []
        while frame is not None:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            stack.append([name, code.co_filename, frame.f_lineno])
            frame = frame.f_back
        assert size not in self.stacks
        self.stacks[size] = stack
        return N(size)

    def write(self):
        with open(os.path.join(SCRATCH, "stacks"), "w") as file:
            json.dump(self.stacks, file)
