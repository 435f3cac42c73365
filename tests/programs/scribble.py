"""Writes nonsense over the ring of whoever records it, while it allocates.

It writes through a descriptor of its own, not through the mapping: that may go at any
moment, and something of its own may come there.
"""

import ctypes
import os
import struct
import threading

from harness import HELPER as h
from harness import serve

TABLE = 4096
CHUNK_HEADER = 64
OWNER = 64
FULL, OPEN = 2, 1
EVERYTHING = 0xFFFFFFFF
# Origin of a chunk, and a malloc: the same place in the code, 16 bytes further, 8 bytes.
ORIGIN = bytes.fromhex("1801e72400c0843d")
MALLOC = bytes.fromhex("0100030408")

stopping = threading.Event()
wrong = [0]


class Ring:
    """The ring's file, and how it is laid out."""

    def __init__(self):
        with open("/proc/self/maps") as maps:
            line = next(line for line in maps if "/memfd:prof-ring" in line)
        self.file = os.open("/proc/self/map_files/" + line.split()[0], os.O_RDWR)
        self.chunk_bytes, self.chunks = struct.unpack("<II", os.pread(self.file, 8, 8))
        self.data = -(-(TABLE + self.chunks * CHUNK_HEADER) // 4096) * 4096
        self.bytes = self.data + self.chunks * self.chunk_bytes

    def write(self, at, what):
        os.pwrite(self.file, what, at)

    def states(self, state, committed):
        head = struct.pack("<III", os.getpid() << 2 | state, committed, 0).ljust(CHUNK_HEADER, b"\0")
        self.write(TABLE, head * self.chunks)


def over_all(pattern):
    def work(ring):
        for at in range(0, ring.bytes, 1 << 20):
            ring.write(at, pattern(min(1 << 20, ring.bytes - at)))

    return work


def header(ring):
    ring.write(0, os.urandom(TABLE))


def links(ring):
    """Where a mutex of libc's would keep its neighbours in the list of its thread."""
    ring.write(OWNER + 24, b"\x40" * 16)


def table(ring):
    ring.write(TABLE, os.urandom(ring.data - TABLE))


def committed(ring):
    """Old contents, again and again, by chunks that are full or held by nobody."""
    for state in (FULL, OPEN):
        for bytes in (EVERYTHING, 1, ring.chunk_bytes):
            ring.states(state, bytes)


def fill(records):
    def work(ring):
        chunk = ORIGIN + records(ring.chunk_bytes - len(ORIGIN))
        for index in range(ring.chunks):
            ring.write(ring.data + index * ring.chunk_bytes, chunk)
        ring.states(OPEN, len(chunk) // 2)
        ring.states(FULL, len(chunk))

    return work


def descriptions(room):
    """Of as many codes as go in, without any text; each time of others."""
    first = descriptions.next
    descriptions.next = (first + room // 10) % (1 << 28)
    numbers = range(first | 1 << 21, (first | 1 << 21) + room // 10)
    return b"".join(b"\x1a" + leb(number) + b"\1\0\0\0\0" for number in numbers)


def leb(number):
    return bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128, number >> 21 & 127])


descriptions.next = 1

KINDS = {
    "zeros": over_all(bytes),
    "ones": over_all(lambda size: b"\xff" * size),
    "noise": over_all(os.urandom),
    "header": header,
    "links": links,
    "table": table,
    "committed": committed,
    "mallocs": fill(lambda room: MALLOC * (room // len(MALLOC))),
    "descriptions": fill(descriptions),
}


def scribble(kind):
    ring = Ring()

    def work():
        try:
            while not stopping.is_set():
                KINDS[kind](ring)
        except OSError:
            pass  # the recording is over, and the descriptor was taken for one of its own

    threading.Thread(target=work, daemon=True).start()


def shrink():
    """What the kernel says to the attempts to take the ring's pages away."""
    ring = Ring()
    tries = [lambda: os.ftruncate(ring.file, 0), lambda: os.ftruncate(ring.file, ring.bytes - 4096)]
    tries.append(lambda: os.truncate("/proc/self/fd/%d" % ring.file, 4096))
    answers = []
    for attempt in tries:
        try:
            attempt()
            answers.append("0")
        except OSError as error:
            answers.append(str(error.errno))
    os.close(ring.file)
    return " ".join(answers)


def allocate(seed):
    state = ctypes.c_uint64(seed)
    while not stopping.is_set():
        wrong[0] += h.checked_load(ctypes.byref(state), ctypes.c_uint64(2000))


def check():
    stopping.set()
    return wrong[0] == 0


for seed in (1, 2):
    threading.Thread(target=allocate, args=(seed,), daemon=True).start()
serve({"scribble": scribble, "shrink": shrink}, check)
