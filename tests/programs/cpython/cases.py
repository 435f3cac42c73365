"""Blocks the main thread at known places, one after the other, while another
thread tells what the interpreter itself says of the main thread's stack.

Protocol: the main thread of case N blocks in a read of descriptor 100 + N. A
line "dump" is answered with its stack as JSON, leaf first; "next" lets it go on.
"""
import asyncio
import functools
import json
import os
import signal
import sys
import threading
import time

cases = []


def case(function):
    """Registers a function that gets a descriptor to read from."""
    cases.append(function)
    return function


@case
def plain(fd):
    before = 1
    os.read(fd, before)
    after = 2
    return after


@case
def nested(fd):
    def inner(depth):
        if depth:
            return (
                inner(
                    depth - 1
                )
            )
        return os.read(
            fd,
            1,
        )

    return inner(3)


@case
def call_over_many_lines(fd):
    return dict(
        first=len(
            "x"
        ),
        second=os.read(
            fd, 1
        ),
        third=3,
    )


@case
def generator(fd):
    def numbers():
        yield 1
        yield (
            os.read(fd, 1)
        )

    def delegate():
        yield 0
        yield from numbers()

    return [
        number
        for number in delegate()
    ]


@case
def comprehensions(fd):
    return {
        key: [
            os.read(fd, 1)
            for _ in range(1)
        ]
        for key in "a"
    }


@case
def class_body(fd):
    class Outer:
        first = 1

        class Inner:
            second = os.read(fd, 1)

    return Outer


@case
def decorated(fd):
    def decorator(
        argument
    ):
        os.read(fd, 1)
        return lambda function: function

    @decorator(
        "x"
    )
    @functools.lru_cache(
        maxsize=1
    )
    def function():
        pass

    return function


@case
def in_except(fd):
    try:
        try:
            raise ValueError
        finally:
            len("x")
    except ValueError:
        os.read(fd, 1)


@case
def in_finally(fd):
    try:
        return 1
    finally:
        os.read(fd, 1)


@case
def in_with(fd):
    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            os.read(fd, 1)

    with Manager():
        len("x")
        len("y")


@case
def in_binary_operator(fd):
    class Reader:
        __add__ = staticmethod(functools.partial(os.read, fd))

    value = Reader()
    return (
        value
        + 1
    )


@case
def in_for(fd):
    for _ in iter(
        functools.partial(os.read, fd, 1), b"x"
    ):
        pass


@case
def in_attribute(fd):
    class Reader:
        def __getattr__(self, name):
            return os.read(fd, len(name))

    return (
        Reader()
        .x
    )


@case
def callback_from_c(fd):
    return sorted(
        [1],
        key=lambda _: os.read(fd, 1),
    )


@case
def keyword_and_star_call(fd):
    return (lambda *a, **k: os.read(*a))(
        *[fd],
        *[1],
        **{},
    )


@case
def cells(fd):
    a = b = c = fd

    def inner():
        def innermost():
            return os.read(a, 1), b, c

        return innermost()

    return inner()


@case
def compiled_far_away(fd):
    source = "\n" * 70000 + "def far(read, fd):\n" + "\n" * 300 + "  return read(fd, 1)\n\n\nfar(read, fd)\n"
    exec(compile(source, "far away.py", "exec"), {"read": os.read, "fd": fd})


@case
def lines_that_go_back(fd):
    for index in range(2):
        value = [
            index and
            os.read(fd, 1),
            index,
        ]
    return value


@case
def long_function(fd):
    body = "".join(f"    x{i} = {i}; y = [x{i},\n x{i}]\n" for i in range(300))
    scope = {"read": os.read}
    exec(compile(f"def long(fd):\n{body}    read(fd, 1)\n{body}", "long.py", "exec"), scope)
    scope["long"](fd)


@case
def coroutine(fd):
    async def inner():
        await asyncio.sleep(0)
        return os.read(fd, 1)

    async def outer():
        async with asyncio.Lock():
            return await asyncio.gather(
                inner(),
            )

    loop = asyncio.new_event_loop()
    loop.run_until_complete(outer())
    loop.close()


@case
def names_of_every_width(fd):
    scope = {"read": os.read}
    source = "def naïve(fd):\n  żółw(fd)\ndef żółw(fd):\n  𝔵𐐷(fd)\ndef 𝔵𐐷(fd):\n  read(fd, 1)\n"
    exec(compile(source, "naïve/żółw/🐍.py", "exec"), scope)
    scope["naïve"](fd)


@case
def recursion(fd):
    def down(depth):
        return down(depth - 1) if depth else os.read(fd, 1)

    down(900)


@case
def destructor(fd):
    class Last:
        def __del__(self):
            os.read(fd, 1)

    last = Last()
    len("x")
    last = None
    return last


@case
def destructor_when_the_callee_returns(fd):
    class Last:
        def __del__(self):
            os.read(fd, 1)

    def callee(last):
        return len("x")

    return [
        callee(
            Last()
        ),
        2,
    ]


@case
def signal_handler(fd):
    def handler(number, frame):
        os.read(fd, 1)

    before = signal.signal(signal.SIGUSR1, handler)
    os.kill(
        os.getpid(), signal.SIGUSR1
    )
    for _ in range(10):
        len("x")
    signal.signal(signal.SIGUSR1, before)


@case
def trace_function(fd):
    done = []

    def trace(frame, event, argument):
        if event == "line" and not done:
            done.append(os.read(fd, 1))
        return trace

    def traced():
        x = 1
        return (
            x,
            len("x"),
        )

    sys.settrace(trace)
    traced()
    sys.settrace(None)


@case
def profile_function(fd):
    def profile(frame, event, argument):
        if event == "c_return" and argument is len:
            os.read(fd, 1)

    def profiled():
        return [
            1,
            len("x"),
        ]

    sys.setprofile(profile)
    profiled()
    sys.setprofile(None)


@case
def import_hook(fd):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "there_is_no_such_module":
                os.read(fd, 1)

    sys.meta_path.insert(0, Finder)
    try:
        import there_is_no_such_module
    except ImportError:
        pass
    sys.meta_path.remove(Finder)


@case
def comparison_and_hash(fd):
    class Key:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            os.read(fd, 1)
            return False

    return {
        Key(): 1,
        Key(): 2,
    }


@case
def sleeping_in_another_thread(fd):
    sleeper = threading.Thread(target=time.sleep, args=(3600,), daemon=True)
    sleeper.start()
    os.read(fd, 1)


def stack(frame):
    """What the interpreter says: name, file, line of each frame, leaf first."""
    found = []
    while frame is not None:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        found.append([name, code.co_filename, frame.f_lineno, code.co_firstlineno])
        frame = frame.f_back
    return found


def serve(main, writers):
    current = 0
    for line in sys.stdin:
        if line == "dump\n":
            print(json.dumps(stack(sys._current_frames()[main])), flush=True)
        elif line == "next\n":
            os.write(writers[current], b"x")
            current += 1


def main():
    writers = []
    for index in range(len(cases)):
        reader, writer = os.pipe()
        os.dup2(reader, 100 + index)
        writers.append(writer)
    threading.Thread(target=serve, args=(threading.get_ident(), writers), daemon=True).start()
    print(json.dumps([function.__name__ for function in cases]), flush=True)
    for index, function in enumerate(cases):
        function(100 + index)
    print("done", flush=True)


main()
