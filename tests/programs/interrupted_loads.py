"""Load 1pct slowly, TIMES times until interrupted, and then to the end: DATA_DIR CACHE NUM_PROC TIMES."""

import sys
from pathlib import Path

import first  # noqa: F401
import multiprocess
import slow_images

import imagenet_subsets

data_dir, cache, num_proc, times = sys.argv[1], sys.argv[2], int(sys.argv[3]) or None, int(sys.argv[4])


def load():
    return imagenet_subsets.load_dataset(
        "1pct", data_dir=data_dir, cache_dir=cache, num_proc=num_proc, splits=["train"], split="train"
    )


if __name__ == "__main__":
    for _ in range(times):
        try:
            load()
        except KeyboardInterrupt:
            left = [*multiprocess.active_children(), *Path(cache).rglob("*.incomplete")]
            print("interrupted", left, flush=True)
    if times:
        slow_images.delay = 0
    print(len(load()))
