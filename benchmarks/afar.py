"""Storage that is slower than this machine's: distant, or a disk that seeks."""

import os
import threading
import time

import imagenet_subsets

LATENCY = 0.005  # seconds a read on the distant storage
SEEK = 0.008  # seconds before a read on the disk that does not go on where the last one ended
DISK_SPEED = 150e6  # bytes a second
PHOTO_BYTES = 110_000  # of an image of ImageNet, on average


def delay_reads(delay):
    """Call ``delay(size, offset)`` before each read of this process."""

    def delayed(read):
        def read_later(fd, what, offset, *flags):
            delay(what if isinstance(what, int) else sum(map(len, what)), offset)
            return read(fd, what, offset, *flags)

        return read_later

    os.pread, os.preadv = delayed(os.pread), delayed(os.preadv)


def move_to_disk(path):
    """Let this process read as if from a disk, which does one read at a time.

    Nothing waits: ``time.perf_counter`` goes ahead. The disk reads an image of this archive in the time of a photo.
    """
    speed = DISK_SPEED * path.stat().st_size / len(imagenet_subsets.read_index(path)) / PHOTO_BYTES
    clock, lock = time.perf_counter, threading.Lock()
    waited, end = 0, 0

    def wait(size, offset):
        nonlocal waited, end
        with lock:
            waited += size / speed + (SEEK if offset != end else 0)
            end = offset + size

    time.perf_counter = lambda: clock() + waited
    delay_reads(wait)
