"""Programs that tests interrupt or kill: KIND ARGUMENT ...

The environment may have ``DELAY``, the seconds that each read takes, as on slow storage, and ``KILL=pread:10``, so that
the 10th call of ``os.pread`` kills the process.
"""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

delay = float(os.environ.get("DELAY", "0"))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores Ctrl-C


def delayed(read):
    def slow(*arguments):
        time.sleep(delay)
        return read(*arguments)

    return slow


def killing(act, number):
    count = itertools.count(1)

    def kill(*arguments, **options):
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **options)

    return kill


os.pread, os.preadv = delayed(os.pread), delayed(os.preadv)
if "KILL" in os.environ:
    name, _, number = os.environ["KILL"].partition(":")
    setattr(os, name, killing(getattr(os, name), int(number)))

import imagenet_subsets  # noqa: E402
from imagenet_subsets_tools.cli import main  # noqa: E402


def load(data_dir, cache, num_proc="", times="0"):
    """Load the training images of 1pct: TIMES times until it is interrupted, and then once more, quickly."""
    global delay
    options = {"data_dir": data_dir, "cache_dir": cache, "num_proc": int(num_proc or 0) or None}
    for _ in range(int(times)):
        try:
            imagenet_subsets.load_dataset("1pct", splits=["train"], **options)
        except KeyboardInterrupt:
            print("interrupted", *Path(cache).rglob("*.incomplete"), flush=True)
    if int(times):
        delay = 0
    print(imagenet_subsets.load_dataset("1pct", splits=["train"], **options)["train"].num_rows)


def load_url(url, cache, lists):
    """Load a list from a server until Ctrl-C."""
    try:
        imagenet_subsets.load_dataset("custom", data_dir=url, cache_dir=cache, **json.loads(lists))
    except KeyboardInterrupt:
        print("interrupted")


def note(row, number):
    """Report, once, that this process has read rows."""
    if number == 50:
        open(f"read-{os.getpid()}", "w").close()
    return row


def stream(data_dir, method=""):
    """Read a stream, by two DataLoader workers that are started by a METHOD, or without any."""
    rows = imagenet_subsets.load_dataset("1pct", data_dir=data_dir, streaming=True, split="train")
    rows = rows.select_columns("label").map(note, with_indices=True)
    if method:
        from torch.utils.data import DataLoader

        rows = DataLoader(rows.with_format("torch"), batch_size=10, num_workers=2, multiprocessing_context=method)
    for _ in rows:
        pass


def build(folder, data_dir):
    """Build the training shards of ``hub_folder``."""
    from imagenet_subsets_tools import build

    build.SHARD_BYTES = 3_000_000
    build.build_parquet(folder, data_dir, ["1pct"], num_proc=2, splits=["train"])


def command(*arguments):
    """The command ``imagenet-subsets``."""
    sys.exit(main(list(arguments)))


if __name__ == "__main__":  # DataLoader workers import this file
    globals()[sys.argv[1]](*sys.argv[2:])
