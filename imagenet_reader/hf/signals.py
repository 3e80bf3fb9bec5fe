"""Signals whose exceptions Python swallows.

This module imports little, because commands need it before their slow imports.
"""

import contextlib
import os
import sys
import threading

AGAIN = 0.05  # seconds until a signal is sent again


@contextlib.contextmanager
def sending_again(number_of):
    """Context that re-sends a signal whose exception Python swallowed, as in at-fork callbacks.

    ``number_of`` maps an exception to the number of the signal that raised it, or to ``None``.
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
