"""A thread that looks whether its registers, flags and red zone are left alone."""

from .base import HOSTILE, OneThread


class registers(OneThread):
    """See registers.c."""

    def round(self, _):
        return HOSTILE.verify_registers(50)
