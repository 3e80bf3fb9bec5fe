"""Processes that end with the one that started them: else they would write, and hold locks, for ever."""

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

_SECONDS = 0.2  # between two looks at the parent


def end_with(parent, stop=None):
    """Let this process end once the one that started it has ended, and leave Ctrl-C to that one.

    A terminal sends Ctrl-C to all processes: one that ended by itself might hold a lock, and be replaced.

    Args:
        parent: ``parent_process()`` of ``multiprocessing`` or ``multiprocess``, whichever started this process.
        stop: a ``Connection``; once it has something to read, this process ends, too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pools end their processes by it, whatever it means to a program
    threading.Thread(target=_watch, args=(parent, stop), daemon=True, name="ends with the parent").start()


def _watch(parent, stop):
    # Of a process that was forked, the number counts: others that were forked keep its pipe to the parent open.
    # A process that a fork server started is no child of its parent.
    is_child = os.getppid() == parent.pid
    while os.getppid() == parent.pid if is_child else parent.is_alive():
        if stop is not None and stop.poll():
            break
        time.sleep(_SECONDS)
    try:
        shutil.rmtree(multiprocess.util.get_temp_dir(), ignore_errors=True)  # where a manager has its socket
    finally:
        os._exit(1)


class _Family:
    """Lets the processes that ``multiprocess`` forks end with the one that forks them, as long as the object lives."""

    def __init__(self):
        multiprocess.util.register_after_fork(self, _Family._after_fork)

    def _after_fork(self):
        end_with(multiprocess.parent_process())


def _number_of(error):
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


@contextlib.contextmanager
def ending_with_this():
    """Context in which the processes that ``datasets`` starts end with this one, and before an error leaves it.

    It forks them with ``multiprocess``. Where it spawns them instead (macOS), each calls ``end_with`` when it begins.
    """
    family, before = _Family(), set(multiprocess.active_children())
    try:
        with sending_again(_number_of):
            yield
    except (KeyboardInterrupt, SystemExit):
        # A manager that is interrupted while it starts would be waited for when Python ends, for ever.
        for process in set(multiprocess.active_children()) - before:
            process.terminate()
            process.join()
        raise
    finally:
        del family


class Stop:
    """Whether work is to stop: ``is_set()``, once ``numbers`` has a signal."""

    def __init__(self):
        self.numbers = []

    def is_set(self):
        """Whether a signal was received."""
        return bool(self.numbers)


def interruptible(work):
    """What ``work(stop)`` returns or raises, where a signal that would raise an exception sets ``stop`` instead.

    Amid the work of a pool, an exception would leave a lock held for which others wait for ever; amid Arrow's, it would
    get lost. So the work is done in a thread, which signals do not reach. They are raised once it has ended.

    Args:
        work: gets a ``Stop``, and ends soon after it is set.
    """
    stop = Stop()
    with _collecting_signals(stop.numbers), concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(work, stop).result()


@contextlib.contextmanager
def _collecting_signals(numbers):
    """Context in which signals with a Python handler are only noted; the first is raised at the end."""
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers, or gets signals
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
    """Futures, as each is done, until ``stop``, a ``Stop``, is set."""
    pending = set(futures)
    while pending and not stop.is_set():
        done, pending = concurrent.futures.wait(pending, _SECONDS, concurrent.futures.FIRST_COMPLETED)
        yield from done


@contextlib.contextmanager
def worker_pool(num_proc, stop):
    """A ``ProcessPoolExecutor`` whose processes end with this one.

    When the context ends, work that has not begun is cancelled; if ``stop``, a ``Stop``, is set, work that
    has begun is cut short.
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
