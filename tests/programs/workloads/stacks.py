"""Threads that change their stacks: makecontext and swapcontext, and greenlet."""

from .base import HOSTILE, Checked, OneThread, Threads


class contexts(Threads):
    """Each thread switches between contexts on small stacks, which come and go."""

    def __init__(self):
        super().__init__(2)

    def round(self, _):
        return HOSTILE.switch_contexts(200)


class greenlets(OneThread):
    """Switches in the middle of Python calls."""

    def __init__(self):
        super().__init__()
        import greenlet

        self.main = greenlet.getcurrent()
        self.checked = Checked(11)
        self.others = [greenlet.greenlet(self.work) for _ in range(4)]

    def work(self):
        while True:
            text = [str(number) for number in range(100)]
            self.main.switch(self.checked.load(50) + (len(text) != 100))

    def round(self, _):
        return sum(other.switch() for other in self.others)
