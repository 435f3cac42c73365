"""Does the same every time, for two tools to agree on: `marked.py LIBRARY [CAPTURE]`.

Each case is a function of its own that allocates blocks or mappings of one size. With
CAPTURE Memray records the cases; without it the program says `ready`, waits for a line,
does them, says `done` and waits again.
"""

import contextlib
import ctypes
import queue
import sys
import threading

library = ctypes.PyDLL(sys.argv[1])
P, N = ctypes.c_void_p, ctypes.c_size_t
for name, arguments in (
    ("mark", [N]),
    ("again", [P, N]),
    ("map", [N]),
    ("map_over", [P, N]),
    ("remap", [P, N, N]),
):
    function = getattr(library, name)
    function.restype, function.argtypes = P, arguments
library.give_back.restype, library.give_back.argtypes = None, [P]
library.unmap.argtypes = [P, N]
mark, again, give_back = library.mark, library.again, library.give_back
KIB, PAGE = 1024, 4096
asked, answered = queue.SimpleQueue(), queue.SimpleQueue()


def obey():
    for function, argument in iter(asked.get, None):
        answered.put(function(argument))


def in_other_thread(function, argument):
    """The result of a call that the other thread, which waits for it, makes."""
    asked.put((function, argument))
    return answered.get()


def handed_over(size):
    return mark(size)


def stays_there(size):
    return mark(size)


def between(count):
    if count:
        block = mark(1001)
        between(count - 1)
        give_back(block)


def aged_0():
    give_back(mark(10_000))


def aged_1():
    block = mark(11_000)
    between(1)
    give_back(block)


def aged_2():
    block = mark(12_000)
    between(2)
    give_back(block)


def aged_3():
    block = mark(13_000)
    between(3)
    give_back(block)


def frees_between():
    first = mark(14_000)
    block = mark(14_000)
    give_back(first)
    give_back(block)


def grows():
    block = mark(15_000)
    for factor in range(2, 6):
        block = again(block, 15_000 * factor)
    give_back(block)


def realloc_to_nothing():
    again(mark(16_000), 0)


def freed_by_another_thread():
    in_other_thread(give_back, mark(17_000))


def allocated_by_another_thread():
    give_back(in_other_thread(handed_over, 18_000))


def another_thread_between():
    block = mark(19_000)
    in_other_thread(between, 5)
    give_back(block)


def allocated_and_freed_by_another_thread():
    in_other_thread(give_back, in_other_thread(stays_there, 21_000))


def leaks():
    for _ in range(3):
        mark(300 * KIB)


def leaks_in_recursion(depth=4):
    mark(200 * KIB)
    if depth:
        leaks_in_recursion(depth - 1)


def maps_and_unmaps():
    library.unmap(library.map(70 * PAGE), 70 * PAGE)


def leaks_part_of_mapping():
    base = library.map(100 * PAGE)
    library.unmap(base + 40 * PAGE, 20 * PAGE)


def leaks_under_another_mapping():
    base = library.map(100 * PAGE)
    library.map_over(base, 100 * PAGE)


def leaks_remapped():
    library.remap(library.map(100 * PAGE), 100 * PAGE, 300 * PAGE)


def earlier_peak():
    give_back(mark(20_000 * KIB))


def at_the_peak():
    first = mark(30_000 * KIB)
    second = mark(30_000 * KIB)
    give_back(first)
    give_back(second)


def after_the_peak():
    give_back(mark(25_000 * KIB))


CASES = (
    earlier_peak, leaks, leaks_in_recursion, leaks_part_of_mapping, leaks_under_another_mapping, leaks_remapped,
    at_the_peak, after_the_peak, aged_0, aged_1, aged_2, aged_3, frees_between, grows, realloc_to_nothing,
    freed_by_another_thread, allocated_by_another_thread, another_thread_between,
    maps_and_unmaps, allocated_and_freed_by_another_thread,
)  # fmt: skip


def recording():
    if len(sys.argv) < 3:
        return contextlib.nullcontext()
    import memray

    return memray.Tracker(sys.argv[2])


def main():
    # What happens only once in a process is not to be in either recording.
    threading.Thread(target=obey, daemon=True).start()
    between(3)
    in_other_thread(between, 3)
    print("ready", flush=True)
    if len(sys.argv) < 3:
        sys.stdin.readline()
    with recording():
        for case in CASES:
            case()
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
