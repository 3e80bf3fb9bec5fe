"""How a command ends on Ctrl-C (SIGINT) and SIGTERM: with exit code 130 or 143, without a word, leaving nothing."""

import contextlib
import os
import signal
import threading

from imagenet_reader.hf.signals import sending_again

_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


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
    raised = {}  # {exception: signal}

    def end(code):
        error = KeyboardInterrupt() if code == 128 + signal.SIGINT else SystemExit(code)
        raised[error] = code - 128
        raise error

    with sending_again(raised.get), _handling(_Handler(end)):
        yield


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
