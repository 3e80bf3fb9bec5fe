"""Processes that end with the one that started them: else they would write, and hold locks, for ever."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import time

import multiprocess.util

_SECONDS = 0.2  # between two looks at the parent


def end_with(parent, stop=None):
    """Let this process end once ``parent``, the process number of the one that started it, has ended.

    It also ends once the ``multiprocessing.Connection`` ``stop``, if there is one, has something to read.
    """
    threading.Thread(target=_watch, args=(parent, stop), daemon=True, name="ends with the parent").start()


def _watch(parent, stop):
    while os.getppid() == parent and not (stop is not None and stop.poll()):
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

    Work that has not begun is cancelled when the context ends with an error; on an interrupt, what has begun ends, too,
    even if this process alone got the signal.
    """
    stop, stopping = multiprocessing.Pipe(duplex=False)
    pool = concurrent.futures.ProcessPoolExecutor(num_proc, initializer=_begin, initargs=(os.getpid(), stop))
    try:
        yield pool
    except Exception:
        raise
    except BaseException:
        stopping.send(None)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        stop.close()
        stopping.close()


def _begin(parent, stop):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with(parent, stop)
