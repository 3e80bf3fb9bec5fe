"""What follows from a config: its classes and lists, where its images are, and the rows of its splits."""

import dataclasses
import functools
import hashlib
import itertools
import pathlib
import warnings

import numpy as np

from imagenet_reader import lists
from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import digest
from imagenet_reader.layouts.base import Layout, Reader
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.rows import locate, training_rows

SHARDS = 128  # of each split: enough for 16 nodes of 8 workers, and still 100 rows each in the smallest
MAX_IMAGE = 1 << 28  # bytes; the largest image of ImageNet has 16 MB
NAMES_AT_ONCE = 1 << 16
SHUFFLED = "train", "unlabeled"  # splits whose rows mix the classes


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of a split and where their images are.

    Attributes:
        list: the name of the list that the rows are from, such as ``"lt_train"``.
        rows: structured array ``[n]`` in row order, see ``rows``.
        layout: where their images are.
        reader: reads their images.
    """

    list: str
    rows: np.ndarray
    layout: Layout
    reader: Reader

    @property
    def shards(self):
        """The rows as ``list`` of up to 128 arrays, for ``num_proc``, workers and nodes."""
        return np.array_split(self.rows, min(SHARDS, len(self.rows)))


class Plan:
    """What follows from a config. Making one looks at the images' places; ``splits`` makes or reads the indexes.

    Args:
        config: the name of the config.
        subset: ``dict[str, str]``, split -> list, in the order of the splits. A list is a key of ``lists.LISTS``;
            ``"full"``, all training images; ``"unlabeled"``, those that the list of the config's name lacks;
            ``"test"``, the official test images; or a key of ``own_lists``.
        own_lists: ``dict``, name -> the user's own list, as ``lists.read_image_list`` takes it.
        data_dir: the folder of the images; ``None`` if it is not known, and no rows are asked for.
        on_missing: ``"error"``, or ``"skip"`` to leave out images that are absent.

    Attributes:
        classes: what ``lists.read_classes`` returns.
        key: ``dict``, what the images, the user's lists and the code are, instead of where they are: the same key
            gives the same rows.

    Raises:
        OSError: a file cannot be read.
        ValueError: a list is not what it should be.
    """

    def __init__(self, config, subset, own_lists, data_dir, on_missing):
        self.config, self.subset, self.on_missing = config, subset, on_missing
        self._own_lists = own_lists
        self.classes = lists.read_classes()
        self._wnids = [wnid for wnid, _ in self.classes]
        self._layouts = {} if data_dir is None else self._find_layouts(data_dir)
        self._snapshots = {layout: layout.look(functools.partial(self._wanted, layout)) for layout in self._distinct()}
        self.key = {kind: self._snapshots[layout].identity or layout.path for kind, layout in self._layouts.items()}
        self.key["reader"] = _code_digest()
        if own_lists:
            self.key["lists"] = digest([self._images(split) for split in subset])

    def __getstate__(self):
        # Processes have no use for lists and rows, which take seconds to pickle.
        return {name: value for name, value in self.__dict__.items() if name not in ("_lists", "splits", "_snapshots")}

    @property
    def places(self):
        """The archives and folders that the images are in, ``list[str]``."""
        return [layout.path for layout in self._distinct()]

    def count(self, split):
        """How many images a split has if none is missing."""
        name = self.subset[split]
        if name == "full":
            return lists.TRAIN_IMAGES
        if name == "unlabeled":
            return lists.TRAIN_IMAGES - lists.LISTS[self.config][0]
        return lists.LISTS[name][0] if name in lists.LISTS else len(self._images(split))

    @functools.cached_property
    def splits(self):
        """The rows of each split, ``dict[str, SplitRows]``.

        Raises:
            FileNotFoundError: an archive is not there.
            ArchiveError: an archive is not what it should be, was changed since the plan was made, or lacks images.
        """
        for layout in self._distinct():
            layout.check()  # all errors that a glance shows come before any work
        indexes = {layout: self._snapshots[layout].index() for layout in self._distinct()}
        splits = {}
        for split, name in self.subset.items():
            layout = self._layouts[self._kind(split)]
            rows = self._rows(split, layout, indexes[layout].table)
            splits[split] = SplitRows(name, rows, layout, indexes[layout].reader)
        return splits

    def warn_of_missing(self, counts, stacklevel):
        """Warn of images that are left out; ``counts``, ``dict[str, int]``, has the rows of each split."""
        missing = {split: self.count(split) - count for split, count in counts.items()}
        text = ", ".join(f"{n:,} of {self.count(split):,} in {split}" for split, n in missing.items() if n)
        if text:
            message = f"{self.config}: images that the archive lacks are left out: {text}."
            warnings.warn(message, stacklevel=stacklevel + 1)

    # ---------------------------------------------------------------------------------------------- lists

    @functools.cached_property
    def _lists(self):
        return {}

    def _images(self, split):
        """The images of a split, (file name, label); ``None`` if no list names them."""
        return self._list(self.subset[split])

    def _list(self, name):
        if name not in self._lists:
            self._lists[name] = self._read_list(name)
        return self._lists[name]

    def _read_list(self, name):
        if name in self._own_lists:
            return lists.read_image_list(self._own_lists[name])
        if name in lists.LISTS:
            return lists.read_split_list(name)
        return lists.test_images() if name == "test" else None

    def _kind(self, split):
        """``"train"``, ``"validation"`` or ``"test"``: which images a split has."""
        name = self.subset[split]
        if name in self._own_lists:
            first, _ = self._images(split)[0]
            return "validation" if first.startswith("I") else "train"
        return name if name in ("validation", "test") else "train"

    def _wanted(self, layout):
        """The images that all splits together want of a layout, as ``Layout.look`` asks for them."""
        images = [self._images(split) for split in self.subset if self._layouts[self._kind(split)] == layout]
        return None if None in images else set(itertools.chain.from_iterable(images))

    # --------------------------------------------------------------------------------------------- places

    def _find_layouts(self, data_dir):
        kinds = dict.fromkeys(self._kind(split) for split in self.subset)
        return {kind: find_layout(kind, data_dir, self._wnids) for kind in kinds}

    def _distinct(self):
        """The layouts, each once: one file can have images of several kinds."""
        return dict.fromkeys(self._layouts.values())

    def _rows(self, split, layout, index):
        """The rows of a split, in row order."""
        images = self._images(split)
        rows = self._unlisted(split, layout, index) if images is None else locate(images, index)
        if split in SHUFFLED:  # by the SHA-256 of the name, so that any run of rows mixes the classes
            rows = rows[_order_by_digest(rows["name"])]
        if rows["size"].max() > MAX_IMAGE:
            largest = rows[rows["size"].argmax()]
            raise ArchiveError(
                f"{layout.path}: {largest['name'].decode()} is said to have {largest['size']:,} bytes, more than any "
                "image of ImageNet."
            )
        there = rows["size"] > 0
        found = rows if there.all() else rows[there]
        if len(found) < len(rows) and (self.on_missing == "error" or not len(found)):
            raise self._missing_error(split, layout, rows)
        return found

    def _missing_error(self, split, layout, rows):
        absent = rows[rows["size"] == 0]
        missing = [(name.decode(), label) for name, label in absent[["name", "label"]].tolist()]
        shown = missing if self._own_lists else missing[:3]  # a user's list may have names in error
        which = "namely" if shown is missing else "such as"
        return ArchiveError(
            f"{layout.path}: {len(missing):,} of the {len(rows):,} images that {self.config} lists for {split} are "
            f"absent or empty, {which} {', '.join(name for name, _ in shown)}. {layout.explain(missing)} "
            "To leave out what is missing: on_missing='skip'."
        )

    def _unlisted(self, split, layout, index):
        """The rows that no list names: all training images, or, for ``unlabeled``, those outside the subset."""
        listed = [name for name, _ in self._list(self.config)] if split == "unlabeled" else []
        rows, count = training_rows(index, self._wnids, without=listed), self.count(split)
        if split == "unlabeled":
            rows["label"] = -1
        if len(rows) > count or (len(rows) < count and (self.on_missing == "error" or not len(rows))):
            there = set(np.unique(training_rows(index, self._wnids)["label"]).tolist())
            absent = [(f"{wnid}_1.JPEG", label) for label, wnid in enumerate(self._wnids) if label not in there]
            raise ArchiveError(
                f"{layout.path} has {len(rows):,} training images for {split}; in ILSVRC 2012 there are {count:,}. "
                f"{layout.explain_incomplete(absent)}"
            )
        return rows


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


@functools.cache
def _code_digest():
    """SHA-256 (hex) of this package: changed code must not serve what other code has cached."""
    sources = sorted(pathlib.Path(__file__).parent.rglob("*.py"))
    return digest([source.read_bytes() for source in sources])
