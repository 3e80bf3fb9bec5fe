"""Work that an exception of a signal handler stops in order, instead of wherever it happens to be."""

import _thread
import concurrent.futures
import functools
import threading

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
        attend: called with the same ``Stop`` every 0.2 s, or more often; returns whether to give up waiting.

    Raises:
        RuntimeError: no thread can be started.
    """
    stop = Stop()
    thread = _ThreadOf(functools.partial(work, stop))
    _collecting_errors(functools.partial(_wait, thread, stop, attend), stop.errors)
    if stop.is_set():
        raise stop.errors[0]
    return thread.result()


def _wait(thread, stop, attend):
    while not attend(stop):  # first, for a signal that is sent again and again ends each wait early
        if thread.wait(INTERVAL):
            return


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


class _ThreadOf:
    """A thread that does some work. Waiting for it takes no lock that it needs, which an exception could leave held."""

    def __init__(self, work):
        self._work, self._result, self._error, self._ended = work, None, None, False
        self._started, self._running = threading.Lock(), threading.Lock()
        self._running.acquire()

    def wait(self, seconds):
        """Start the thread unless it has started, and wait for its end; return whether it has ended."""
        if not self._started.locked():
            try:
                _thread.start_new_thread(self._start, ())  # takes no lock, unlike threading.Thread.start
            except RuntimeError as error:
                if not self._started.acquire(blocking=False):
                    raise  # it has started: a signal handler has raised the error
                self._end(error)
        self._running.acquire(timeout=seconds)
        return self._ended

    def _start(self):
        if self._started.acquire(blocking=False):
            try:
                threading.Thread(target=self._run, daemon=True).start()
            except RuntimeError as error:
                self._end(error)

    def _run(self):
        try:
            self._result = self._work()
        except BaseException as error:
            self._end(error)
        else:
            self._end()

    def _end(self, error=None):
        self._error, self._ended = error, True
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
