"""Python calls and nothing else: no memory is asked for while it runs."""

AMOUNT = 70
GOALS = {"prof": 1.0, "prof-objects": 2.5}


def fib(number):
    return number if number < 2 else fib(number - 1) + fib(number - 2)


def work(amount):
    for _ in range(amount):
        fib(25)
