"""A server that forks its workers, with sockets and without.

    workers N ROUNDS        N workers at once, each allocates ROUNDS blocks of marked sizes
    recycled N GENERATIONS  the same, one generation after the other
    busy N                  N workers, while other threads of the server allocate
    deep DEPTH              each child forks the next one
    pool METHOD             multiprocessing, started by METHOD
    serve N                 N workers of one listening socket, each ends after 100 requests
    handlers N              N forks by signal handlers (`forks.c`)
    keep N                  N workers that allocate until they are told to end

Each process counts what it does itself: a line `PID COUNT BYTES` for each in `counts`.
"""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
import warnings

import harness

#: Nobody else allocates blocks of sizes between these.
SMALLEST, LARGEST = 300_000, 400_000
REQUESTS = 100
KEPT = []
# 3.12 says so of each fork beside a thread.
warnings.simplefilter("ignore", DeprecationWarning)


libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]


class Block:
    """Of just this size, whatever the interpreter adds to its own."""

    def __init__(self, size, free=libc.free):
        self.address, self.free = libc.malloc(size), free

    def __del__(self):
        self.free(self.address)


class Counter:
    """Allocates and counts."""

    def __init__(self):
        self.count = self.bytes = 0
        self.kept = []

    def allocate(self, keep=3):
        size = SMALLEST + (os.getpid() * 31 + self.count * 7) % (LARGEST - SMALLEST)
        block = Block(size)
        self.count += 1
        self.bytes += size
        self.kept.append(block)
        del self.kept[:-keep]

    def write(self):
        line = "%d %d %d\n" % (os.getpid(), self.count, self.bytes)
        file = os.open(os.path.join(harness.SCRATCH, "counts"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)


def fork(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def join(pids):
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        assert status == 0, status


def burst(rounds):
    counter = Counter()
    for _ in range(rounds):
        counter.allocate()
    # Another thread of a forked process.
    thread = threading.Thread(target=lambda: [counter.allocate() for _ in range(rounds)])
    thread.start()
    thread.join()
    counter.write()


def workers(count, rounds):
    join([fork(lambda: burst(int(rounds))) for _ in range(int(count))])


def recycled(count, generations):
    for _ in range(int(generations)):
        workers(count, 20)


def deep(depth):
    def work(left):
        burst(10)
        if left:
            join([fork(lambda: work(left - 1))])

    work(int(depth))


def busy(count):
    """Forks while other threads allocate, whose places the children's own threads take."""
    ending = threading.Event()
    counters = [Counter() for _ in range(2)]

    def churn(counter):
        while not ending.is_set():
            counter.allocate(1)

    threads = [threading.Thread(target=churn, args=(counter,)) for counter in counters]
    for thread in threads:
        thread.start()
    for _ in range(int(count)):
        join([fork(lambda: burst(20))])
    ending.set()
    for thread, counter in zip(threads, counters):
        thread.join()
        counter.write()


def pooled(number):
    burst(5)
    return number


def pool(method):
    with multiprocessing.get_context(method).Pool(3) as made:
        assert made.map(pooled, range(6), 1) == list(range(6))
        made.close()
        made.join()


def serve(count):
    """Until the last client has its answer, workers that end are replaced."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients = threading.Thread(target=lambda: requests(server.getsockname(), int(count) * REQUESTS * 2))
        clients.start()
        for _ in range(2):
            join([fork(lambda: answer(server)) for _ in range(int(count))])
        clients.join()


def answer(server):
    counter = Counter()
    for _ in range(REQUESTS):
        connection, _ = server.accept()
        with connection:
            counter.allocate()
            connection.sendall(b"done")
    counter.write()


def requests(address, count):
    for _ in range(count):
        with socket.create_connection(address) as connection:
            assert connection.recv(4) == b"done"


def keep(count):
    """The pids; each allocates until its pipe is closed."""
    reading, writing = os.pipe()

    def work():
        os.close(writing)
        counter = Counter()
        os.set_blocking(reading, False)
        while True:
            counter.allocate()
            try:
                if os.read(reading, 1) == b"":
                    return counter.write()
            except BlockingIOError:
                pass

    KEPT.extend([writing, [fork(work) for _ in range(int(count))]])
    os.close(reading)
    return " ".join(map(str, KEPT[1]))


def handlers(count):
    churn = ctypes.CDLL(os.environ["FORKS"]).churn_with_forks
    churn.restype = ctypes.c_long
    return churn(int(count))


def let_go():
    os.close(KEPT[0])
    join(KEPT[1])


def kill(pid):
    os.kill(int(pid), signal.SIGKILL)
    os.waitpid(int(pid), 0)
    KEPT[1].remove(int(pid))


if __name__ == "__main__":
    harness.serve(
        {
            "workers": workers,
            "recycled": recycled,
            "busy": busy,
            "deep": deep,
            "pool": pool,
            "serve": serve,
            "keep": keep,
            "handlers": handlers,
            "let_go": let_go,
            "kill": kill,
            "burst": lambda rounds: burst(int(rounds)),
        }
    )
    sys.exit(0)
