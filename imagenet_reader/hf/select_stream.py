"""Selecting the rows of a config from a streaming dataset, by name, before any image is decoded."""

from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from imagenet_reader import lists
from imagenet_reader.formats.hub_names import official_name
from imagenet_reader.hf.datasets_private import unformatted
from imagenet_reader.hf.names import FILENAME, JSON, KEY, OwnLabels, image_column, nameless
from imagenet_reader.hf.split_info import info_of
from imagenet_reader.official import TRAIN_NAME, WNID
from imagenet_reader.plan import Plan

BATCH_ROWS = 100
STEPS_AFTER = (
    "Steps such as filter, map, remove_columns and rename_column make a stream lose its columns, or the names of its "
    "images: take them after select."
)
SPLIT_NAMES = {"validation": ("validation", "val"), "train": ("train",), "test": ("test",)}  # per set of images


def select_stream(
    dataset: datasets.IterableDatasetDict | datasets.IterableDataset, plan: Plan, info: datasets.DatasetInfo
) -> datasets.IterableDatasetDict:
    """Select the splits of a plan from a streaming dataset, in the dataset's order and shards.

    Args:
        dataset: any ImageNet; if it has several splits, each is selected from the one of the same set of images.
        plan: a plan without a ``data_dir``.
        info: the info of the result, with its features.

    Raises:
        ValueError: the dataset has no such split, or no image column.
    """
    splits = {}
    for split in plan.subset:
        source = _source_of(dataset, plan.image_set(split)) if isinstance(dataset, dict) else dataset
        selection = Selection(plan, split, source.features)
        splits[split] = _selected(source, selection, info_of(info, selection.columns))
    return datasets.IterableDatasetDict(splits)


def _source_of(dataset: datasets.IterableDatasetDict, image_set: str) -> datasets.IterableDataset:
    name = next((name for name in SPLIT_NAMES[image_set] if name in dataset), None)
    if name is None:
        raise ValueError(f"Expected a split {' or '.join(SPLIT_NAMES[image_set])}; found {list(dataset)!s:.500}.")
    return dataset[name]


def _selected(dataset: datasets.IterableDataset, selection: "Selection", info: datasets.DatasetInfo) -> Any:
    undecoded = unformatted(dataset).cast_column(selection.column, datasets.Image(decode=False))
    # With the names of all columns, datasets 2.19 would also remove new columns of the same names.
    removed = [column for column in dataset.features if column not in info.features]
    rows = undecoded.map(selection, batched=True, batch_size=BATCH_ROWS, remove_columns=removed)
    return rows.cast(info.features)


def _official_name(value: Any) -> str | None:
    return official_name(value) if isinstance(value, str) else None


class Selection:
    """Selects the rows of a split from batches of a dataset with these features; pickled for workers."""

    def __init__(self, plan: Plan, split: str, features: datasets.Features | None):
        if features is None:
            raise ValueError(f"The streaming dataset does not say what its columns are. {STEPS_AFTER}")
        self.column, self.own = image_column(features), OwnLabels(features)
        self.label_of = plan.labels_by_name(split)
        self.complement, self.columns = plan.subset[split].complement, plan.columns_of(split)
        self._named = False  # whether an image had a name so far

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        """The columns of the rows in a batch that belong to the split."""
        candidates = self._candidates(batch)
        names = [next(filter(None, map(_official_name, values)), None) for values in zip(*candidates.values())]
        self._named = self._named or any(names)
        if names and not self._named:
            found = {source: values[:3] for source, values in candidates.items()}
            raise ValueError(f"{nameless(found)}. {STEPS_AFTER}")
        rows = [(k, str(name), label) for k, name in enumerate(names) if (label := self._label(name)) is not None]
        found = pa.array([name for _, name, _ in rows], pa.string())
        labels = np.array([label for _, _, label in rows], np.int64)
        if self.own.column is not None:
            self.own.check(found, pa.array([batch[self.own.column][k] for k, _, _ in rows]), labels)
        images = [batch[self.column][k] for k, _, _ in rows]
        beside = self.columns.beside(found, labels)
        return {"image": images} | {name: column.to_pylist() for name, column in beside.items()}

    def _label(self, name: str | None) -> int | None:
        """The published label of an image; ``None`` if the image is not in the split."""
        if name is None:
            return None
        if self.label_of is not None and not self.complement:
            return self.label_of.get(name)
        if not TRAIN_NAME.fullmatch(name.encode()) or (self.label_of is not None and name in self.label_of):
            return None
        label = lists.label_of_wnid().get(name[WNID])
        if label is None or (self.columns.classes is not None and label not in self.columns.classes):
            return None
        return -1 if self.complement else label

    def _candidates(self, batch: dict[str, list]) -> dict[str, list]:
        """Where the names can be -> its value for each row."""
        images = batch[self.column]
        if not all(image is None or isinstance(image, dict) for image in images):
            raise ValueError(f"The images of the stream are already decoded. {STEPS_AFTER}")
        candidates: dict[str, list] = {f"paths of {self.column}": [image and image["path"] for image in images]}
        candidates |= {column: batch[column] for column in ("file_name", KEY) if column in batch}
        if JSON in batch:
            values = [value.get(FILENAME) if isinstance(value, dict) else None for value in batch[JSON]]
            candidates[f"{JSON}.{FILENAME}"] = values
        return candidates
