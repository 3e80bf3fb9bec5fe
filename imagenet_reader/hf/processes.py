"""Workers that exit when their parent does, so that none keeps writing or holding locks."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
import time

import multiprocess
import multiprocess.util

from imagenet_reader.hf.signals import sending_again

_SECONDS = 0.2  # between checks


def end_with(parent, stop=None):
    """Exit this process once its parent has exited, and let the parent handle Ctrl-C.

    A terminal sends Ctrl-C to all processes: a worker that exits on its own may hold a lock, and may be replaced.

    Args:
        parent: ``parent_process()`` of ``multiprocessing`` or ``multiprocess``, whichever started this process.
        stop: a ``Connection``; this process also exits once it has data.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pools send it to their workers, which may have inherited a handler
    threading.Thread(target=_watch, args=(parent, stop), daemon=True, name="ends with the parent").start()


def _watch(parent, stop):
    # A forked process compares process ids, because other forks keep its pipe to the parent open.
    # A process started by a fork server is not a child of its parent.
    is_child = os.getppid() == parent.pid
    while os.getppid() == parent.pid if is_child else parent.is_alive():
        if stop is not None and stop.poll():
            break
        time.sleep(_SECONDS)
    try:
        shutil.rmtree(multiprocess.util.get_temp_dir(), ignore_errors=True)  # may hold the socket of a manager
    finally:
        os._exit(1)


class _EndingForks:
    """While this object exists, processes that ``multiprocess`` forks exit when their parent does."""

    def __init__(self):
        multiprocess.util.register_after_fork(self, _EndingForks._after_fork)

    def _after_fork(self):
        end_with(multiprocess.parent_process())


def _number_of(error):
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


@contextlib.contextmanager
def ending_with_this():
    """Context in which processes started by ``datasets`` exit when this one does, or when it is interrupted.

    ``datasets`` forks them with ``multiprocess``. Where it spawns them instead (macOS), each calls ``end_with`` first.
    """
    ending_forks, before = _EndingForks(), set(multiprocess.active_children())
    try:
        with sending_again(_number_of):
            yield
    except (KeyboardInterrupt, SystemExit):
        # Python would wait forever for a manager that was interrupted while starting.
        for process in set(multiprocess.active_children()) - before:
            process.terminate()
            process.join()
        raise
    finally:
        del ending_forks


class Stop:
    """A request to stop: ``is_set()`` is true once ``numbers`` has a signal."""

    def __init__(self):
        self.numbers = []

    def is_set(self):
        """Whether a signal was received."""
        return bool(self.numbers)


def interruptible(work):
    """Return what ``work(stop)`` returns; signals that would raise an exception set ``stop`` instead.

    Inside a pool, an exception could leave a lock held forever; inside Arrow, it would be swallowed. So the work runs
    in a thread, which signals do not reach. They are raised once it has ended.

    Args:
        work: called with a ``Stop``; it should return soon after ``stop`` is set.
    """
    stop = Stop()
    with _collecting_signals(stop.numbers), concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, stop)
        while not future.done():
            concurrent.futures.wait([future], _SECONDS)  # a signal amid a system call waits for the next line of Python
        return future.result()


@contextlib.contextmanager
def _collecting_signals(numbers):
    """Context that appends signals with a Python handler to ``numbers``; the first is raised at the end."""
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():  # only this one may set handlers, and gets signals
            for number in (signal.SIGINT, signal.SIGTERM):
                if callable(signal.getsignal(number)):
                    before[number] = signal.signal(number, lambda number, frame: numbers.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if numbers:
            signal.raise_signal(numbers[0])


def finished(futures, stop):
    """Yield futures as they finish, until ``stop``, a ``Stop``, is set."""
    pending = set(futures)
    while pending and not stop.is_set():
        done, pending = concurrent.futures.wait(pending, _SECONDS, concurrent.futures.FIRST_COMPLETED)
        yield from done


@contextlib.contextmanager
def worker_pool(num_proc, stop):
    """Context of a ``ProcessPoolExecutor`` whose processes exit when this one does.

    When the context ends, pending work is cancelled; if ``stop``, a ``Stop``, is set, running work is aborted.
    """
    end, ending = multiprocessing.Pipe(duplex=False)
    pool = concurrent.futures.ProcessPoolExecutor(num_proc, initializer=_begin, initargs=(end,))
    try:
        yield pool
    finally:
        if stop.is_set():
            ending.send(None)
        pool.shutdown(cancel_futures=True)
        end.close()
        ending.close()


def _begin(end):
    end_with(multiprocessing.parent_process(), end)
