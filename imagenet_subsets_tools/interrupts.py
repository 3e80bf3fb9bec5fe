"""End commands on Ctrl-C (SIGINT) and SIGTERM: exit code 130 or 143, silently, leaving nothing behind."""

import contextlib
import os
import signal
import sys
import threading

_AGAIN = 0.05  # seconds until a signal is sent again
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class _Handler:
    """A signal handler: calls ``end(exit code)`` in this process, and exits forks that inherit it."""

    def __init__(self, end):
        self.end, self.process = end, os.getpid()

    def __call__(self, number, frame):
        code = 128 + number  # the convention of shells
        if os.getpid() != self.process:
            os._exit(code)
        self.end(code)


def ending_at_once():
    """Context in which a signal ends the process at once: for work that leaves nothing to clean up.

    An exception might have to wait, for example for uploads in other threads, or get lost: Python swallows exceptions
    raised in callbacks, and imports use many.
    """
    return _handling(_Handler(os._exit))


@contextlib.contextmanager
def ending_in_order():
    """Context in which a signal raises ``KeyboardInterrupt`` or, for SIGTERM, ``SystemExit(143)``."""
    raised = {}  # {exception: signal}

    def end(code):
        error = KeyboardInterrupt() if code == 128 + signal.SIGINT else SystemExit(code)
        raised[error] = code - 128
        raise error

    with _sending_again(raised.get), _handling(_Handler(end)):
        yield


@contextlib.contextmanager
def _sending_again(number_of):
    """Context that sends a signal again whose exception Python swallowed, as in at-fork callbacks.

    ``number_of`` maps an exception to the number of the signal that raised it, or to ``None``.
    """
    before = sys.unraisablehook

    def hook(unraisable):
        number = number_of(unraisable.exc_value)
        if number is None:
            before(unraisable)
        else:
            threading.Timer(_AGAIN, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def _handling(handler):
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number, default in _DEFAULTS.items():
                current = signal.getsignal(number)
                if current is default or isinstance(current, _Handler):  # leave handlers set by others alone
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, current in before.items():
            signal.signal(number, current)
