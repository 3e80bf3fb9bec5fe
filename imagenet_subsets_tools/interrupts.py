"""How a command ends on Ctrl-C (SIGINT) and SIGTERM: with exit code 130 or 143, without a word, leaving nothing."""

import contextlib
import os
import signal
import sys
import threading

_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

_AGAIN = 0.05  # seconds, after which a signal whose exception was lost is sent again


class _Handler:
    """A signal handler: calls ``end(exit code)`` in this process, and ends one that is forked and inherits it."""

    def __init__(self, end):
        self.end, self.process = end, os.getpid()

    def __call__(self, number, frame):
        code = 128 + number  # as shells have it
        if os.getpid() != self.process:
            os._exit(code)
        self.end(code)


def ending_at_once():
    """Context in which a signal ends the process at once: for work that leaves nothing to clear.

    An exception would have to wait, for the uploads of other threads perhaps, or get lost: Python drops those that are
    raised in a callback, and imports have many.
    """
    return _handling(_Handler(os._exit))


@contextlib.contextmanager
def ending_in_order():
    """Context in which a signal raises ``KeyboardInterrupt`` or, for SIGTERM, ``SystemExit(143)``."""
    raised, hook = [], sys.unraisablehook

    def end(code):
        raised.append(KeyboardInterrupt() if code == 128 + signal.SIGINT else SystemExit(code))
        raise raised[-1]

    def not_lost(unraisable):  # Python drops what is raised in a callback, of which a fork has some
        if unraisable.exc_value not in raised:
            hook(unraisable)
            return
        number = signal.SIGINT if isinstance(unraisable.exc_value, KeyboardInterrupt) else signal.SIGTERM
        threading.Timer(_AGAIN, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = not_lost
    try:
        with _handling(_Handler(end)):
            yield
    finally:
        sys.unraisablehook = hook


@contextlib.contextmanager
def _handling(handler):
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():  # no other may set them
            for number, default in _DEFAULTS.items():
                current = signal.getsignal(number)
                if current is default or isinstance(current, _Handler):  # nohup, and programs, have reasons for theirs
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, current in before.items():
            signal.signal(number, current)
