"""A preparation of 1pct that is killed at its 31st batch: DATA_DIR CACHE."""

import os
import signal
import sys

import imagenet_subsets

read_batches = imagenet_subsets.read_batches


def killed(*arguments, **options):
    for number, batch in enumerate(read_batches(*arguments, **options)):
        if number == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch


imagenet_subsets.read_batches = killed
imagenet_subsets.load_dataset("1pct", data_dir=sys.argv[1], cache_dir=sys.argv[2])
