"""Storage that is slower than that of this machine: distant, or a disk. Also for the processes that walk.

It needs nothing but Python, as those processes do.
"""

import contextlib
import fcntl
import os
import struct
import time

LATENCY = 0.005  # seconds a read on the distant storage
SEEK = 0.008  # seconds before a read on the disk that does not go on where the last one ended
STATE = struct.Struct("dq")  # of the disk: for how many seconds it was busy, and where the last read ended
START = """
sys.path.append(sys.argv[1])
from benchmarks import devices
devices.{}
from imagenet_reader.walk.worker import main
main()
"""


def move_away(walkers=None):
    """Let each read of this process, and of those that ``imagenet_reader.walk.ways`` starts, take 5 ms more."""
    _delay_reads(lambda size, offset: time.sleep(LATENCY))
    if walkers is not None:
        walkers.START = START.format("move_away()")


def move_to_disk(state, speed, walkers=None):
    """Let this process, and those that ``imagenet_reader.walk.ways`` starts, read from one disk, with one head.

    Nothing waits: ``time.perf_counter`` goes ahead, in all of them.

    Args:
        state: a file in which they keep the state of the disk.
        speed: bytes a second.
    """
    fd = os.open(state, os.O_RDWR | os.O_CREAT)
    clock = time.perf_counter

    def current():
        return STATE.unpack(os_pread(fd, STATE.size, 0) or bytes(STATE.size))

    def wait(size, offset):
        fcntl.lockf(fd, fcntl.LOCK_EX)
        busy, end = current()
        busy += size / speed + (SEEK if offset != end else 0)
        os.pwrite(fd, STATE.pack(busy, offset + size), 0)
        fcntl.lockf(fd, fcntl.LOCK_UN)

    os_pread = os.pread
    time.perf_counter = lambda: clock() + current()[0]
    _delay_reads(wait)
    if walkers is not None:
        walkers.START = START.format(f"move_to_disk({state!r}, {speed!r})")


def _delay_reads(delay):
    """Call ``delay(size, offset)`` before each read of this process."""

    def delayed(read):
        def read_later(fd, what, offset, *flags):
            delay(what if isinstance(what, int) else sum(map(len, what)), offset)
            return read(fd, what, offset, *flags)

        return read_later

    os.pread, os.preadv = delayed(os.pread), delayed(os.preadv)


def drop_caches(path):
    """Let the next to read a file find none of it in memory: all caches are dropped, or, without the right, its own."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
    except OSError:
        with open(path, "rb") as file, contextlib.suppress(AttributeError):  # macOS can do neither
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory_mb(pid):
    """The memory of a process and those that it has started, each page once, in MB; ``nan`` but on Linux."""
    total = 0 if os.path.isdir("/proc/self") else float("nan")
    for stat in os.listdir("/proc") if total == 0 else ():
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(stat)}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            if pid in (int(stat), parent):
                with open(f"/proc/{stat}/smaps_rollup") as file:
                    total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total * 1024 / 1e6
