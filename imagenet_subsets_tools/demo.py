"""A demonstration that needs no ImageNet: make, load, show and remove stand-in archives."""

import tempfile
import textwrap
from pathlib import Path
from typing import Any

import datasets

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets_tools.standins import make_standins

_CONFIG = "1pct"
_ROWS = 3  # shown per split


def run_demo() -> None:
    """Make stand-ins of the two archives, load config ``1pct`` from them and print some rows.

    Everything is written to a temporary folder (0.2 GB) and removed at the end, with the indexes of the archives in the
    user's cache. Raises ``OSError`` if that disk has too little space.
    """
    with tempfile.TemporaryDirectory(prefix="imagenet-subsets-demo-") as folder:
        archives = make_standins(Path(folder, "archives"), configs=[_CONFIG])
        print(f"Two stand-in archives, drawn images under the official names, are in {archives}.")
        options: dict[str, Any] = {"data_dir": str(archives), "label_names": "words", "cache_dir": f"{folder}/cache"}
        print(f"They are loaded like the official ones:\n\n{_call('imagenet_subsets', _CONFIG, **options)}\n")
        try:
            dataset = imagenet_subsets.load_dataset(_CONFIG, **options)
            print(f"{dataset}\n")
            _print_rows(dataset)
        finally:
            for archive in archives.iterdir():
                index = Path(imagenet_subsets.index_path(archive))
                for file in index.parent.glob(f"{index.name}*"):  # the index and its lock
                    file.unlink()
    options = {"data_dir": "/path/to/the/folder", "label_names": "words"}
    print(
        f"\nThe stand-ins have been removed. To load ImageNet, put the official {TRAIN_ARCHIVE}\n"
        f"and {VALIDATION_ARCHIVE} (https://image-net.org/download-images.php)\n"
        "into one folder, as downloaded, and pass it as data_dir, without cache_dir:\n\n"
        + _call("imagenet_subsets", _CONFIG, **options)
    )
    if tuple(map(int, datasets.__version__.split(".")[:2])) < (2, 20):  # runs a local script without asking
        print(
            "\nOr as a loading script, which the installed version of datasets can run:\n\n"
            + _call("datasets", imagenet_subsets.__file__, _CONFIG, **options)
        )


def _call(module: str, *arguments: str, **options: Any) -> str:
    """A call of ``load_dataset`` as text."""
    values = [*map(repr, arguments), *(f"{name}={value!r}" for name, value in options.items())]
    call = f"dataset = {module}.load_dataset(\n" + "".join(f"    {value},\n" for value in values) + ")"
    return textwrap.indent(f"import {module}\n\n{call}", "    ")


def _print_rows(dataset: datasets.DatasetDict) -> None:
    print(f"{'split':<12}{'rows':>6}  {'file_name':<30}{'label':>5}  {'class':<24}{'image':>8}")
    for name, split in dataset.items():
        for k in range(_ROWS):
            row = split[k * len(split) // _ROWS]
            start = f"{name:<12}{len(split):>6}" if k == 0 else " " * 18
            word = split.features["label"].int2str(row["label"])
            word = word if len(word) <= 24 else f"{word[:21]}..."
            size = "x".join(map(str, row["image"].size))
            print(f"{start}  {row['file_name']:<30}{row['label']:>5}  {word:<24}{size:>8}")
