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

from imagenet_reader.hf.interrupts import INTERVAL, interruptible

_PATIENCE = 5  # seconds within which a pool should end
_KILLED = "A process that prepared the dataset was killed by {}, perhaps because memory ran out: use a lower num_proc."


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
        time.sleep(INTERVAL)
    _end()


def _end(*_):
    try:
        if _is_manager(multiprocess.current_process()):  # other processes have no such folder, and would make one
            shutil.rmtree(multiprocess.util.get_temp_dir(), ignore_errors=True)  # holds the manager's socket
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

    The processes exit when this one does. If a signal handler raises an exception, they are ended first.
    ``datasets`` forks them with ``multiprocess``. Where it spawns them instead (macOS), each calls ``end_with`` first.

    Raises:
        RuntimeError: one of the processes was killed.
    """
    ending_forks, pool = _EndingForks(), _PoolOfDatasets()
    try:
        return interruptible(lambda stop: pool.explain_error_of(work), pool.attend)
    finally:
        del ending_forks


class _PoolOfDatasets:
    """The processes of a pool that ``datasets`` starts after this object was made."""

    def __init__(self):
        self._others, self._processes = set(multiprocess.active_children()), set()
        self._patient_until = None

    def explain_error_of(self, work):
        """Return what ``work()`` returns; if it raises an error after a process was killed, say that."""
        try:
            return work()
        except Exception as error:
            killed = self._killed()
            if killed is None:
                raise
            raise killed from error

    def attend(self, stop):
        """End the manager once ``stop`` is set; return whether the pool had to be given up, and its processes killed.

        Without its manager, ``datasets`` closes the pool, in the order that avoids deadlocks. But this takes forever if
        a process was killed while it held a lock, as one does that waits for work.
        """
        for child in set(multiprocess.active_children()) - self._others:
            if _is_manager(child) or "PoolWorker" in child.name:
                self._processes.add(child)
        managers = [process for process in self._processes if _is_manager(process) and process.is_alive()]
        killed = self._killed()
        if not stop.is_set() and (managers or killed is None):
            self._patient_until = None
            return False
        if self._patient_until is None:
            self._patient_until = time.monotonic() + _PATIENCE
        if time.monotonic() < self._patient_until:
            for manager in managers:
                manager.terminate()
            return False
        if not stop.is_set():
            stop.errors.append(killed)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(INTERVAL)
        return True

    def _killed(self):
        """The error that says which signal killed a process; ``None`` if none was killed."""
        numbers = [-(process.exitcode or 0) for process in list(self._processes)]
        number = next((n for n in numbers if n > 0 and n != signal.SIGTERM), None)  # SIGTERM is how pools end theirs
        if number is None:
            return None
        names = {member.value: member.name for member in signal.Signals}
        return RuntimeError(_KILLED.format(names.get(number, f"signal {number}")))


def wait_until_terminated():
    """Wait until the parent ends this process, whose results it no longer reads.

    A process that is terminated while it sends a result to its pool keeps a lock that closing the pool needs.
    """
    while True:
        signal.pause()


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
