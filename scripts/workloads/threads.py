"""Eight threads, each with a hundred blocks of several sizes that it replaces in turn."""

import threading
from itertools import cycle, repeat

AMOUNT = 4_000_000
GOALS = {"prof": 1.6, "prof-objects": 2.2}
THREADS = 8
SIZES = (600, 900, 1500, 2500, 4000)


def churn(amount):
    kept = [b""] * 100
    places = cycle(range(100))
    sizes = cycle(SIZES)
    for _ in repeat(None, amount):
        kept[next(places)] = bytes(next(sizes))


def work(amount):
    threads = [threading.Thread(target=churn, args=(amount // THREADS,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
