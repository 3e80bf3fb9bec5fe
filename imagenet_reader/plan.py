"""The plan of a config: its lists, the locations of its images, and the rows of its splits."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.facts import TEST_IMAGES, VALIDATION_NAME, WNID, ArchiveError
from imagenet_reader.files import digest
from imagenet_reader.layouts.base import Layout, Request
from imagenet_reader.layouts.find import find_layouts
from imagenet_reader.log import logger, warn
from imagenet_reader.own_lists import read_image_list
from imagenet_reader.reading.batches import Reader
from imagenet_reader.rows import PUBLISHED, Columns, Rows, as_arrays, locate, order_by_digest, training_names
from imagenet_reader.text import shorten

SHARDS = 128  # per split: enough for 16 nodes with 8 workers each, and still 100 rows per shard of the smallest split
SHUFFLED = "train", "unlabeled"  # splits whose rows mix the classes
SKIPPING = "To leave out missing images, pass on_missing='skip'."

Listed = tuple[pa.Array, lists.Labels]  # the file names, ``string [n]``, and published labels, ``int64 [n]``, of images


class SplitList(NamedTuple):
    """The list that a split is from."""

    name: str  # of a published or a user's own list; "full": all training images; "test": the official test images
    complement: bool = False  # whether the split has all training images that are not in the list, with label -1
    without: tuple[str, ...] = ()  # lists whose images a split without a list of its own leaves out, too


class SplitRows(NamedTuple):
    """The list of a split, its rows in row order, the layout that holds their images, and what reads them."""

    split_list: SplitList
    rows: Rows
    layout: Layout
    reader: Reader

    @property
    def shards(self) -> list[Rows]:
        """The rows, split into up to 128 arrays for workers and nodes."""
        return np.array_split(self.rows, min(SHARDS, len(self.rows)))


class Plan:
    """The plan of a config. Creating it finds the layouts; ``splits`` reads or builds their indexes.

    ``key`` identifies the images and the user's lists, wherever they are: the same key gives the same rows.

    Raises:
        OSError: the folder lacks images, or a file cannot be read.
        ValueError: a list is not as expected.
    """

    def __init__(
        self,
        config: str,
        subset: dict[str, SplitList],  # split -> list, in the order of the splits
        own_lists: dict[str, Any],  # name -> the user's own list, as for ``own_lists.read_image_list``
        data_dir: str | None,  # the folder of the images; None if no rows are needed
        on_missing: str,
        columns: Columns = PUBLISHED,
        resize: int | None = None,  # the shorter side of larger images, in pixels
    ):
        self._resize = resize
        self.config, self.subset, self.on_missing, self.columns = config, subset, on_missing, columns
        self._own_lists, self._read = own_lists, dict[str, lists.Images]()
        sets = list(dict.fromkeys(map(self.image_set, subset)))
        self._layouts = {} if data_dir is None else find_layouts(sets, data_dir)
        for name, layout in self._layouts.items():
            logger.info("%s images: %s, %s", name, layout.name, layout.path)
        self._snapshots = {layout: layout.snapshot() for layout in self.layouts}
        self.key = {name: self._snapshots[layout].identity for name, layout in self._layouts.items()}
        if own_lists:
            self.key["lists"] = digest([self._listed(split_list) for split_list in subset.values()])

    @property
    def layouts(self) -> list[Layout]:
        """The layouts of the images, each once, since one layout can hold several sets of images."""
        return list(dict.fromkeys(self._layouts.values()))

    # ------------------------------------------------------------------------------------------ the lists

    def image_set(self, split: str) -> str:
        """The set of images that a split is from: ``"train"``, ``"validation"`` or ``"test"``."""
        name = self.subset[split].name
        if name in self._own_lists:
            first, _ = self._read_list(name)[0]
            return "validation" if VALIDATION_NAME.fullmatch(first.encode()) else "train"
        return name if name in ("validation", "test") else "train"

    def count(self, split: str) -> int | None:
        """The number of images in a complete split; ``None`` if no list says how many images its classes have."""
        name, complement, without = self.subset[split]
        if self.columns.classes is not None and (complement or name == "full"):
            return None
        if name in self._own_lists or self.columns.classes is not None:
            return len(self._read_list(name))
        counts = {"full": lists.TRAIN_IMAGES, "test": TEST_IMAGES} | {
            key: count for key, (count, _) in lists.LISTS.items()
        }
        count = lists.TRAIN_IMAGES - counts[name] if complement else counts[name]
        return count - sum(counts[other] for other in without)  # which no list overlaps

    def labels_by_name(self, split: str) -> dict[str, int] | None:
        """Name -> label of the images in a split's list; ``None`` if it has none."""
        images = self._listed(self.subset[split])
        return None if images is None else dict(images)

    def left_out(self, split: str) -> set[str]:
        """The training images that a split without a list does not have."""
        name, complement, without = self.subset[split]
        return {image for of in (name,) * complement + without for image, _ in self._read_list(of)}

    def columns_of(self, split: str) -> Columns:
        """The columns of a split; only official validation images have ReaL labels."""
        has_real_labels = self.columns.real_labels and self.image_set(split) == "validation"
        return dataclasses.replace(self.columns, real_labels=has_real_labels)

    def _listed(self, split_list: SplitList) -> lists.Images | None:
        """The images of a split; ``None`` if it has no list."""
        has_none = split_list.complement or split_list.name == "full"
        return None if has_none else self._read_list(split_list.name)

    def _read_list(self, name: str) -> lists.Images:
        """The images of a list, of the chosen classes; each list is read once."""
        images = self._read.get(name)
        if images is None:
            if name in self._own_lists:
                images = read_image_list(self._own_lists[name])
            else:
                images = lists.test_images() if name == "test" else lists.read_split_list(name)
            images = lists.of_classes(images, self.columns.classes)
            if not images:
                raise ValueError(f"{name} has no image of the chosen classes.")
            self._read[name] = images
        return images

    # ------------------------------------------------------------------------------------------- the rows

    @functools.cached_property
    def splits(self) -> dict[str, SplitRows]:
        """The rows of each split."""
        for layout in self.layouts:
            layout.check()  # raise errors that are cheap to detect before any work
            if not layout.is_unchanged(self._snapshots[layout]):
                raise ArchiveError(f"{layout.path} has changed since this builder was made. Make a new one.")
        indexes = {layout: layout.index(self._snapshots[layout], self._request(layout)) for layout in self.layouts}
        splits = {}
        for split, split_list in self.subset.items():
            layout = self._layouts[self.image_set(split)]
            rows = self._rows(split, layout, indexes[layout].table)
            logger.info("%s: %d rows", split, len(rows))
            reader = dataclasses.replace(indexes[layout].reader, columns=self.columns, resize=self._resize)
            splits[split] = SplitRows(split_list, rows, layout, reader)
        return splits

    def _request(self, layout: Layout) -> Request:
        """The images that the splits need from a layout."""
        of_layout = [self.subset[split] for split in self.subset if self._layouts[self.image_set(split)] == layout]
        listed = [images for split_list in of_layout if (images := self._listed(split_list)) is not None]
        has_unlisted = len(listed) < len(of_layout)
        classes = self.columns.classes or () if has_unlisted else ()
        wnids = [lists.read_wnids()[label] for label in classes]
        return Request(has_unlisted and not wnids, {name: label for images in listed for name, label in images}, wnids)

    def _rows(self, split: str, layout: Layout, index: pa.Table) -> Rows:
        """The rows of a split, in row order."""
        names, labels = self.listed(split, lambda: training_names(index), layout)
        rows = locate(names, labels, index)
        exists = rows["size"] > 0
        found = rows if exists.all() else rows[exists]
        if len(found) < len(rows) and (self.on_missing == "error" or not len(found)):
            raise self._missing_error(split, layout, rows)
        return found

    def _missing_error(self, split: str, layout: Layout, rows: Rows) -> ArchiveError:
        absent = rows[rows["size"] == 0]
        missing = [(name.decode(), label) for name, label in absent[["name", "label"]].tolist()]
        names = [name for name, _ in missing]  # a user's list may contain typos, so more names are shown
        shown = f"namely {shorten(names)}" if self._own_lists else f"such as {', '.join(names[:3])}"
        advice = layout.explain(missing)
        if self._own_lists:
            advice = f"Correct any names that ImageNet does not have. If all are right, images are missing: {advice}"
        return ArchiveError(
            f"{layout.path}: {len(missing):,} of the {len(rows):,} images that {self.config} lists for {split} are "
            f"missing or empty, {shown}. {advice} {SKIPPING}"
        )

    def listed(self, split: str, train_names: Callable[[], pa.Array], layout: Layout | None = None) -> Listed:
        """The images of a split, in row order; ``ArchiveError`` if it has no list, and training images are missing.

        Then ``train_names()`` gives all that are in ``layout``, ``string [n]``, or else in a loaded dataset.
        """
        images = self._listed(self.subset[split])
        names, labels = as_arrays(images) if images is not None else self._unlisted(split, train_names(), layout)
        if split not in SHUFFLED or not len(names):
            return names, labels
        order = order_by_digest(names)  # so that any range of rows mixes the classes
        return names.take(pa.array(order)), labels[order]

    def _unlisted(self, split: str, names: pa.Array, layout: Layout | None) -> Listed:
        """All training images of the chosen classes, or those that are not in a list."""
        wnids, classes = lists.read_wnids(), self.columns.classes
        labels = pc.index_in(pc.utf8_slice_codeunits(names, 0, WNID.stop), value_set=pa.array(wnids))
        known = pc.is_valid(labels) if classes is None else pc.is_in(labels, value_set=pa.array(classes, pa.int32()))
        names, numbers = names.filter(known), labels.filter(known).to_numpy().astype(np.int64)
        wrong = ""
        if classes is not None and self.on_missing == "error" and (len(names) or layout):
            wrong = lists.incompleteness(names.to_pylist(), numbers, classes)
        present = set(np.unique(numbers).tolist())
        if left_out := self.left_out(split):
            kept = pc.invert(pc.is_in(names, value_set=pa.array(list(left_out), pa.string())))
            names, numbers = names.filter(kept), numbers[kept.to_numpy(zero_copy_only=False)]
        if self.subset[split].complement:
            numbers = np.full(len(names), -1)
        if layout is None:
            if wrong:
                raise ArchiveError(f"The dataset {wrong}. {SKIPPING}")
        elif wrong := self._wrong_count(split, len(names)) or wrong:
            expected = range(len(wnids)) if classes is None else classes
            absent = [(f"{wnids[label]}_1.JPEG", label) for label in expected if label not in present]
            raise ArchiveError(f"{layout.path} {wrong}. {layout.explain(absent)} {SKIPPING}")
        return names, numbers

    def _wrong_count(self, split: str, rows: int) -> str:
        """Say that the number of rows of a split without a list is wrong; empty if it is not known to be wrong."""
        count = self.count(split)
        fewest = 1 if count is None or self.on_missing == "skip" else count
        if fewest <= rows <= (count or rows):
            return ""
        expected = "some" if count is None else f"{count:,}"
        return f"has {rows:,} training images for {split}; ILSVRC 2012 has {expected}"

    def warn_of_missing(self, counts: dict[str, int]) -> None:
        """Warn of images that are left out; ``counts`` has the number of rows per split."""
        expected = {split: count for split in counts if (count := self.count(split)) is not None}
        missing = {split: count - counts[split] for split, count in expected.items()}
        text = ", ".join(f"{n:,} of {expected[split]:,} in {split}" for split, n in missing.items() if n)
        if text:
            warn(f"{self.config}: missing images are left out: {text}.")
