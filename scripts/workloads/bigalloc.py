"""Blocks beyond pymalloc's 512 bytes, under 20 frames."""

from blocks import under

AMOUNT = 6_000_000
GOALS = {"prof": 1.6, "prof-objects": 3.0}
DEPTH = 20


def work(amount):
    under(DEPTH, amount)
