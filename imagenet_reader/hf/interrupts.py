"""Work that an exception of a signal handler stops in order, instead of wherever it happens to be."""

import _thread
import concurrent.futures
import functools
import threading
import time

INTERVAL = 0.2  # seconds between checks


class Stop:
    """A request to stop: ``is_set()`` is true once there is an error in ``errors``, of which the first is raised."""

    def __init__(self):
        self.errors = []

    def is_set(self):
        """Whether to stop."""
        return bool(self.errors)


def interruptible(work, attend=lambda stop: False):
    """Return what ``work(stop)`` returns; an exception that a signal handler raises is raised once the work has ended.

    Inside a pool, an exception could leave a lock held forever; inside Arrow, it would be swallowed. So the work runs
    in a thread, which signals do not reach, and for which Python does not wait when it exits.

    Args:
        work: called with a ``Stop``; it should return soon after ``stop`` is set.
        attend: called with the same ``Stop`` every 0.2 s, in another thread; returns whether to give up waiting, with
            ``stop`` set.

    Raises:
        RuntimeError: no thread can be started.
    """
    stop = Stop()
    threads = _Threads(functools.partial(work, stop), functools.partial(attend, stop))
    _collecting_errors(threads.wait, stop.errors)
    if stop.is_set():
        raise stop.errors[0]
    return threads.result()


def _collecting_errors(wait, errors):
    """Call ``wait`` until it returns; what signal handlers raise meanwhile is appended to ``errors``."""
    try:
        while True:
            try:
                return wait()
            except BaseException as error:
                errors.append(error)
    except BaseException as error:  # two signals at once: while the first error was handled
        try:
            errors.append(error)
        finally:
            _collecting_errors(wait, errors)


class _Threads:
    """A thread that works, and one that attends to it.

    The main thread only waits for the work to end. That takes no lock of Python code, which an exception could leave
    held, and reaps no process, whose exit code could get lost.
    """

    def __init__(self, work, attend):
        self._work, self._attend = work, attend
        self._result = self._error = None
        self._ended = False
        self._started, self._ending, self._running = threading.Lock(), threading.Lock(), threading.Lock()
        self._running.acquire()

    def wait(self):
        """Start the threads unless they have started, and wait for the end of the work."""
        while not self._ended:
            if not self._started.locked():
                self._start()
            self._running.acquire(timeout=INTERVAL)

    def _start(self):
        try:
            _thread.start_new_thread(self._begin, ())  # takes no lock, unlike threading.Thread.start
        except RuntimeError as error:
            if not self._started.acquire(blocking=False):
                raise  # it has started: a signal handler has raised the error
            self._end(error=error)

    def _begin(self):
        if not self._started.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError as error:
            self._end(error=error)
        while not self._ended:
            if self._attend():
                self._end()
            time.sleep(INTERVAL)

    def _run(self):
        try:
            self._end(result=self._work())
        except BaseException as error:
            self._end(error=error)

    def _end(self, result=None, error=None):
        if self._ending.acquire(blocking=False):  # once: work that was given up may end later
            self._result, self._error = result, error
            self._ended = True
            self._running.release()

    def result(self):
        """Return what the work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


def finished(futures, stop):
    """Yield futures as they finish, until ``stop``, a ``Stop``, is set."""
    pending = set(futures)
    while pending and not stop.is_set():
        done, pending = concurrent.futures.wait(pending, INTERVAL, concurrent.futures.FIRST_COMPLETED)
        yield from done
