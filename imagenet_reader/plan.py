"""The plan of a config: its lists, the locations of its images, and the rows of its splits."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.class_sets import incompleteness
from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import as_utf_8, digest
from imagenet_reader.hf.log import logger, warn
from imagenet_reader.index.members import fixed_width
from imagenet_reader.layouts.base import Images, Layout, Wanted
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.layouts.messages import listing
from imagenet_reader.official import WNID
from imagenet_reader.plan_lists import PlanLists, SplitList
from imagenet_reader.reading.reader import Reader
from imagenet_reader.rows import PUBLISHED, Columns, locate, order_by_digest, training_rows

SHARDS = 128  # per split: enough for 16 nodes with 8 workers each, and still 100 rows per shard of the smallest split
MAX_IMAGE = 1 << 28  # bytes; ImageNet's largest image has 16 MB
SHUFFLED = "train", "unlabeled"  # splits whose rows mix the classes


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of a split and the locations of their images.

    Attributes:
        split_list: the list that the rows are from.
        rows: structured array ``[n]`` in row order, see ``rows``.
        layout: the layout that holds their images.
        reader: reads their images.
    """

    split_list: SplitList
    rows: np.ndarray
    layout: Layout
    reader: Reader

    @property
    def shards(self) -> list[np.ndarray]:
        """The rows, split into up to 128 arrays for ``num_proc``, workers and nodes."""
        return np.array_split(self.rows, min(SHARDS, len(self.rows)))


class Plan:
    """The plan of a config. Creating it finds the layouts; ``splits`` reads or builds their indexes.

    Args:
        config: the name of the config, for messages.
        subset: split -> list, in the order of the splits.
        own_lists: name -> the user's own list, as for ``own_lists.read_image_list``.
        data_dir: the folder of the images; ``None`` if no rows are needed.
        on_missing: ``"error"``, or ``"skip"`` to leave out missing images.
        columns: the columns of the rows; the splits have only images of ``columns.classes``.

    Attributes:
        key: ``dict``, identifies the images and the user's lists, wherever they are: the same key gives the same rows.

    Raises:
        OSError: a file cannot be read.
        ValueError: a list is not as expected.
    """

    def __init__(
        self,
        config: str,
        subset: dict[str, SplitList],
        own_lists: dict[str, Any],
        data_dir: str | None,
        on_missing: str,
        columns: Columns = PUBLISHED,
    ):
        self.config, self.subset, self.on_missing, self.columns = config, subset, on_missing, columns
        self._lists = PlanLists(own_lists, columns.classes)
        sets = dict.fromkeys(self._lists.image_set(name) for name in subset.values())
        self._layouts = {} if data_dir is None else {name: find_layout(name, data_dir, sets) for name in sets}
        for name, layout in self._layouts.items():
            logger.info("%s images: %s, %s", name, layout.name or "none", layout.path)
        self._wanted = {
            layout: Wanted(functools.partial(self._images_of, layout), self._wnids_of(layout))
            for layout in self.layouts
        }
        self._snapshots = {layout: layout.snapshot(wanted) for layout, wanted in self._wanted.items()}
        self.key: dict[str, Any] = {
            name: self._snapshots[layout].identity or as_utf_8(layout.path) for name, layout in self._layouts.items()
        }
        if own_lists:
            self.key["lists"] = digest([self._lists.images(name) for name in subset.values()])

    def __getstate__(self) -> dict[str, Any]:
        # Lists and snapshots would take seconds to pickle; other processes only need the rows, which they are sent.
        sent = {name: getattr(self, name) for name in ("config", "subset", "on_missing", "columns", "key")}
        return sent | {"_counts": {split: self.count(split) for split in self.subset}}

    @property
    def layouts(self) -> list[Layout]:
        """The layouts of the images, each once, since one layout can hold several sets of images."""
        return list(dict.fromkeys(self._layouts.values()))

    def count(self, split: str) -> int | None:
        """The number of images in a complete split; ``None`` if no list says how many images its classes have."""
        return self._counts[split]

    @functools.cached_property
    def _counts(self) -> dict[str, int | None]:
        return {split: self._lists.count(name) for split, name in self.subset.items()}

    @functools.cached_property
    def splits(self) -> dict[str, SplitRows]:
        """The rows of each split.

        Raises:
            FileNotFoundError: an archive does not exist.
            ArchiveError: an archive is not as expected, has changed since the plan was made, or lacks images.
            RuntimeError: this plan was pickled, which removes its rows.
        """
        if not hasattr(self, "_snapshots"):
            raise RuntimeError("A pickled plan has no rows. Make a new plan in the process that needs them.")
        for layout in self.layouts:
            layout.check()  # raise errors that are cheap to detect before any work
        indexes = {layout: layout.index(self._snapshots[layout], self._wanted[layout]) for layout in self.layouts}
        splits = {}
        for split, name in self.subset.items():
            layout = self._layouts[self._lists.image_set(name)]
            rows = self._rows(split, layout, indexes[layout].table)
            logger.info("%s: %d rows", split, len(rows))
            reader = dataclasses.replace(indexes[layout].reader, columns=self.columns)
            splits[split] = SplitRows(name, rows, layout, reader)
        return splits

    def listed(self, split: str, train_names: Callable[[], pa.Array]) -> tuple[pa.Array, np.ndarray]:
        """The images of a split, before ``row_order``: file names, ``string [n]``, and published labels, ``int64 [n]``.

        Args:
            split: the split.
            train_names: returns the names of all available training images, for splits without a list.

        Raises:
            ArchiveError: training images of the chosen classes are missing.
        """
        images = self._lists.images(self.subset[split])
        if images is None:
            return self._without_list(self.subset[split], train_names())
        names = pa.array([name for name, _ in images], pa.string())
        return names, np.array([label for _, label in images], np.int64)

    def row_order(self, split: str, names: pa.Array) -> np.ndarray:
        """The order, ``int64 [n]``, that brings the images of a split, given by their file names, into row order."""
        if split not in SHUFFLED or not len(names):
            return np.arange(len(names))
        return order_by_digest(fixed_width(names.cast(pa.binary())))

    def _without_list(self, split_list: SplitList, names: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """All training images of the chosen classes, or those not in a list, in the form that ``listed`` returns."""
        wnids = pc.utf8_slice_codeunits(names, 0, WNID.stop)
        labels = pc.index_in(wnids, value_set=pa.array(lists.read_wnids())).to_numpy().astype(np.int64)
        if self.columns.classes is not None:
            chosen = np.isin(labels, self.columns.classes)
            names, labels = names.filter(pa.array(chosen)), labels[chosen]
            wrong = self._incompleteness(names.to_pylist, labels) if len(names) else ""
            if wrong:
                raise ArchiveError(f"The dataset {wrong}. To leave out missing images, pass on_missing='skip'.")
        if split_list.complement:
            listed = pa.array([name for name, _ in self._lists.read(split_list.name)], pa.string())
            names = names.filter(pc.invert(pc.is_in(names, value_set=listed)))
            labels = np.full(len(names), -1)
        return names, labels

    def labels_by_name(self, split: str) -> dict[str, int] | None:
        """Name -> label of the images in a split's list, or in that of its complement; ``None`` if there is no list."""
        images = self._lists.read(self.subset[split].name)
        return None if images is None else dict(images)

    def columns_of(self, split: str) -> Columns:
        """The columns of a split; only official validation images have ReaL labels."""
        has_real_labels = self.columns.real_labels and self.image_set(split) == "validation"
        return dataclasses.replace(self.columns, real_labels=has_real_labels)

    def image_set(self, split: str) -> str:
        """The set of images that a split is from: ``"train"``, ``"validation"`` or ``"test"``."""
        return self._lists.image_set(self.subset[split])

    def warn_of_missing(self, counts: dict[str, int]) -> None:
        """Warn of images that are left out; ``counts`` has the number of rows per split."""
        expected = {split: n for split in counts if (n := self.count(split)) is not None}
        missing = {split: n - counts[split] for split, n in expected.items()}
        text = ", ".join(f"{n:,} of {expected[split]:,} in {split}" for split, n in missing.items() if n)
        if text:
            warn(f"{self.config}: missing images are left out: {text}.")

    def _lists_of(self, layout: Layout) -> list[SplitList]:
        return [name for name in self.subset.values() if self._layouts[self._lists.image_set(name)] == layout]

    def _images_of(self, layout: Layout) -> Images | None:
        """The listed images that the splits need from a layout; ``None`` for all, if a split has no list or subset."""
        images = [self._lists.images(name) for name in self._lists_of(layout)]
        known = [some for some in images if some is not None]
        everything = len(known) < len(images) and self.columns.classes is None
        return None if everything else set(itertools.chain.from_iterable(known))

    def _wnids_of(self, layout: Layout) -> frozenset[str]:
        """The classes whose training images the splits need completely from a layout, unless these are all classes."""
        unlisted = any(name.complement or name.name == "full" for name in self._lists_of(layout))
        classes = self.columns.classes if unlisted and self.columns.classes is not None else ()
        return frozenset(lists.read_wnids()[label] for label in classes)

    def _rows(self, split: str, layout: Layout, index: pa.Table) -> np.ndarray:
        """The rows of a split, in row order."""
        images = self._lists.images(self.subset[split])
        rows = self._unlisted(split, layout, index) if images is None else locate(images, index)
        if split in SHUFFLED:  # by the SHA-256 of the name, so that any range of rows mixes the classes
            rows = rows[order_by_digest(rows["name"])]
        if rows["size"].max() > MAX_IMAGE:
            largest = rows[rows["size"].argmax()]
            raise ArchiveError(
                f"{layout.path}: {largest['name'].decode()} has a recorded size of {largest['size']:,} bytes, larger "
                "than any ImageNet image."
            )
        exists = rows["size"] > 0
        found = rows if exists.all() else rows[exists]
        if len(found) < len(rows) and (self.on_missing == "error" or not len(found)):
            raise self._missing_error(split, layout, rows)
        return found

    def _missing_error(self, split: str, layout: Layout, rows: np.ndarray) -> ArchiveError:
        absent = rows[rows["size"] == 0]
        missing = [(name.decode(), label) for name, label in absent[["name", "label"]].tolist()]
        names = [name for name, _ in missing]  # a user's list may contain typos, so more names are shown
        shown = f"namely {listing(names)}" if self._lists.own else f"such as {', '.join(names[:3])}"
        advice = layout.explain(missing)
        if self._lists.own:
            advice = f"Correct names that ImageNet does not have. If all are right: {advice}"
        return ArchiveError(
            f"{layout.path}: {len(missing):,} of the {len(rows):,} images that {self.config} lists for {split} are "
            f"missing or empty, {shown}. {advice} "
            "To leave out missing images, pass on_missing='skip'."
        )

    def _unlisted(self, split: str, layout: Layout, index: pa.Table) -> np.ndarray:
        """The rows of a split without a list: all training images, or those that are not in another list."""
        name, wnids = self.subset[split], lists.read_wnids()
        listed = [image for image, _ in self._lists.read(name.name)] if name.complement else []
        found = training_rows(index, wnids, classes=self.columns.classes)
        rows = training_rows(index, wnids, without=listed, classes=self.columns.classes) if listed else found
        wrong = self._wrong_count(split, len(rows)) or self._incompleteness(
            lambda: found["name"].astype(str), found["label"]
        )
        if wrong:
            present = set(np.unique(found["label"]).tolist())
            classes = range(len(wnids)) if self.columns.classes is None else self.columns.classes
            absent = [(f"{wnids[label]}_1.JPEG", label) for label in classes if label not in present]
            raise ArchiveError(f"{layout.path} {wrong}. {layout.explain_incomplete(absent)}")
        if name.complement:
            rows["label"] = -1
        return rows

    def _wrong_count(self, split: str, rows: int) -> str:
        """Say that the number of rows of a split without a list is wrong; empty if it is not known to be wrong."""
        count = self.count(split)
        fewest = 1 if count is None or self.on_missing == "skip" else count
        if fewest <= rows <= (count or rows):
            return ""
        expected = "some" if count is None else f"{count:,}"
        return f"has {rows:,} training images for {split}; ILSVRC 2012 has {expected}"

    def _incompleteness(self, names: Callable[[], Iterable[str]], labels: Sequence[int]) -> str:
        """As ``class_sets.incompleteness``, for the chosen classes; empty if missing images are skipped."""
        if self.columns.classes is None or self.on_missing == "skip":
            return ""
        return incompleteness(names(), labels, self.columns.classes)
