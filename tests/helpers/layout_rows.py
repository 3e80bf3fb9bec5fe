"""Helpers for tests of layouts: their rows and the digest of these, or the error."""

import hashlib

import datasets
import fsspec
import pytest
from datasets.exceptions import DatasetGenerationError
from makers.layouts import (
    class_tars,
    extracted,
    hub_cache,
    hub_folders,
    hub_parquet,
    hub_tar_gz,
    kaggle_tar,
    kaggle_tar_gz,
    kaggle_tree,
    kaggle_zip,
    of_split,
    official_tars,
    patched_test_tar,
    tfds,
    webdataset,
)

import imagenet_subsets

TENCH = "n01440764"


def class_tars_and_archives(images, target, folder="train"):
    """Class tars for training, the official archives for the others."""
    class_tars(images, target, folder)
    official_tars(of_split(images, "validation"), target)
    patched_test_tar(images, target)


LAYOUTS = {
    "archives": official_tars,
    "class tars": class_tars_and_archives,
    "class tars beside the archives": lambda images, to: class_tars_and_archives(images, to, "."),
    "class tars in a folder of the archive's name": lambda images, to: class_tars_and_archives(
        images, to, "ILSVRC2012_img_train"
    ),
    "kaggle zip, streamed": lambda images, to: kaggle_zip(images, to, streamed=True),
    "extracted": extracted,
    "extracted by class": lambda images, to: extracted(images, to, by_class=True),
    "kaggle tree": kaggle_tree,
    "kaggle zip": kaggle_zip,
    "kaggle zip, deflated": lambda images, to: kaggle_zip(images, to, deflated=True),
    "kaggle zip beyond 4 GiB": lambda images, to: kaggle_zip(images, to, start=5 << 30),
    "kaggle tar": kaggle_tar,
    "kaggle tar.gz": kaggle_tar_gz,
    "side by side": lambda images, to: extracted(images, to, train="train"),
    "hub parquet": hub_parquet,
    "hub parquet, in the Hub's cache": lambda images, to: to.symlink_to(hub_cache(images, to.parent / "hub")),
    "hub tar.gz": hub_tar_gz,
    "hub folders": hub_folders,
    "hub folders by class": lambda images, to: hub_folders(images, to, "train", "validation"),
    "webdataset": webdataset,
    "webdataset, numbered, in folders": lambda images, to: webdataset(images, to, numbered=True),
    "tfds": tfds,
}


def load(data_dir, name="custom", cache_dir=None, **options):
    if cache_dir is not None:
        options["cache_dir"] = str(cache_dir)
    return imagenet_subsets.load_dataset(name, data_dir=data_dir, **options)


def stream(data_dir, name="custom", **options):
    streams = load(data_dir, name, streaming=True, **options)
    return {split: rows.cast_column("image", datasets.Image(decode=False)) for split, rows in streams.items()}


def contents(rows):
    """{file name: bytes} of a dataset or a stream, or of all splits."""
    if isinstance(rows, dict):
        return {name: content for split in rows.values() for name, content in contents(split).items()}
    batches = rows.cast_column("image", datasets.Image(decode=False)).iter(batch_size=100)
    return {name: image["bytes"] for batch in batches for name, image in zip(batch["file_name"], batch["image"])}


def digests(splits):
    """{split: SHA-256 of the names, labels and image bytes, in order} of copies, streams or rows in place."""
    found = {}
    for split, rows in splits.items():
        total = hashlib.sha256()
        for batch in rows.cast_column("image", datasets.Image(decode=False)).iter(batch_size=100):
            in_place = [image["path"] for image in batch["image"] if image["bytes"] is None]
            content = fsspec.filesystem("imagenet").cat(in_place) if in_place else {}
            for name, label, image in zip(batch["file_name"], batch["label"], batch["image"]):
                total.update(repr((name, label, image["bytes"] or content[image["path"]])).encode())
        found[split] = total.hexdigest()
    return found


def message_of(data_dir, name="1pct", kind=(ValueError, FileNotFoundError), **options):
    """The error of making a dataset, before any image is read."""
    with pytest.raises(kind) as raised:
        load(data_dir, name, streaming=True, **options)
    return str(raised.value)


def message_of_reading(data_dir, **options):
    """The error of making or reading a dataset; asserts that streaming and preparing give the same one."""

    messages = []
    for read in (lambda: contents(stream(data_dir, **options)), lambda: load(data_dir, **options)):
        with pytest.raises((ValueError, DatasetGenerationError)) as raised:
            read()
        error = raised.value
        messages.append(str(error.__cause__ if isinstance(error, DatasetGenerationError) else error))
    assert messages[0] == messages[1]
    return messages[0]
