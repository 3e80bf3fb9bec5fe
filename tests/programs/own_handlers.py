"""Load 1pct very slowly, and end it by a signal that KIND handles in its own way: KIND DATA_DIR CACHE.

"alarm" has an error raised by another signal than Ctrl-C; "again" asks for a second Ctrl-C, and "daemon" loads in a
thread that Python does not wait for when it exits.
"""

import signal
import sys
import threading
import time
from pathlib import Path

import first  # noqa: F401
import multiprocess
import slow_images

import imagenet_subsets

kind, data_dir, cache = sys.argv[1:]
slow_images.delay = 1


def load():
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=cache, num_proc=2, splits=["train"])


def too_late(number, frame):
    raise TimeoutError("too late")


def ask(number, frame):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("once more to stop", flush=True)


def being_written():
    return list(Path(cache).rglob("*.arrow"))


if kind == "alarm":
    signal.signal(signal.SIGALRM, too_late)
    threading.Timer(2, signal.raise_signal, [signal.SIGALRM]).start()
elif kind == "again":
    signal.signal(signal.SIGINT, ask)

if kind == "daemon":
    threading.Thread(target=load, daemon=True).start()
    while len(being_written()) < 2:
        time.sleep(0.1)
else:
    try:
        load()
    except (KeyboardInterrupt, OSError) as error:
        print(repr(error), multiprocess.active_children(), being_written())
print(signal.getsignal(signal.SIGINT) == signal.default_int_handler)
