"""A subset of a loaded ImageNet: the time until it is ready, and random access; see ``contenders``."""

import json
import random
import time
from collections.abc import Mapping

import datasets

import imagenet_subsets
from benchmarks.in_place import RANDOM_ROWS, accessed, timed
from imagenet_reader.formats.hub_names import official_name
from imagenet_reader.lists import LISTS, TRAIN_IMAGES, read_split_list, read_wnids
from imagenet_subsets_tools.standins.forms.hub_parquet import write_hub_parquet
from imagenet_subsets_tools.standins.forms.names import label_of
from imagenet_subsets_tools.standins.images import Images

__all__ = ["load_hub_dataset", "random_rows_of_subset", "select_subset"]

ARROW_FILES = 290  # about as many as datasets makes from the original, 500 MB each
FIRST_UNLISTED = 1_000_000  # numbers of images that are in no list


def load_hub_dataset(folder, image_bytes=None):
    """Write a stand-in for ``ILSVRC/imagenet-1k`` with all images, and the Arrow files that ``datasets`` makes from it.

    With ``image_bytes``, only the images of 1pct, of this size.
    """
    images = _DrawnImages(_names("1pct") if image_bytes else _all_names(), Images(image_bytes))
    write_hub_parquet(images, folder / "hub")
    data_files = {split: str(folder / "hub" / "data" / f"{split}-*.parquet") for split in ("train", "validation")}
    builder = datasets.load_dataset_builder("parquet", data_files=data_files, cache_dir=str(folder / "cache"))
    size = sum(path.stat().st_size for path in (folder / "hub").rglob("*.parquet"))
    builder.download_and_prepare(max_shard_size=size // ARROW_FILES)
    (folder / "arrow.json").write_text(json.dumps({"data_files": data_files}))
    return {}


class _DrawnImages(Mapping):
    """File name -> content of images, drawn on access."""

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
    """The names in the lists, and names for all other training images."""
    names, wnids = _names(*LISTS), read_wnids()
    others = TRAIN_IMAGES - sum(name.startswith("n") for name in names)
    return names + [f"{wnids[k % 1000]}_{FIRST_UNLISTED + k // 1000}.JPEG" for k in range(others)]


def _loaded(folder):
    """The dataset as loaded by ``datasets``."""
    data_files = json.loads((folder / "arrow.json").read_text())["data_files"]
    return datasets.load_dataset("parquet", data_files=data_files, cache_dir=str(folder / "cache"))


def select_subset(folder, config):
    """Select a config; ``memory_mb`` excludes the mapped Arrow files and is ``nan`` except on Linux."""
    imagenet = _loaded(folder)
    with timed(1) as result:
        selected = imagenet_subsets.select(imagenet, config, on_missing="skip")
    return result | {"rows": sum(map(len, selected.values())), "memory_mb": _anonymous_mb()}


def _anonymous_mb():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:")) * 1024 / 1e6
    except FileNotFoundError:
        return float("nan")


def random_rows_of_subset(folder, turns=10):
    """Decode the same images in random order: of each, the selected row and the given one (``given_seconds``); sums.

    Each comes first every other time, since what comes second is faster.
    """
    given = _loaded(folder)["train"]
    selected = imagenet_subsets.select(given, "1pct", split="train")
    paths = given.with_format("arrow")[:]["image"].combine_chunks().field("path").to_pylist()
    row_of = {official_name(path): row for row, path in enumerate(paths)}
    order = random.Random(0).sample(range(len(selected)), RANDOM_ROWS // 2)
    given_order = [row_of[name] for name in selected.select(order)["file_name"]]
    accessed(given, given_order)
    runs = [("seconds", selected, order), ("given_seconds", given, given_order)]
    seconds = {"seconds": 0.0, "given_seconds": 0.0}
    for _ in range(turns):
        for k in range(len(order)):
            for name, rows, numbers in runs:
                started = time.perf_counter()
                rows[numbers[k]]
                seconds[name] += time.perf_counter() - started
            runs.reverse()
        runs.reverse()  # an even number of rows would keep the order of each
    return {"read_mb": None} | seconds
