"""Load 1pct very slowly, and end it by a signal that KIND handles in its own way: KIND DATA_DIR CACHE.

"alarm" has an error raised by another signal than Ctrl-C; "again" asks for a second Ctrl-C; "held" is a key held down,
and "pair" two signals at once; "daemon" loads in a thread that Python does not wait for when it exits.
"""

import os
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
slow_images.delay, loading = 1, True


def load():
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=cache, num_proc=2, splits=["train"])


def too_late(number, frame):
    raise TimeoutError("too late")


def ask(number, frame):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("once more to stop", flush=True)


def interrupt(number, frame):
    if loading:
        raise KeyboardInterrupt


def send(times, *numbers):
    for _ in range(times):
        for number in numbers:
            os.kill(os.getpid(), number)
        time.sleep(0.03)


def being_written():
    return list(Path(cache).rglob("*.arrow"))


sent = {
    "alarm": [1, signal.SIGALRM],
    "held": [1_000, signal.SIGINT],
    "pair": [1, signal.SIGINT, signal.SIGTERM],
}
if kind == "alarm":
    signal.signal(signal.SIGALRM, too_late)
elif kind == "again":
    signal.signal(signal.SIGINT, ask)
elif kind in ("held", "pair"):
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
if kind in sent:
    timer = threading.Timer(2, send, sent[kind])
    timer.daemon = True
    timer.start()

if kind == "daemon":
    threading.Thread(target=load, daemon=True).start()
    while len(being_written()) < 2:
        time.sleep(0.1)
else:
    try:
        load()
    except (KeyboardInterrupt, OSError) as error:
        loading = False
        print(repr(error), multiprocess.active_children())
print(signal.getsignal(signal.SIGINT).__name__)
