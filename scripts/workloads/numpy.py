"""Array arithmetic with temporaries, on four threads."""

import threading

import numpy

AMOUNT = 40_000
GOALS = {"prof": 1.10, "prof-objects": 1.15}
REQUIRES = ["numpy"]
THREADS = 4


def arithmetic(amount):
    base = numpy.arange(4_000, dtype=numpy.float64)
    for _ in range(amount):
        scaled = base * 2.0 + 1.0
        (scaled * scaled).sum()


def work(amount):
    threads = [threading.Thread(target=arithmetic, args=(amount // THREADS,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
