"""The expected rows, from the published lists, and the actual rows, for each way to load them."""

import functools
import hashlib
from pathlib import Path

import datasets
import pytest

import imagenet_subsets
from imagenet_reader import lists
from imagenet_subsets_tools.lists import published_lines

SCRIPT = Path(imagenet_subsets.__file__)
VERSION = tuple(int(part) for part in datasets.__version__.split(".")[:2])
RUNS_SCRIPTS = VERSION < (4, 0)
TRUST = {} if VERSION < (2, 20) else {"trust_remote_code": True}
WAYS = ["package", pytest.param("script", marks=pytest.mark.skipif(not RUNS_SCRIPTS, reason="datasets 4+ runs none"))]
TRAIN_NAME, VALIDATION_NAME = "{wnid}_{number}.JPEG", "ILSVRC2012_val_{number:08d}.JPEG"
LISTS = {
    ("1pct", "train"): "1pct.parquet",
    ("10pct", "train"): "10pct.parquet",
    ("lt", "train"): "lt_train.parquet",
    ("lt", "validation"): "lt_validation.parquet",
}
SPLITS = {"1pct": ["train", "validation"], "10pct": ["train", "validation"], "lt": ["train", "validation", "test"]}


def load(way, *args, **kwargs):
    if way == "package":
        return imagenet_subsets.load_dataset(*args, **kwargs)
    return datasets.load_dataset(str(SCRIPT), *args, **kwargs, **TRUST)


@functools.cache
def published_rows(config, split):
    """[(file name, label)] in the order that the card states, from the published lists."""
    file = LISTS.get((config, split), "validation.parquet")
    name = VALIDATION_NAME if file == "validation.parquet" else TRAIN_NAME
    lines = published_lines(lists.SPLIT_FILES, file, name + " {label}")
    rows = [(line.split()[0], int(line.split()[1])) for line in lines]
    return sorted(rows, key=lambda row: hashlib.sha256(row[0].encode()).hexdigest() if split == "train" else row[0])


def rows_of(dataset):
    columns = dataset.select_columns(["file_name", "label"]).with_format("arrow")[:]
    return list(zip(columns["file_name"].to_pylist(), columns["label"].to_pylist()))


def streamed(dataset):
    """(file name, label, whether the image is the named one) of each row; in batches, which old datasets need."""
    batches = dataset.cast_column("image", datasets.Image(decode=False)).iter(batch_size=500)
    return [
        (name, label, name.encode() in image["bytes"])
        for batch in batches
        for name, label, image in zip(batch["file_name"], batch["label"], batch["image"])
    ]


def paths(rows):
    """The paths of the images of rows in place."""
    return [image["path"] for image in rows.cast_column("image", datasets.Image(decode=False))["image"][:]]
