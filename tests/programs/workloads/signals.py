"""Signal handlers that allocate, or leave by a jump, a thousand times a second.

They need an allocator that may be interrupted anywhere: classes.c, preloaded.
"""

import ctypes

from .base import HOSTILE, OneThread

HOSTILE.handled.restype = ctypes.c_uint64


class signal_storm(OneThread):
    """The handler allocates and frees, whatever it interrupted."""

    on_alternate_stack = 0

    def __init__(self):
        super().__init__()
        assert HOSTILE.start_storm(self.on_alternate_stack) == 0

    def round(self, _):
        return HOSTILE.churn_under_signals(2000)

    def check(self):
        HOSTILE.stop_timer()
        return super().check() and HOSTILE.handled() > 0 and HOSTILE.stack_is_as_ever() != 0


class alternate_stack(signal_storm):
    """The same on an alternate stack, where faults are handled too."""

    on_alternate_stack = 1

    def round(self, _):
        return super().round(_) + HOSTILE.fault_and_recover(20)


class signal_jumps(OneThread):
    """The handler jumps out of whatever it interrupted: malloc, free, or a hook."""

    def __init__(self):
        super().__init__()
        assert HOSTILE.start_jumps() == 0

    def round(self, _):
        return HOSTILE.churn_under_jumps(2000)

    def check(self):
        HOSTILE.stop_timer()
        return super().check() and HOSTILE.handled() > 0
