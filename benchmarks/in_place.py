"""Rows in place: the time until they are ready, and the recipe that decodes batches of them."""

import contextlib
import io
import os
import time
from pathlib import Path

import datasets
import fsspec
import PIL.Image

import imagenet_subsets

BATCH = 64
BATCHES = 5


def ready_in_place(folder, config):
    """Load a config in place from indexed archives."""
    with timed() as result:
        imagenet_subsets.load_dataset(config, data_dir=folder, in_place=True)
    cache = Path(os.environ["HF_HOME"], "datasets")
    return result | {"cache_mb": sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6}


def training_rows(folder, in_place):
    """The training rows of 1pct; ``folder`` is a path or URL."""
    return imagenet_subsets.load_dataset("1pct", data_dir=folder, splits=["train"], split="train", in_place=in_place)


def decoded_directly(rows, augment):
    """The rows, decoded by the recipe in docs/training.md; ``augment`` gets the images of a batch."""
    files = fsspec.filesystem("imagenet")

    def decode(images):
        contents = files.cat([image["path"] for image in images if image["bytes"] is None])
        for image in images:
            picture = PIL.Image.open(io.BytesIO(image["bytes"] or contents[image["path"]]))
            picture.load()
            yield picture if picture.mode == "RGB" else picture.convert("RGB")

    def transform(batch):
        return {"image": augment(decode(batch["image"])), "label": batch["label"]}

    return rows.cast_column("image", datasets.Image(decode=False)).with_transform(transform)


@contextlib.contextmanager
def timed():
    """A dict that gets the ``seconds`` of the body."""
    result = {"read_mb": None}
    started = time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - started
