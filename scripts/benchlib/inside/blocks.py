"""Blocks beyond pymalloc's 512 bytes: a calloc and a free each. Two hundred are kept and
replaced in random order, so addresses and sizes say little in advance."""

import random
from itertools import cycle, repeat

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
