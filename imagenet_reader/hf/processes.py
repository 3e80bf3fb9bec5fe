"""Workers that exit when their parent does, so that none keeps writing or holding locks."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import shutil
import signal
import threading
import time

import multiprocess
import multiprocess.util

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
    _end()


def _end(*_):
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
        if _is_manager(multiprocess.current_process()):
            signal.signal(signal.SIGTERM, _end)


def _is_manager(process):
    """Whether a process has the queue by which the workers of ``datasets`` report their progress."""
    return process.name.startswith("SyncManager")


def with_pool_of_datasets(work):
    """Return what ``work()`` returns: a function of ``datasets`` that uses a pool of processes.

    The processes exit when this one does. A signal that raises an exception ends them first, in the order that avoids
    deadlocks: the manager of their queue, without which ``datasets`` closes the pool.

    ``datasets`` forks them with ``multiprocess``. Where it spawns them instead (macOS), each calls ``end_with`` first.
    """
    ending_forks, before = _EndingForks(), set(multiprocess.active_children())

    def end_manager():
        for process in set(multiprocess.active_children()) - before:
            if _is_manager(process):
                process.terminate()

    try:
        return interruptible(lambda stop: work(), end_manager)
    finally:
        del ending_forks


def wait_until_terminated():
    """Wait until the parent ends this process, whose results it no longer reads.

    A process that is terminated while it sends a result to its pool keeps a lock that closing the pool needs.
    """
    while True:
        signal.pause()


class Stop:
    """A request to stop: ``is_set()`` is true once a signal has raised one of ``errors``."""

    def __init__(self):
        self.errors = []

    def is_set(self):
        """Whether a signal handler has raised an exception."""
        return bool(self.errors)


def interruptible(work, abort=None):
    """Return what ``work(stop)`` returns; an exception that a signal handler raises is raised once the work has ended.

    Inside a pool, an exception could leave a lock held forever; inside Arrow, it would be swallowed. So the work runs
    in a thread, which signals do not reach.

    Args:
        work: called with a ``Stop``; it should return soon after ``stop`` is set.
        abort: called every 0.2 s once ``stop`` is set, if the work needs more than that to end.
    """
    stop = Stop()
    with _collecting_errors(stop.errors), concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, stop)
        while not future.done():
            concurrent.futures.wait([future], _SECONDS)  # a handler runs meanwhile, but does not end the wait
            if abort is not None and stop.is_set():
                abort()
    if stop.is_set():
        raise stop.errors[0]
    return future.result()


@contextlib.contextmanager
def _collecting_errors(errors):
    """Context in which exceptions that signal handlers raise are appended to ``errors`` instead."""
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():  # only this one may set handlers, and gets signals
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    before[number] = signal.signal(number, functools.partial(_handle, handler, errors))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(handler, errors, number, frame):
    try:
        handler(number, frame)
    except BaseException as error:
        errors.append(error)


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
