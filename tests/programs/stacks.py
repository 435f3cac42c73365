"""Allocations from every place Python code can be. Each is made on the line on
which Python itself was asked for its stack: `malloc(witness(SIZE))`.
"""

import asyncio
import ctypes
import gc
import sys
import threading
import types

from harness import HELPER as h
from harness import N, P, Witness, replaced, say, serve

libc = ctypes.CDLL(None)
malloc = libc.malloc
malloc.restype = P
CALLBACK = ctypes.CFUNCTYPE(None)
witness = Witness()
sys.setrecursionlimit(1200)


def plain():
    def inner():
        malloc(witness(40001))  # site:40001

    inner()
    malloc(witness(40003))  # site:40003


def recursion(depth=1000):
    if depth == 500:
        malloc(witness(40005))  # site:40005
    if depth:
        recursion(depth - 1)
        return
    malloc(witness(40007))  # site:40007


def abyss(depth=5000):
    """Deeper than the payload remembers; down, at the bottom, and up again."""
    if depth == 5000:
        sys.setrecursionlimit(7000)
    if depth == 2000:
        malloc(witness(62001))  # site:62001
    if depth:
        abyss(depth - 1)
    if depth in (0, 1, 500):
        malloc(witness(62003 + 2 * depth))
    if depth in (2000, 4000):
        malloc(witness(62003 + 2 * depth))
    if depth == 5000:
        sys.setrecursionlimit(1200)


def generators():
    def numbers():
        malloc(witness(40009))  # site:40009
        yield 1
        malloc(witness(40011))  # site:40011
        yield 2

    def outer():
        yield from numbers()

    for _ in outer():
        pass
    sum(malloc(witness(size)) is not None for size in (40013, 40015))  # site:40013 site:40015


def coroutines():
    async def leaf():
        malloc(witness(40017))  # site:40017
        await asyncio.sleep(0)
        malloc(witness(40019))  # site:40019

    async def stream():
        malloc(witness(40021))  # site:40021
        yield 1

    async def main():
        await asyncio.gather(leaf(), asyncio.sleep(0))
        async for _ in stream():
            malloc(witness(40023))  # site:40023

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()


def callbacks():
    @CALLBACK
    def from_c():
        malloc(witness(40025))  # site:40025

    @CALLBACK
    def from_c_thread():
        malloc(witness(40027))  # site:40027

    h.callback_here(from_c)
    h.callback_in_c_thread(from_c_thread)
    sorted([1], key=lambda _: malloc(witness(40029)))  # site:40029


def threads():
    def work():
        malloc(witness(40031))  # site:40031

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    early.go.set()
    early.join()


class Early(threading.Thread):
    """A thread from before the attach."""

    def __init__(self):
        super().__init__(daemon=True)
        self.go = threading.Event()

    def run(self):
        self.go.wait()
        malloc(witness(40033))  # site:40033


def exceptions():
    def fail():
        try:
            raise ValueError
        finally:
            malloc(witness(40035))  # site:40035

    try:
        fail()
    except ValueError:
        malloc(witness(40037))  # site:40037
    malloc(witness(40039))  # site:40039


def classes():
    class Made:
        malloc(witness(40041))  # site:40041

        def method(self):
            malloc(witness(40043))  # site:40043

        @property
        def attribute(self):
            return malloc(witness(40045))  # site:40045

        def __del__(self):
            malloc(witness(40047))  # site:40047

    made = Made()
    made.method()
    made.attribute
    del made
    gc.collect()
    (lambda: malloc(witness(40049)))()  # site:40049


def spread():
    # One call over several lines: the line is that of the call.
    malloc(  # site:40051
        witness(
            40051,
        ),
    )
    [malloc(witness(size)) for size in (40053,)]  # site:40053


def compiled():
    """Functions that die; their code objects' addresses are used again."""
    seen = set()
    reused = 0
    for number in range(2000):
        source = "\n" * (number % 50) + "def made_%d():\n  malloc(witness(%d))\nmade_%d()" % (
            number,
            50001 + 2 * number,
            number,
        )
        names = {"malloc": malloc, "witness": witness}
        exec(compile(source, "<made %d>" % number, "exec"), names)
        address = id(names["made_%d" % number].__code__)
        reused += address in seen
        seen.add(address)
        del names["made_%d" % number], names
    say("reused %d" % reused)
    return reused


def reborn():
    """Functions in the place of dead ones: same code address, frame and instruction."""

    def template(size):
        malloc(witness(size))

    last = reused = 0
    for number in range(100):
        name = "born_%d" % number
        changes = {"co_name": name, "co_qualname": name}
        if sys.version_info < (3, 11):
            del changes["co_qualname"]
        code = replaced(template.__code__, **changes)
        reused += id(code) == last
        last = id(code)
        types.FunctionType(code, globals())(60001 + 2 * number)
        del code
    assert reused > 10, reused


def resumed():
    """A generator that goes on where it was, called by another each time."""

    def numbers():
        for size in range(61001, 61041, 2):
            malloc(witness(size))
            yield

    def here():
        next(suspended)

    def further():
        here()

    suspended = numbers()
    for caller in (here, further, here, further, further) * 4:
        caller()


def names():
    """Names and files that are not plain ASCII, and long ones."""
    for size, name in ((40061, "größe"), (40063, "名前"), (40065, "n" * 3000), (40067, "\U00020000")):
        source = "def %s(): malloc(witness(%d))\n%s()" % (name, size, name)
        exec(compile(source, "<%s>" % name, "exec"), {"malloc": malloc, "witness": witness})


def hostile():
    """A file whose name is a set of commands to a terminal."""
    name = "evil\x1b[2J\x1b]0;title\x07\r\n\x9b31m\u202e<script>.py"
    exec(compile("malloc(N(50000000))", name, "exec"), {"malloc": malloc, "N": N})


early = Early()
early.start()
SCENARIOS = (
    plain,
    recursion,
    abyss,
    generators,
    coroutines,
    callbacks,
    threads,
    exceptions,
    classes,
    spread,
    compiled,
    reborn,
    resumed,
    names,
    hostile,
)
commands = {scenario.__name__: scenario for scenario in SCENARIOS}
commands["write"] = witness.write
serve(commands)
