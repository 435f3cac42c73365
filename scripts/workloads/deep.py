"""The blocks of `bigalloc` under 200 frames."""

from bigalloc import under

AMOUNT = 6_000_000
GOALS = {"prof": 2.0, "prof-objects": 3.0}
DEPTH = 200


def work(amount):
    under(DEPTH, amount)
