"""What this checkout and an old commit both run: ``python benchmarks/versions.py FUNCTION FOLDER ARGUMENTS``.

``PYTHONPATH`` says which of them is imported, so nothing else of this package is. The result is printed as JSON.
"""

import contextlib
import io
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagenet_subsets
from imagenet_subsets_tools import check, cli

LOOKS = 3  # how often what takes less than a second is measured; the shortest time counts


def _seconds(function: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    started = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - started


def prepare(folder: str) -> dict[str, float]:
    """Index the images."""
    return {"seconds": _seconds(imagenet_subsets.load_dataset, "1pct", data_dir=folder, in_place=True)}


def load(folder: str, num_proc: int | None) -> dict[str, float]:
    """Copy 1pct."""
    return {"seconds": _seconds(imagenet_subsets.load_dataset, "1pct", data_dir=folder, num_proc=num_proc)}


def build(folder: str, num_proc: int) -> dict[str, float]:
    """Build the Parquet files of 1pct."""
    output = Path(os.environ["HF_HOME"], "package")
    command = ["build", "1pct", "--data-dir", folder, "--output-dir", str(output), "--num-proc", str(num_proc)]
    with contextlib.redirect_stdout(io.StringIO()):
        return {"seconds": _seconds(cli.main, command)}


def check_decode(folder: str, num_proc: int) -> dict[str, float]:
    """Decode all images."""
    return {"seconds": _seconds(check.check_archives, folder, decode=True, num_proc=num_proc)}


def error_beside(folder: str) -> dict[str, float]:
    """Fail to find ImageNet among other files."""

    def fail() -> None:
        with contextlib.suppress(FileNotFoundError):
            imagenet_subsets.load_dataset("1pct", data_dir=f"{folder}/only")
            raise AssertionError("no error")

    return {"listing_seconds": _listing(f"{folder}/only"), "seconds": min(_seconds(fail) for _ in range(LOOKS))}


def load_beside(folder: str) -> dict[str, float]:
    """Load rows in place from archives among other files: the seconds that these add."""

    def ready(name: str) -> None:
        imagenet_subsets.load_dataset("1pct", data_dir=f"{folder}/{name}", in_place=True)

    seconds = dict.fromkeys(("few", "beside"), 0.0)
    for _ in range(LOOKS):
        for name in seconds:
            shutil.rmtree(Path(os.environ["HF_HOME"], "datasets"), ignore_errors=True)
            seconds[name] = _seconds(ready, name)
    return {"listing_seconds": _listing(f"{folder}/beside"), "seconds": seconds["beside"] - seconds["few"]}


def _listing(folder: str) -> float:
    """Seconds to list a folder: names, and which of them are folders."""

    def listing() -> None:
        os.listdir(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.is_dir()

    return min(_seconds(listing) for _ in range(LOOKS))


def warm_load(folder: str) -> dict[str, float]:
    """Load 1pct again."""
    return {"seconds": _seconds(imagenet_subsets.load_dataset, "1pct", data_dir=folder)}


def nothing(folder: str) -> dict[str, float]:
    """Only import."""
    return {"seconds": 0.0}


if __name__ == "__main__":
    function, folder, arguments = sys.argv[1:]
    result = globals()[function](folder, **json.loads(arguments))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps(result | {"peak_mb": peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)}))
