"""A process that walks tars for another, which sends it jobs and takes its results by pipes: ``walkers`` starts it.

It is a Python of its own, and no fork: threads of the caller may hold any lock, and its ``__main__`` need no guard. It
imports nothing but Python's standard library, and takes some 20 ms to start and some 5 MB.
"""

import _thread
import functools
import marshal
import os
import sys
import time

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.tar_header import BLOCK, TarWalk

SECONDS = 0.2  # between two looks at the parent


def send(file, value):
    """Write a value that ``marshal`` takes to a pipe."""
    content = marshal.dumps(value)
    file.write(len(content).to_bytes(8, "little") + content)
    file.flush()


def receive(file):
    """The next value from a pipe; ``EOFError`` if the other process has ended."""
    size = int.from_bytes(file.read(8), "little")
    content = file.read(size)
    if not size or len(content) < size:
        raise EOFError
    return marshal.loads(content)


def reader(fd):
    """What reads headers for ``TarWalk.advance``, one by one."""
    return functools.partial(os.pread, fd, BLOCK)


def walk(path, fd, position, end, prefix, seconds):
    """Take a walk along for some seconds; the arguments are those of ``TarWalk``.

    Returns:
        (position, whether it is done, headers passed, members as in ``TarWalk``, seconds of work, error): the error is
        the message of an ``ArchiveError``, the ``errno`` of an ``OSError``, or ``None``.
    """
    walk = TarWalk(path, fd, position, end, prefix)
    headers, error, began = 0, None, time.process_time()
    try:
        with walk.opened() as fd:
            headers = walk.advance(fd, reader(fd), time.perf_counter() + seconds)
    except ArchiveError as found:
        error = str(found)
    except OSError as found:
        error = found.errno
    return walk.position, walk.done, headers, walk.members, time.process_time() - began, error


def _end_with(parent):
    # A pipe of which some other process has the end, too, says nothing of the parent.
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(1)


def main():
    """Do jobs, the arguments of ``walk``, until there are no more."""
    _thread.start_new_thread(_end_with, (os.getppid(),))
    try:
        while True:
            send(sys.stdout.buffer, walk(*receive(sys.stdin.buffer)))
    except (EOFError, BrokenPipeError):
        os._exit(0)
