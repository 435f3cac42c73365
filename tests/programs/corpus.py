"""What a figure could get wrong, in small: the corpus that the replay is held against.
Everything but the addresses and the times is the same in every run."""

import ctypes
import queue
import threading

from harness import serve

# The GIL is held meanwhile, so the order of threads' events is theirs.
libc = ctypes.PyDLL(None)
P, N, I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
for name, result, arguments in (
    ("malloc", P, [N]),
    ("calloc", P, [N, N]),
    ("valloc", P, [N]),
    ("realloc", P, [P, N]),
    ("free", None, [P]),
    ("mmap", P, [P, N, I, I, I, ctypes.c_long]),
    ("munmap", I, [P, N]),
    ("mremap", P, [P, N, N, I, P]),
):
    function = getattr(libc, name)
    function.restype, function.argtypes = result, arguments
malloc, calloc, valloc, realloc, free = libc.malloc, libc.calloc, libc.valloc, libc.realloc, libc.free
PAGE = 4096
PRIVATE, FIXED, ANONYMOUS = 2, 0x10, 0x20
MAYMOVE, MREMAP_FIXED, DONTUNMAP = 1, 2, 4
kept = []


def map_pages(pages, at=None):
    flags = PRIVATE | ANONYMOUS | (FIXED if at else 0)
    return libc.mmap(at, pages * PAGE, 3, flags, -1, 0)


def unmap(base, first, pages):
    assert libc.munmap(base + first * PAGE, pages * PAGE) == 0


def remap(base, old, new, flags=MAYMOVE, to=None):
    return libc.mremap(base, old * PAGE, new * PAGE, flags, to)


def loops():
    """Many blocks from few lines; one in seven stays."""
    for number in range(300):
        block = malloc(600 + number % 5)
        other = calloc(number % 3 + 1, 700)
        free(block)
        if number % 7:
            free(other)
        else:
            kept.append(other)


def peaks():
    """Several peaks, two of them equally high; the last is lower."""
    for heights in ((40, 30), (70, 90), (90, 70), (60, 60)):
        blocks = [malloc(height * 10_000) for height in heights]
        small = valloc(1234)
        for block in blocks:
            free(block)
        free(small)


def parts():
    """Mappings in parts: ends, middle, one by many calls, many by one, covered."""
    for first, pages in ((0, 3), (7, 3), (4, 2)):
        unmap(map_pages(10), first, pages)
    base = map_pages(30)
    for first in (0, 10, 20):
        map_pages(10, base + first * PAGE)
    unmap(base, 5, 20)
    map_pages(4, base + 2 * PAGE)
    map_pages(40, base)
    for first in range(0, 40, 4):
        unmap(base, first, 2)
    unmap(base, 0, 40)
    libc.munmap(map_pages(3), 2 * PAGE + 1)


def remaps():
    """Mappings that grow, move, shrink, leave a part, cover another, stay behind."""
    base = remap(map_pages(10), 10, 200)
    base = remap(base, 200, 60)
    part = remap(base + 20 * PAGE, 10, 10, MAYMOVE | MREMAP_FIXED, map_pages(14))
    unmap(part, 3, 2)
    other = map_pages(8)
    remap(other, 8, 8, MAYMOVE | DONTUNMAP)
    unmap(other, 0, 4)


def chains():
    """Blocks that are reallocated again and again, to nothing in the end, or not."""
    for number in range(40):
        block = realloc(None, 600)
        for size in (900, 5000, 200_000, 800_000, 300, 650):
            block = realloc(block, size + number)
        if number % 8:
            realloc(block, 0)
        else:
            kept.append(block)


def recursion(depth="60"):
    """A block in each frame; a function that calls itself."""
    depth = int(depth)
    block = malloc(800 + depth)
    if depth:
        recursion(depth - 1)
    if depth % 10:
        free(block)


def temporary():
    """Blocks that live for 0 to 9 further allocations."""
    for age in range(10):
        block = malloc(1000 + age)
        between = [malloc(2000) for _ in range(age)]
        free(block)
        for other in between:
            free(other)
    mapped = map_pages(6)
    unmap(mapped, 0, 3)
    free(malloc(3000))
    unmap(mapped, 3, 3)


def hand_over(count, work, done):
    for number in range(count):
        work.put(malloc(4000 + number % 4))
        free(malloc(650))
    work.put(None)
    for block in iter(done.get, None):
        free(block)


def take_over(work, done):
    for number, block in enumerate(iter(work.get, None)):
        if number % 3:
            free(block)
        else:
            done.put(realloc(block, 4100 + number % 3))
    done.put(None)


def threads(count="4"):
    """Pairs of threads: what one allocates, the other frees, or reallocates and gives back."""
    running = []
    for _ in range(int(count)):
        work, done = queue.Queue(), queue.Queue()
        running.append(threading.Thread(target=hand_over, args=(60, work, done)))
        running.append(threading.Thread(target=take_over, args=(work, done)))
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def objects():
    """Python's own: dicts, lists and strings, some of which stay."""
    rows = [{"number": number, "text": str(number) * 9, "list": [number] * 90} for number in range(3000)]
    kept.append(rows[::10])
    rows.sort(key=lambda row: row["text"])
    "".join(row["text"] for row in rows)


def release():
    """Frees some of what was kept by now."""
    for _ in range(len(kept) // 2):
        block = kept.pop(0)
        if isinstance(block, int):
            free(block)


serve(
    {
        function.__name__: function
        for function in (
            loops, peaks, parts, remaps, chains, recursion, temporary, threads, objects, release
        )
    }
)
