"""A subset of a loaded ImageNet: the time until it is ready; see ``contenders``."""

import datasets

import imagenet_subsets
from benchmarks.in_place import timed
from imagenet_reader.lists import LISTS, TRAIN_IMAGES, read_split_list, read_wnids
from imagenet_subsets_tools.standins.images import DrawnImages
from imagenet_subsets_tools.standins.layouts import write_hub_parquet

__all__ = ["load_hub_dataset", "select_subset"]

ARROW_FILES = 290  # about as many as datasets makes from the original, 500 MB each
FIRST_UNLISTED = 1_000_000  # numbers of images that are in no list


def load_hub_dataset(folder):
    """Write a stand-in for ``ILSVRC/imagenet-1k`` with all images, and the Arrow files that ``datasets`` makes from it.

    Images that are in no list have names, too.
    """
    names, wnids = sorted({name for some in LISTS for name, _ in read_split_list(some)}), read_wnids()
    others = TRAIN_IMAGES - sum(name.startswith("n") for name in names)
    names += [f"{wnids[k % 1000]}_{FIRST_UNLISTED + k // 1000}.JPEG" for k in range(others)]
    write_hub_parquet(DrawnImages(names), folder / "hub")
    size = sum(path.stat().st_size for path in (folder / "hub").rglob("*.parquet"))
    builder = datasets.load_dataset_builder("parquet", **_source(folder))
    builder.download_and_prepare(max_shard_size=size // ARROW_FILES)


def _source(folder):
    data_files = {split: str(folder / "hub" / "data" / f"{split}-*.parquet") for split in ("train", "validation")}
    return {"data_files": data_files, "cache_dir": str(folder / "cache")}


def select_subset(folder, config):
    """Select a config; ``memory_mb`` excludes the mapped Arrow files and is ``nan`` except on Linux."""
    imagenet = datasets.load_dataset("parquet", **_source(folder))
    with timed() as result:
        selected = imagenet_subsets.select(imagenet, config, on_missing="skip")
    return result | {"rows": sum(map(len, selected.values())), "memory_mb": _anonymous_mb()}


def _anonymous_mb():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:")) * 1024 / 1e6
    except FileNotFoundError:
        return float("nan")
