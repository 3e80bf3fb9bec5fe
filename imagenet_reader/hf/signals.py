"""Signals whose exceptions Python drops.

It imports next to nothing: commands need it before they import the rest.
"""

import contextlib
import os
import sys
import threading

AGAIN = 0.05  # seconds, after which a signal whose exception was dropped is sent again


@contextlib.contextmanager
def sending_again(number_of):
    """Context in which a signal is sent again if Python drops its exception, as it does in callbacks: a fork has some.

    ``number_of`` gives the number of the signal that raised an exception, or ``None``.
    """
    before = sys.unraisablehook

    def hook(unraisable):
        number = number_of(unraisable.exc_value)
        if number is None:
            before(unraisable)
        else:
            threading.Timer(AGAIN, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
