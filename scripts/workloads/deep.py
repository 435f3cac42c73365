"""The blocks of `bigalloc` under 200 frames."""

import random
from itertools import cycle, repeat

AMOUNT = 6_000_000
GOALS = {"prof": 2.0, "prof-objects": 3.0}
DEPTH = 200
KEPT = 200

rng = random.Random(1)
PLACES = [rng.randrange(KEPT) for _ in range(9_973)]
SIZES = [rng.randrange(520, 1000) for _ in range(10_007)]


def blocks(amount):
    kept = [b""] * KEPT
    for _, place, size in zip(repeat(None, amount), cycle(PLACES), cycle(SIZES)):
        kept[place] = bytes(size)


def under(depth, amount):
    return under(depth - 1, amount) if depth > 1 else blocks(amount)


def work(amount):
    under(DEPTH, amount)
