"""The contents of a folder for the Hub: which row is in which shard.

The layout: one folder per config, and one each for the official validation and test images, shared by all configs::

    README.md                                             the card, written last: a folder without it is unfinished
    1pct/train-00000-of-00003.parquet
    1pct/unlabeled-00000-of-00278.parquet
    lt/train-00000-of-00026.parquet
    lt/validation-00000-of-00005.parquet
    custom/train-00000-of-00001.parquet
    ilsvrc2012_validation/validation-00000-of-00014.parquet
    ilsvrc2012_test/test-00000-of-00027.parquet

Which row is in which shard depends only on the lists and the sizes of the images, so the same archives give the same
bytes, whichever processes and hosts write them.
"""

import dataclasses
import functools
import itertools
import re
import threading

import datasets
import numpy as np
import pyarrow.parquet as pq

import imagenet_subsets
from imagenet_reader.plan import SHARDS, SplitRows

ROW_GROUP = 100  # approximate rows per row group: 11 MB of images, the most that one random access reads
# The number of row groups per split is a multiple of this, so that nodes and workers get equal parts.
ROW_GROUPS = SHARDS
SHARED = "ilsvrc2012_validation"
SHARED_TEST = "ilsvrc2012_test"
CONFIGS = (*imagenet_subsets.SUBSETS, "custom")
FOLDERS = (*CONFIGS, SHARED, SHARED_TEST)
SHARD_PATH = re.compile(rf"({'|'.join(FOLDERS)})/(train|validation|unlabeled|test)-\d{{5}}-of-\d{{5}}\.parquet")
IMAGE_BYTES = b"imagenet_subsets.image_bytes"  # in the metadata of a shard

_SHARED_FOLDERS = {"validation": (SHARED, "validation"), "test": (SHARED_TEST, "test")}  # list -> folder, split
_PLANNING = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The images of one list, and the files that hold them.

    Args:
        folder: folder of the files, relative to the output folder.
        split: prefix of the file names.
        images: the rows and the locations of their images.
        features: ``datasets.Features`` of the rows.
        shard_bytes: image bytes per file, approximate upper limit.
    """

    folder: str
    split: str
    images: SplitRows
    features: datasets.Features
    shard_bytes: int

    @functools.cached_property
    def shards(self):
        """The row groups of each file, by its path in the output folder: ``dict[str, list[np.ndarray]]``."""
        rows = self.images.rows
        count = ROW_GROUPS * max(1, round(len(rows) / ROW_GROUP / ROW_GROUPS))
        groups = np.array_split(rows, min(count, len(rows)))
        passed = np.cumsum([group["size"].sum() for group in groups])
        count = int(-(-passed[-1] // self.shard_bytes))
        cuts = [0, *np.searchsorted(passed, passed[-1] * np.arange(1, count) // count), len(groups)]
        return {
            f"{self.folder}/{self.split}-{k:05d}-of-{count:05d}.parquet": groups[start:end]
            for k, (start, end) in enumerate(itertools.pairwise(cuts))
        }

    @property
    def pattern(self):
        """A glob for the files. It contains their number, so that files of another build never match."""
        return f"{self.folder}/{self.split}-*-of-{len(self.shards):05d}.parquet"

    def image_bytes(self, output_dir):
        """The bytes of all images in the written files; a few images differ from those in the archive."""
        return sum(int(pq.read_metadata(output_dir / path).metadata[IMAGE_BYTES]) for path in self.shards)


@dataclasses.dataclass(frozen=True)
class Contents:
    """Everything that determines the rows of a build, small enough to be sent with each shard.

    Attributes:
        data_dir: absolute path of the folder that holds the images.
        options: ``dict[str, dict]``, the options of each config, for ``imagenet_subsets.ImagenetSubsets``.
        shard_bytes: see ``Part``.
        build: a unique id, so that workers do not reuse a plan cached by an earlier build.
    """

    data_dir: str
    options: dict = dataclasses.field(hash=False)
    shard_bytes: int
    build: str

    def parts(self, config):
        """The splits of a config, ``dict[str, Part]``. Computed once per process, from the cached index or a new one.

        Raises:
            OSError: an archive does not exist or cannot be read.
            ValueError: an archive or an option is not as expected.
        """
        with _PLANNING:  # one thread per process plans; the others wait and reuse its result
            return _parts(self, config)


@functools.lru_cache(maxsize=len(CONFIGS))
def _parts(contents, config):
    options = {"name": config, "data_dir": contents.data_dir, **contents.options[config]}
    chosen = imagenet_subsets.ImagenetSubsetsConfig(**options)
    features, parts = chosen.features(), {}
    for split, images in chosen.make_plan().splits.items():
        folder, name = _SHARED_FOLDERS.get(images.split_list.name, (config, split))
        parts[split] = Part(folder, name, images, features, contents.shard_bytes)
    return parts


def config_options(
    configs, label_names, splits, unlabeled, train_list, validation_list, classes=None, real_labels=False
):
    """The options of each config, ``dict[str, dict]``: a config gets the options of ``load_dataset`` that it has.

    Raises:
        ValueError: an option or a split exists in none of the configs, or a config has none of the splits.
    """
    if unlabeled and not set(configs) & set(imagenet_subsets.UNLABELED):
        raise ValueError(f"unlabeled=True is for {list(imagenet_subsets.UNLABELED)}; configs={configs!r} has neither.")
    if (train_list or validation_list) and "custom" not in configs:
        raise ValueError(f"train_list and validation_list are for the config 'custom'; configs={configs!r} lacks it.")
    common = {"label_names": label_names, "classes": classes, "real_labels": real_labels}
    options = {config: dict(common) for config in configs}
    for config in set(configs) & set(imagenet_subsets.UNLABELED):
        options[config]["unlabeled"] = unlabeled
    if "custom" in configs:
        options["custom"] |= {"train_list": train_list, "validation_list": validation_list}
    if splits is not None:
        _choose_splits(options, list(splits))
    return options


def _choose_splits(options, splits):
    possible = {
        config: {*imagenet_subsets.SUBSETS.get(config, imagenet_subsets.CUSTOM), "test"}
        | ({"unlabeled"} if chosen.get("unlabeled") else set())
        for config, chosen in options.items()
    }
    known = set.union(*possible.values())
    if not splits or not set(splits) <= known:
        raise ValueError(f"splits={splits!r:.200}: expected splits of {list(options)}: {sorted(known)}.")
    for config, chosen in options.items():
        chosen["splits"] = [split for split in splits if split in possible[config]]
        if not chosen["splits"]:
            raise ValueError(f"splits={splits!r:.200}: {config!r} has none of them, only {sorted(possible[config])}.")
