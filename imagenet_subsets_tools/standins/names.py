"""Derive split, class and label from image names, and divide images into shards."""

import functools
import itertools
import random
from collections.abc import Collection, Mapping

from imagenet_reader.facts import WNID
from imagenet_reader.lists import label_of_wnid, read_split_list, read_wnids

ImageFiles = Mapping[str, bytes]  # official file name -> content; stand-ins are drawn on access
PREFIXES = {"ILSVRC2012_val_": "validation", "ILSVRC2012_test_": "test"}
SPLITS = "train", "validation", "test"


def split_of(name: str) -> str:
    return next((split for prefix, split in PREFIXES.items() if name.startswith(prefix)), "train")


def label_of(name: str) -> int:
    """The label of an image: 0 to 999 by the sorted wnids; -1 in the test set."""
    if split_of(name) == "train":
        return label_of_wnid()[name[WNID]]
    return _validation_labels().get(name, -1)


def wnid_of(name: str) -> str | None:
    """The wnid of an image's class; ``None`` in the test set."""
    label = label_of(name)
    return None if label == -1 else read_wnids()[label]


@functools.cache
def _validation_labels() -> dict[str, int]:
    return dict(read_split_list("validation"))


def by_split(names: Collection[str]) -> dict[str, list[str]]:
    """The names in each split that is not empty, in their order."""
    return {split: found for split in SPLITS if (found := [name for name in names if split_of(name) == split])}


def by_class(names: Collection[str]) -> dict[str, list[str]]:
    """The names of the training images of each class, in their order."""
    found: dict[str, list[str]] = {}
    for name in by_split(names).get("train", ()):
        found.setdefault(name[WNID], []).append(name)
    return found


def shuffled_shards(names: list[str], count: int) -> list[list[str]]:
    """Shuffle the names, always in the same way, into shards whose sizes differ by at most 1."""
    names = random.Random(0).sample(sorted(names), len(names))
    ends = [len(names) * shard // count for shard in range(count + 1)]
    return [names[start:end] for start, end in itertools.pairwise(ends)]


def hub_name(name: str) -> str:
    """The name that an image has on the Hub, such as ``n01440764_10026_n01440764.JPEG``."""
    wnid = wnid_of(name)
    return name if wnid is None else f"{name.removesuffix('.JPEG')}_{wnid}.JPEG"
