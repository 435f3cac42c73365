"""What Memray's own reader says of a capture: `memray_figures.py FILE THRESHOLD…`.

Bytes and blocks by the function that allocated, as JSON: at the peak, leaked, temporary
for each threshold. Stacks are those of Python.
"""

import json
import sys
from collections import defaultdict

import memray


def by_function(records):
    sums = defaultdict(lambda: [0, 0])
    for record in records:
        stack = record.stack_trace()
        one = sums[stack[0][0] if stack else ""]
        one[0] += record.size
        one[1] += record.n_allocations
    return sums


def main():
    reader = memray.FileReader(sys.argv[1])
    temporary = {
        threshold: by_function(
            reader.get_temporary_allocation_records(threshold=int(threshold), merge_threads=True)
        )
        for threshold in sys.argv[2:]
    }
    figures = {
        "peak_bytes": reader.metadata.peak_memory,
        "peak": by_function(reader.get_high_watermark_allocation_records(merge_threads=True)),
        "leaks": by_function(reader.get_leaked_allocation_records(merge_threads=True)),
        "temporary": temporary,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
