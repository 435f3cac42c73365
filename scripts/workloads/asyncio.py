"""Many short tasks, a thousand at a time."""

import asyncio

AMOUNT = 100
GOALS = {"prof": 1.10, "prof-objects": 2.5}


async def task(number):
    await asyncio.sleep(0)
    queue = asyncio.Queue()
    await queue.put(number)
    return await queue.get()


async def rounds(amount):
    for _ in range(amount):
        answers = await asyncio.gather(*(task(number) for number in range(1000)))
        assert answers[-1] == 999


def work(amount):
    asyncio.run(rounds(amount))
