"""A subset of an ImageNet that is already loaded: until it is ready, and rows in random order; see ``contenders``."""

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path

import datasets

import imagenet_subsets
from benchmarks.devices import memory_mb
from benchmarks.in_place import RANDOM_ROWS, accessed, timed
from imagenet_reader.lists import LISTS, TRAIN_IMAGES, read_split_list, read_wnids
from imagenet_subsets_tools.standins.forms.hub_parquet import write_hub_parquet
from imagenet_subsets_tools.standins.forms.names import label_of
from imagenet_subsets_tools.standins.images import Images

__all__ = ["load_hub_dataset", "random_rows_of_subset", "select_subset"]

ARROW_FILES = 290  # about as many as datasets makes of the true one, 500 MB each
FIRST_UNLISTED = 1_000_000  # numbers of images that no list names


def load_hub_dataset(folder, image_bytes=None):
    """Write a stand-in for ``ILSVRC/imagenet-1k`` with all images, and the Arrow files that ``datasets`` makes of it.

    With ``image_bytes``, those of 1pct alone, of this size.
    """
    images = _Drawn(_names("1pct") if image_bytes else _all_names(), Images(image_bytes))
    write_hub_parquet(images, folder / "hub")
    data_files = {split: str(folder / "hub" / "data" / f"{split}-*.parquet") for split in ("train", "validation")}
    builder = datasets.load_dataset_builder("parquet", data_files=data_files, cache_dir=str(folder / "cache"))
    size = sum(path.stat().st_size for path in (folder / "hub").rglob("*.parquet"))
    builder.download_and_prepare(max_shard_size=size // ARROW_FILES)
    (folder / "arrow.json").write_text(json.dumps({"data_files": data_files}))
    return {}


class _Drawn(Mapping):
    """File name -> content of images, which are drawn when they are asked for."""

    def __init__(self, names, images):
        self.names, self.images = names, images

    def __getitem__(self, name):
        return self.images.content(name, label_of(name))

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return len(self.names)


def _names(*train_lists):
    return sorted({name for some in (*train_lists, "validation") for name, _ in read_split_list(some)})


def _all_names():
    """The names of the lists, and as many others as there are training images beside them."""
    names, wnids = _names(*LISTS), read_wnids()
    others = TRAIN_IMAGES - sum(name.startswith("n") for name in names)
    return names + [f"{wnids[k % 1000]}_{FIRST_UNLISTED + k // 1000}.JPEG" for k in range(others)]


def _loaded(folder):
    """The dataset as ``datasets`` gives it to everybody."""
    data_files = json.loads((folder / "arrow.json").read_text())["data_files"]
    return datasets.load_dataset("parquet", data_files=data_files, cache_dir=str(folder / "cache"))


def select_subset(folder, config):
    """Select a config; ``memory_mb`` is what the process has beside the files, which are mapped."""
    imagenet = _loaded(Path(folder))
    with timed(1) as result:
        selected = imagenet_subsets.select(imagenet, config)
    return result | {"rows": sum(map(len, selected.values())), "memory_mb": memory_mb(os.getpid())}


def random_rows_of_subset(folder, selected):
    """Decode rows of 1pct one after the other, in random order: of the subset, or the same of the given dataset."""
    train = _loaded(Path(folder))["train"]
    order = random.Random(0).sample(range(len(train)), RANDOM_ROWS)
    return accessed(imagenet_subsets.select(train, "1pct", split="train") if selected else train, order)
