"""What follows from a config: its lists, where its images are, and the rows of its splits."""

import dataclasses
import functools
import hashlib
import itertools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from imagenet_reader import lists
from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import digest
from imagenet_reader.hf.log import logger
from imagenet_reader.layouts.base import Images, Layout, Wanted
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.official import VALIDATION_NAME
from imagenet_reader.own_lists import read_image_list
from imagenet_reader.reading.reader import Reader
from imagenet_reader.rows import locate, training_rows

SHARDS = 128  # of each split: enough for 16 nodes of 8 workers, and still 100 rows each in the smallest
MAX_IMAGE = 1 << 28  # bytes; the largest image of ImageNet has 16 MB
NAMES_AT_ONCE = 1 << 16
SHUFFLED = "train", "unlabeled"  # splits whose rows mix the classes


class SplitList(NamedTuple):
    """The list that a split is from.

    ``name`` is a key of ``lists.LISTS``; ``"full"``, all training images; ``"test"``, the official test images; or the
    name of a user's own list. With ``complement``, the split has all training images that the list lacks, label -1.
    """

    name: str
    complement: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of a split and where their images are.

    Attributes:
        split_list: the list that the rows are from.
        rows: structured array ``[n]`` in row order, see ``rows``.
        layout: where their images are.
        reader: reads their images.
    """

    split_list: SplitList
    rows: np.ndarray
    layout: Layout
    reader: Reader

    @property
    def shards(self) -> list[np.ndarray]:
        """The rows as up to 128 arrays, for ``num_proc``, workers and nodes."""
        return np.array_split(self.rows, min(SHARDS, len(self.rows)))


class Plan:
    """What follows from a config. Making one looks at the files; ``splits`` makes or reads the indexes.

    Args:
        config: the name of the config, for messages.
        subset: split -> list, in the order of the splits.
        own_lists: name -> the user's own list, as ``own_lists.read_image_list`` takes it.
        data_dir: the folder of the images; ``None`` if it is not known, and no rows are asked for.
        on_missing: ``"error"``, or ``"skip"`` to leave out images that are absent.

    Attributes:
        key: ``dict``, what the images and the user's lists are, instead of where they are: the same key gives the
            same rows.

    Raises:
        OSError: a file cannot be read.
        ValueError: a list is not what it should be.
    """

    def __init__(
        self,
        config: str,
        subset: dict[str, SplitList],
        own_lists: dict[str, Any],
        data_dir: str | None,
        on_missing: str,
    ):
        self.config, self.subset, self.on_missing = config, subset, on_missing
        self._lists = _Lists(own_lists)
        sets = dict.fromkeys(self._lists.image_set(name) for name in subset.values())
        self._layouts = {} if data_dir is None else {name: find_layout(name, data_dir) for name in sets}
        for name, layout in self._layouts.items():
            logger.info("%s images: %s, %s", name, layout.name or "none", layout.path)
        self._wanted = {layout: Wanted(functools.partial(self._images_of, layout)) for layout in self.layouts}
        self._snapshots = {layout: layout.snapshot(wanted) for layout, wanted in self._wanted.items()}
        self.key: dict[str, Any] = {
            name: self._snapshots[layout].identity or layout.path for name, layout in self._layouts.items()
        }
        if own_lists:
            self.key["lists"] = digest([self._lists.images(name) for name in subset.values()])

    def __getstate__(self) -> dict[str, Any]:
        # Other processes are sent the rows that they read; lists and snapshots would take seconds to pickle.
        sent = {"config": self.config, "subset": self.subset, "on_missing": self.on_missing, "key": self.key}
        return sent | {"_counts": {split: self.count(split) for split in self.subset}}

    @property
    def layouts(self) -> list[Layout]:
        """Where the images are, each layout once: one can have several sets of images."""
        return list(dict.fromkeys(self._layouts.values()))

    def count(self, split: str) -> int:
        """How many images a split has if none is missing."""
        return self._counts[split]

    @functools.cached_property
    def _counts(self) -> dict[str, int]:
        return {split: self._lists.count(name) for split, name in self.subset.items()}

    @functools.cached_property
    def splits(self) -> dict[str, SplitRows]:
        """The rows of each split.

        Raises:
            FileNotFoundError: an archive does not exist.
            ArchiveError: an archive is not what it should be, was changed since the plan was made, or lacks images.
            RuntimeError: this is a plan that was sent to another process, which has no rows.
        """
        if not hasattr(self, "_snapshots"):
            raise RuntimeError("A plan leaves its rows behind when it is pickled. Make it again where it is used.")
        for layout in self.layouts:
            layout.check()  # all errors that are cheap to detect come before any work
        indexes = {layout: layout.index(self._snapshots[layout], self._wanted[layout]) for layout in self.layouts}
        splits = {}
        for split, name in self.subset.items():
            layout = self._layouts[self._lists.image_set(name)]
            rows = self._rows(split, layout, indexes[layout].table)
            logger.info("%s: %d rows", split, len(rows))
            splits[split] = SplitRows(name, rows, layout, indexes[layout].reader)
        return splits

    def listed(self, split: str, train_images: Callable[[], list[tuple[str, int]]]) -> list[tuple[str, int]]:
        """The images of a split, (file name, label), in row order.

        Args:
            split: the split.
            train_images: gives all training images that there are, for splits that no list names.
        """
        split_list = self.subset[split]
        images = self._lists.images(split_list)
        if images is None and split_list.complement:
            listed = set(self._lists.read(split_list.name))
            images = [(name, -1) for name, label in train_images() if (name, label) not in listed]
        elif images is None:
            images = train_images()
        if split not in SHUFFLED or not images:
            return images
        return [images[k] for k in _order_by_digest(np.array([name for name, _ in images], "S"))]

    def labels_by_name(self, split: str) -> dict[str, int] | None:
        """Name -> label of the images of a split's list, of which it may be the complement; ``None`` if it has none."""
        images = self._lists.read(self.subset[split].name)
        return None if images is None else dict(images)

    def image_set(self, split: str) -> str:
        """The set of images that a split is from: ``"train"``, ``"validation"`` or ``"test"``."""
        return self._lists.image_set(self.subset[split])

    def warn_of_missing(self, counts: dict[str, int], stacklevel: int) -> None:
        """Warn of images that are left out; ``counts`` has the rows of each split."""
        missing = {split: self.count(split) - count for split, count in counts.items()}
        text = ", ".join(f"{n:,} of {self.count(split):,} in {split}" for split, n in missing.items() if n)
        if text:
            message = f"{self.config}: images that the archive lacks are left out: {text}."
            warnings.warn(message, stacklevel=stacklevel + 1)

    def _images_of(self, layout: Layout) -> Images | None:
        """The images that the splits need from one layout."""
        named = [name for name in self.subset.values() if self._layouts[self._lists.image_set(name)] == layout]
        images = [self._lists.images(name) for name in named]
        known = [some for some in images if some is not None]
        return set(itertools.chain.from_iterable(known)) if len(known) == len(images) else None

    def _rows(self, split: str, layout: Layout, index: pa.Table) -> np.ndarray:
        """The rows of a split, in row order."""
        images = self._lists.images(self.subset[split])
        rows = self._unlisted(split, layout, index) if images is None else locate(images, index)
        if split in SHUFFLED:  # by the SHA-256 of the name, so that any run of rows mixes the classes
            rows = rows[_order_by_digest(rows["name"])]
        if rows["size"].max() > MAX_IMAGE:
            largest = rows[rows["size"].argmax()]
            raise ArchiveError(
                f"{layout.path}: {largest['name'].decode()} has a recorded size of {largest['size']:,} bytes, larger "
                "than any ImageNet image."
            )
        there = rows["size"] > 0
        found = rows if there.all() else rows[there]
        if len(found) < len(rows) and (self.on_missing == "error" or not len(found)):
            raise self._missing_error(split, layout, rows)
        return found

    def _missing_error(self, split: str, layout: Layout, rows: np.ndarray) -> ArchiveError:
        absent = rows[rows["size"] == 0]
        missing = [(name.decode(), label) for name, label in absent[["name", "label"]].tolist()]
        shown = missing if self._lists.own else missing[:3]  # a user's list may contain typos
        which = "namely" if shown is missing else "such as"
        return ArchiveError(
            f"{layout.path}: {len(missing):,} of the {len(rows):,} images that {self.config} lists for {split} are "
            f"absent or empty, {which} {', '.join(name for name, _ in shown)}. {layout.explain(missing)} "
            "To leave out what is missing: on_missing='skip'."
        )

    def _unlisted(self, split: str, layout: Layout, index: pa.Table) -> np.ndarray:
        """The rows that no list names: all training images, or those that are not in a list."""
        name, count = self.subset[split], self.count(split)
        listed = [image for image, _ in self._lists.read(name.name)] if name.complement else []
        rows = training_rows(index, lists.read_wnids(), without=listed)
        if name.complement:
            rows["label"] = -1
        if len(rows) > count or (len(rows) < count and (self.on_missing == "error" or not len(rows))):
            there = set(np.unique(training_rows(index, lists.read_wnids())["label"]).tolist())
            absent = [(f"{wnid}_1.JPEG", label) for wnid, label in lists.label_of_wnid().items() if label not in there]
            raise ArchiveError(
                f"{layout.path} has {len(rows):,} training images for {split}; in ILSVRC 2012 there are {count:,}. "
                f"{layout.explain_incomplete(absent)}"
            )
        return rows


class _Lists:
    """The lists of a plan, each read once: published ones, and ``own``, the user's own by name."""

    def __init__(self, own: dict[str, Any]):
        self.own = own
        self._read: dict[str, Any] = {}

    def read(self, name: str) -> Any:
        """The images of a list, (file name, label); ``None`` of ``"full"``, which no list names."""
        if name not in self._read:
            self._read[name] = self._read_list(name)
        return self._read[name]

    def _read_list(self, name: str) -> list[tuple[str, int]] | None:
        if name in self.own:
            return read_image_list(self.own[name])
        if name in lists.LISTS:
            return lists.read_split_list(name)
        return lists.test_images() if name == "test" else None

    def images(self, split_list: SplitList) -> list[tuple[str, int]] | None:
        """The images of a split; ``None`` if no list names them."""
        return None if split_list.complement else self.read(split_list.name)

    def count(self, split_list: SplitList) -> int:
        """How many images a split has if none is missing."""
        name, complement = split_list
        if name in self.own:
            return len(self.read(name))
        counts = {"full": lists.TRAIN_IMAGES, "test": lists.TEST_IMAGES} | {k: n for k, (n, _) in lists.LISTS.items()}
        return lists.TRAIN_IMAGES - counts[name] if complement else counts[name]

    def image_set(self, split_list: SplitList) -> str:
        """The set of images that a split is from: ``"train"``, ``"validation"`` or ``"test"``."""
        if split_list.name in self.own:
            first, _ = self.read(split_list.name)[0]
            return "validation" if VALIDATION_NAME.fullmatch(first.encode()) else "train"
        return split_list.name if split_list.name in ("validation", "test") else "train"


def _order_by_digest(names):
    """The order of the SHA-256 of names, ``int64 [n]``; ``names`` is an array of bytes ``[n]``."""
    digests = bytearray()
    for start in range(0, len(names), NAMES_AT_ONCE):
        some = names[start : start + NAMES_AT_ONCE].tolist()
        digests += b"".join([hashlib.sha256(name).digest() for name in some])
    parts = np.frombuffer(digests, ">u8").reshape(-1, 4)
    order = np.argsort(parts[:, 0], kind="stable")
    if (np.diff(parts[order, 0]) == 0).any():  # one time in ten million
        order = np.lexsort(parts.T[::-1])
    return order
