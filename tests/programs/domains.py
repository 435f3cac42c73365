"""Calls of Python's own allocators, by known sizes; and tracemalloc around them."""

import ctypes
import threading
import tracemalloc

from harness import N, P, serve

api = ctypes.pythonapi
for domain in ("PyMem_Raw", "PyMem_", "PyObject_"):
    for name in ("Malloc", "Calloc", "Realloc"):
        getattr(api, domain + name).restype = P
    getattr(api, domain + "Free").restype = None


class Table(ctypes.Structure):
    _fields_ = [("words", ctypes.c_size_t * 5)]


def tables():
    """What stands in the allocator tables."""
    words = []
    for domain in range(3):
        table = Table()
        api.PyMem_GetAllocator(domain, ctypes.byref(table))
        words += table.words
    return ",".join("%x" % word for word in words)


def functions():
    """Each function of each domain: with small objects and with large ones."""
    addresses = []
    for mark, domain in ((0, "PyMem_Raw"), (1, "PyMem_"), (2, "PyObject_")):
        malloc, calloc, realloc, free = (
            getattr(api, domain + name) for name in ("Malloc", "Calloc", "Realloc", "Free")
        )
        for size in (421 + 20 * mark, 40421 + 20 * mark):
            first = malloc(N(size))
            second = calloc(N(1), N(size + 2))
            third = realloc(P(first), N(size + 4))
            fourth = realloc(None, N(size + 6))
            addresses += [first, second, third, fourth]
            free(P(second))
            free(P(third))
            free(P(fourth))
    return ",".join("%x" % address for address in addresses)


def churn():
    """Many small objects in several threads; whether all are as they were made."""
    failures = []

    def work(seed):
        kept = [{"key": seed + at, "text": str(seed + at)} for at in range(5000)]
        if any(item["text"] != str(item["key"]) for item in kept):
            failures.append(seed)

    threads = [threading.Thread(target=work, args=(1000000 * at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(failures)


kept = []


def leak(count):
    for at in range(int(count)):
        kept.append({"at": at, "name": str(at)})


def traced():
    """Whether tracemalloc sees what is allocated, and that it is given back."""
    before = tracemalloc.get_traced_memory()[0]
    blocks = [bytearray(1000) for _ in range(1000)]
    during = tracemalloc.get_traced_memory()[0]
    del blocks
    after = tracemalloc.get_traced_memory()[0]
    return int(during - before > 1000000 and after - before < 100000)


serve(
    {
        "tables": tables,
        "functions": functions,
        "churn": churn,
        "leak": leak,
        "trace": tracemalloc.start,
        "untrace": tracemalloc.stop,
        "traced": traced,
    }
)
