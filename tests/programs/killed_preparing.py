"""Prepare 1pct in processes that are killed when a part of SIZE is written: DATA_DIR CACHE SIZE NUM_PROC:PART ...

Prints for each whether it was killed before its end.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from forks import forked

import imagenet_subsets

data_dir, cache, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: processes that lose their parent become ours


def prepare(num_proc):
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=cache, splits=["train"], num_proc=num_proc)


def prepared():
    """The number of bytes of the dataset written so far."""
    total = 0
    for path in Path(cache).rglob("*.arrow"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def end_of_all():
    """Wait for all child processes; if they don't end, fail."""
    for _ in range(600):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.05)
    children = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.read_text().rpartition(")")[2].split()[1] == str(os.getpid())
    ]
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    sys.exit(f"of a killed preparation, the processes {children} were left")


for argument in sys.argv[4:]:
    num_proc, part = argument.split(":")
    pid = forked(lambda num_proc=int(num_proc) or None: prepare(num_proc))
    while prepared() <= float(part) * size and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    print(os.waitpid(pid, 0)[1] == signal.SIGKILL, flush=True)
    end_of_all()
