"""Helpers of the tests of faults: the rows before an error, and the files that remain."""

from pathlib import Path

import datasets
import pytest

import imagenet_subsets
from imagenet_subsets import ArchiveError

NAMES = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 301)]
VAL_OPTIONS = {"splits": ["validation"], "on_missing": "skip", "split": "validation"}
TRAIN = {"splits": ["train"], "split": "train"}


def load(path, **options):
    return imagenet_subsets.load_dataset("1pct", data_dir=Path(path).parent, **options)


def images_of(dataset):
    """(file name, bytes) of each row."""
    for row in dataset.cast_column("image", datasets.Image(decode=False)):
        yield row["file_name"], row["image"]["bytes"]


def error_after_correct_rows(dataset, images):
    """The message of the error that iterating raises, after some but not all of the images, which must be correct."""
    given = []
    with pytest.raises((ArchiveError, OSError)) as raised:
        given.extend(pair for pair in images_of(dataset))
    assert given == list(images.items())[: len(given)]
    return str(raised.value)


def chain(error):
    """The messages of an error and its causes."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(messages)


def paths_below(folder):
    """The paths of all files and folders below a folder, except locks."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.suffix != ".lock")


def files(folder):
    """The names of the files below a folder, except locks."""
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".lock")
