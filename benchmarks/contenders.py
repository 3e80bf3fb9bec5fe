"""The measured functions: ``python -m benchmarks.contenders FUNCTION FOLDER ARGUMENTS`` calls one of them.

It takes the folder of the stand-ins and the arguments, given as JSON, and returns a dict, or if it makes a folder,
nothing: ``seconds``;
``read_mb``, megabytes read in that time (``None`` if the system does not count them); and, for builds, ``wanted_mb``,
the size of the requested images. This is printed as JSON, with ``peak_mb``, the peak memory of the largest process.
"""

import contextlib
import json
import os
import resource
import sys
from pathlib import Path

import datasets

import imagenet_subsets
from benchmarks.common import measured, plan_of, wanted_mb
from benchmarks.devices import move_away
from benchmarks.epochs import *  # noqa: F403 - called by name
from benchmarks.exporting import *  # noqa: F403 - called by name
from benchmarks.in_place import ready_in_place  # noqa: F401 - called by name
from benchmarks.indexing import *  # noqa: F403 - called by name
from benchmarks.remote import *  # noqa: F403 - called by name
from benchmarks.rivals import tfds  # noqa: F401 - called by name
from benchmarks.selection import *  # noqa: F403 - called by name
from benchmarks.standins import *  # noqa: F403 - called by name
from benchmarks.training import train_image_folder, train_rows, train_timm_tar  # noqa: F401 - called by name


def floor(folder):
    """Copy the images of 1pct, whose offsets are known, into one file."""
    plan = plan_of(folder, "1pct")
    with measured() as result, open(Path(os.environ["HF_HOME"], "floor"), "wb", buffering=0) as copy:
        for path, rows in plan.items():
            with open(path, "rb") as archive:
                for offset, size in rows:
                    copy.write(os.pread(archive.fileno(), size, offset))
    return result


def build(folder, config="1pct", splits=None):
    """Build a config."""
    with measured() as result:
        imagenet_subsets.load_dataset(config, data_dir=folder, splits=splits)
    wanted = wanted_mb(folder, config, splits)
    return result | {"wanted_mb": wanted, "seconds_per_gb": result["seconds"] / wanted * 1e3}


def build_from_afar(folder):
    """Build the training split of 1pct, on distant storage."""
    move_away()
    return build(folder, splits=["train"])


class _Enough(BaseException):
    """Stops a build after its start; an ``Exception`` would be wrapped by ``datasets``."""


def until_writing(folder, config, **options):
    """Start to build a config, and stop at the first batch."""
    read_batches = imagenet_subsets.read_batches

    def read_one(*args, **options):
        next(read_batches(*args, **options))
        raise _Enough

    imagenet_subsets.read_batches = read_one
    with measured() as result, contextlib.suppress(_Enough):
        imagenet_subsets.load_dataset(config, data_dir=folder, **options)
    return result


def first_row(folder):
    """Stream the first row."""
    with measured() as result:
        next(iter(imagenet_subsets.load_dataset("1pct", data_dir=folder, split="train", streaming=True)))
    return result


def stream(folder):
    """Stream all rows of 1pct without decoding the images."""
    with measured() as result:
        for split in imagenet_subsets.load_dataset("1pct", data_dir=folder, streaming=True).values():
            for _ in split.cast_column("image", datasets.Image(decode=False)):
                pass
    return result


def one_by_one(folder, reads=1000):
    """Read the training split of 1pct one by one, on distant storage, extrapolated from the first ``reads`` images."""
    ((path, rows),) = plan_of(folder, "1pct", ["train"]).items()
    move_away()
    with measured() as result, open(path, "rb") as archive:
        for offset, size in rows[:reads]:
            os.pread(archive.fileno(), size, offset)
    return result | {"seconds": result["seconds"] * len(rows) / reads}


def main():
    """Call the function named on the command line."""
    function, folder, arguments = sys.argv[1:]
    result = globals()[function](Path(folder), **json.loads(arguments))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps((result or {}) | {"peak_mb": peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)}))


if __name__ == "__main__":
    main()
