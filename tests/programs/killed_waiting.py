"""Load 1pct with two processes, one of which is killed when it has nothing left to do: DATA_DIR CACHE."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import multiprocess

import imagenet_subsets

data_dir, cache = sys.argv[1:]
preadv, delay = os.preadv, 1


def slow(*arguments):
    if multiprocess.current_process().name == "ForkPoolWorker-2":
        time.sleep(delay)
    return preadv(*arguments)


def load():
    options = {"data_dir": data_dir, "cache_dir": cache, "splits": ["train"], "split": "train"}
    return imagenet_subsets.load_dataset("1pct", num_proc=2, **options)


def kill_the_other():
    while not (pids := [child.pid for child in multiprocess.active_children() if child.name == "ForkPoolWorker-1"]):
        time.sleep(0.01)
    before = None
    while before != (now := Path(f"/proc/{pids[0]}/schedstat").read_text().split()[0]):
        before = now
        time.sleep(0.5)  # that it used no processor for so long shows that it waits
    os.kill(pids[0], signal.SIGKILL)


if __name__ == "__main__":
    os.preadv = slow
    threading.Thread(target=kill_the_other).start()
    try:
        load()
    except RuntimeError as error:
        print(error, [child.name for child in multiprocess.active_children()])
    delay = 0
    print(len(load()))
