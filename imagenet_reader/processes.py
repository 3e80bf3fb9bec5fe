"""Processes that end with the one that started them: else they would write, and hold locks, for ever."""

import concurrent.futures
import contextlib
import os
import signal
import threading
import time

import multiprocess.util

_SECONDS = 0.2  # between two looks at the parent


def end_with(parent):
    """Let this process end once ``parent``, the process number of the one that started it, has ended."""
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="ends with the parent").start()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


class _Family:
    """Lets the processes that ``multiprocess`` forks end with this one, as long as the object lives."""

    def __init__(self):
        self.parent = os.getpid()
        multiprocess.util.register_after_fork(self, _Family._after_fork)

    def _after_fork(self):
        end_with(self.parent)
        self.parent = os.getpid()  # of what this process forks


@contextlib.contextmanager
def ending_with_this():
    """Context in which the processes that ``datasets`` starts end with this one.

    It forks them with ``multiprocess``. Where it spawns them instead (macOS), each calls ``end_with`` when it begins.
    """
    family = _Family()
    try:
        yield
    finally:
        del family


@contextlib.contextmanager
def worker_pool(num_proc):
    """A ``ProcessPoolExecutor`` whose processes end with this one and, without a word, on Ctrl-C.

    Work that has not begun is cancelled when the context ends with an error.
    """
    pool = concurrent.futures.ProcessPoolExecutor(num_proc, initializer=_begin, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with(parent)
