"""Rows in place and copied rows: the time until they are ready, random access, and batches from distant storage."""

import contextlib
import io
import os
import random
import resource
import time
from pathlib import Path

import datasets
import fsspec
import PIL.Image

import imagenet_subsets
from benchmarks.devices import move_away

BATCH = 64
RANDOM_ROWS = 2000
BATCHES_FROM_AFAR = 5


def ready_in_place(folder, config):
    """Load a config in place from indexed archives."""
    with timed(1) as result:
        imagenet_subsets.load_dataset(config, data_dir=folder, in_place=True)
    cache = Path(os.environ["HF_HOME"], "datasets")
    return result | {"cache_mb": sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6}


def random_access(folder, in_place=False, direct=False):
    """Decode rows one by one, in random order, in one process."""
    rows = training_rows(folder, in_place)
    if direct:
        rows = decoded_directly(rows, list)
    order = random.Random(0).sample(range(len(rows)), RANDOM_ROWS)
    return accessed(rows, order)


def accessed(rows, order):
    """Get rows twice and measure the second time."""
    for k in order:  # then everything is in memory
        rows[k]
    with timed(len(order)) as result:
        for k in order:
            rows[k]
    return result


def random_access_to_nothing(folder):
    """The same for paths of a file system with images in memory: the minimum cost of any path."""
    copied = training_rows(folder, in_place=False)
    order = random.Random(0).sample(range(len(copied)), RANDOM_ROWS)
    fsspec.register_implementation(InMemory.protocol, InMemory)
    rows = []
    for row in copied.select(order).cast_column("image", datasets.Image(decode=False)):
        path = f"{InMemory.protocol}://{row['file_name']}"
        InMemory.images[path] = row["image"]["bytes"]
        rows.append(row | {"image": {"bytes": None, "path": path}})
    return accessed(datasets.Dataset.from_list(rows, features=copied.features), range(len(order)))


class InMemory(fsspec.AbstractFileSystem):
    """A file system of images in memory."""

    protocol, images = "benchmark", {}

    @classmethod
    def _strip_protocol(cls, path):
        return path

    def open(self, path, mode="rb", **options):
        return _InMemoryFile(self.images[path])


class _InMemoryFile(io.BytesIO):
    """Unlike ``BytesIO``, it has methods that ``datasets`` can replace."""


def batches_from_afar(folder, together):
    """Decode batches in place, with images read together or one by one, on distant storage."""
    rows = training_rows(folder, in_place=True)
    if together:
        rows = decoded_directly(rows, list)
    move_away()
    with timed(BATCHES_FROM_AFAR * BATCH) as result:
        for k in range(BATCHES_FROM_AFAR):
            rows[k * BATCH : (k + 1) * BATCH]["image"]
    return result


def training_rows(folder, in_place):
    """The training rows of 1pct."""
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
def timed(rows):
    """A dict that gets the ``seconds`` of the body and the resulting ``rows_a_second``.

    ``cpu_seconds`` counts this process and its children from their start.
    """
    result = {"read_mb": None}
    started = time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - started
    result["rows_a_second"] = rows / result["seconds"]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    result["cpu_seconds"] = sum(os.times()[:2]) + children.ru_utime + children.ru_stime
