"""A demonstration that needs no ImageNet: make, load, show and remove stand-in archives."""

import tempfile
import textwrap
from pathlib import Path
from typing import Any

import datasets

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets_tools.check import text_table
from imagenet_subsets_tools.standins import make_standins

_CALL = 'imagenet_subsets.load_dataset("1pct", data_dir="{}", label_names="words")'


def run_demo() -> None:
    """Make stand-ins in a temporary folder (0.2 GB), load ``1pct``, print rows, and remove everything, also indexes."""
    with tempfile.TemporaryDirectory(prefix="imagenet-subsets-demo-") as folder:
        archives = make_standins(Path(folder, "archives"), configs=["1pct"])
        print(f"Two stand-in archives, drawn images under the official names, are in {archives}.")
        print(f"They are loaded like the official ones:\n\n    {_CALL.format(archives)}\n")
        try:
            options: dict[str, Any] = {"label_names": "words", "cache_dir": f"{folder}/cache"}
            dataset = imagenet_subsets.load_dataset("1pct", data_dir=archives, **options)
            print(f"{dataset}\n")
            _print_rows(dataset)
        finally:
            for index in map(Path, map(imagenet_subsets.index_path, archives.iterdir())):
                for file in index.parent.glob(f"{index.name}*"):  # the index and its lock
                    file.unlink()
    print(
        f"\nThe stand-ins have been removed. To load ImageNet, put the official {TRAIN_ARCHIVE}\n"
        f"and {VALIDATION_ARCHIVE} (https://image-net.org/download-images.php)\n"
        f"into one folder, as downloaded:\n\n    {_CALL.format('/path/to/the/folder')}"
    )


def _print_rows(dataset: datasets.DatasetDict) -> None:
    rows = [("split", "rows", "file_name", "label", "class", "image")]
    for name, split in dataset.items():
        for row in split.select(range(0, len(split), len(split) // 2)):
            word = textwrap.shorten(split.features["label"].int2str(row["label"]), 24, placeholder="...")
            size = "x".join(map(str, row["image"].size))
            rows.append((name, str(len(split)), row["file_name"], str(row["label"]), word, size))
    print("\n".join(text_table("<><><>", rows)))
