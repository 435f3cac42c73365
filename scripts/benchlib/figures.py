"""Medians and their intervals."""

from math import comb
from statistics import median

CONFIDENCE = 0.9


def interval(values):
    """Bounds between which the median lies with at least 90 % (93.75 % for five
    values), by the binomial distribution; the extremes if there are too few."""
    ordered = sorted(values)
    count = len(ordered)
    outside, cut = 0.0, 0
    while 2 * (cut + 1) <= count:
        outside += 2 * comb(count, cut) / 2**count
        if 1 - outside < CONFIDENCE:
            break
        cut += 1
    skipped = max(cut - 1, 0)
    return ordered[skipped], ordered[count - 1 - skipped]


def summary(values):
    """Median, low, high; None if there is no value."""
    values = [value for value in values if value is not None]
    return (median(values), *interval(values)) if values else None
