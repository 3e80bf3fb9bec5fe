"""Index an archive in processes that are killed at several moments: ARCHIVE SEED."""

import itertools
import os
import random
import resource
import signal
import sys
import time

from forks import forked

import imagenet_subsets

archive, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)


def index(call=None, number=0):
    """Index, up to the number-th call of a function of os."""
    original, count = getattr(os, call or "getpid"), itertools.count(1)

    def killing(*arguments):
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    if call:
        setattr(os, call, killing)
    imagenet_subsets.read_index(archive)


def index_with_small_files():
    """The kernel ends the process in the middle of writing the index."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    index()


for number in random.sample(range(1, 900), 4):
    assert os.waitpid(forked(lambda number=number: index("pread", number)), 0)[1] == signal.SIGKILL, number
assert os.waitpid(forked(index_with_small_files), 0)[1] & 0x7F == signal.SIGXFSZ
assert os.waitpid(forked(lambda: index("replace", 1)), 0)[1] == signal.SIGKILL
for moment in (random.random() for _ in range(4)):
    pid = forked(index)
    time.sleep(moment / 5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
