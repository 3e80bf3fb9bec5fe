"""Simulate slower storage than that of this machine: distant storage, or a disk."""

import contextlib
import os
import threading
import time

LATENCY = 0.005  # seconds per read on distant storage
SEEK = 0.008  # seconds before a disk read that does not begin where the last one ended


def move_away():
    """Delay each read of this process by 5 ms."""
    _delay_reads(lambda size, offset: time.sleep(LATENCY))


def move_to_disk(speed):
    """Simulate one disk with one head, read by this process at ``speed`` bytes per second.

    Nothing waits; instead, ``time.perf_counter`` is advanced.
    """
    clock, lock = time.perf_counter, threading.Lock()
    busy, end = 0.0, 0  # seconds; where the last read ended

    def wait(size, offset):
        nonlocal busy, end
        with lock:
            busy += size / speed + (SEEK if offset != end else 0)
            end = offset + size

    time.perf_counter = lambda: clock() + busy
    _delay_reads(wait)


def _delay_reads(delay):
    """Call ``delay(size, offset)`` before each read of this process."""

    def delayed(read):
        def read_later(fd, what, offset, *flags):
            delay(what if isinstance(what, int) else sum(map(len, what)), offset)
            return read(fd, what, offset, *flags)

        return read_later

    os.pread, os.preadv = delayed(os.pread), delayed(os.preadv)


def drop_caches(path):
    """Remove a file from the page cache; empty the entire cache if permitted."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
    except OSError:
        with open(path, "rb") as file, contextlib.suppress(AttributeError):  # macOS can do neither
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
