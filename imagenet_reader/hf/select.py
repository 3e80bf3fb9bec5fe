"""Selecting the rows of a config from a loaded dataset, without decoding or copying images."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.errors import ArchiveError
from imagenet_reader.hf.datasets_private import take_rows
from imagenet_reader.hf.named_images import Joined, NamedImages
from imagenet_reader.hf.options import check_split
from imagenet_reader.hf.select_stream import select_stream
from imagenet_reader.hf.split_info import info_of
from imagenet_reader.official import WNID
from imagenet_reader.plan import Plan
from imagenet_reader.rows import Columns

SHOWN = 3  # missing images named in a message


class Images(NamedTuple):
    """The file names, ``string [n]``, and published labels, ``int64 [n]``, of images."""

    names: pa.Array
    labels: np.ndarray


def select_splits(dataset: Any, plan: Plan, info: datasets.DatasetInfo, split: str | None) -> Any:
    """Select the splits of a plan, or one of them, from a dataset; the result is streaming if the dataset is.

    Args:
        dataset: any ImageNet.
        plan: a plan without a ``data_dir``.
        info: the info of the result, with its features.
        split: the split to return, as a dataset; ``None`` for a dict of all.

    Raises:
        ArchiveError: images are missing.
        TypeError: ``dataset`` is not a dataset.
        ValueError: there is no such split, the dataset does not name its images, or its labels differ from the
            published ones.
    """
    streams = isinstance(dataset, (datasets.IterableDataset, datasets.IterableDatasetDict))
    if not streams and not isinstance(dataset, (datasets.Dataset, datasets.DatasetDict)):
        raise TypeError(
            f"Expected a dataset, as returned by datasets.load_dataset; found {type(dataset).__name__}. For a folder "
            "of images, use imagenet_subsets.load_dataset."
        )
    if split is not None:
        check_split(split, plan.subset)
        split = str(split)  # which may be a datasets.NamedSplit
        plan.subset = {split: plan.subset[split]}  # images of the others may be missing
    selected = (select_stream if streams else select_rows)(dataset, plan, info)
    return selected if split is None else selected[split]


def select_rows(
    dataset: datasets.DatasetDict | datasets.Dataset, plan: Plan, info: datasets.DatasetInfo
) -> datasets.DatasetDict:
    """Select the splits of a plan from a loaded dataset.

    Args:
        dataset: any ImageNet, complete or not; of a ``Dataset``, only the splits that it has images of are selected.
        plan: a plan without a ``data_dir``.
        info: the info of the result, with its features.

    Raises:
        ArchiveError: images are missing.
        ValueError: the dataset does not name its images, or its labels differ from the published ones.
    """
    sources, nameless = _named(list(dataset.values()) if isinstance(dataset, dict) else [dataset])
    splits = {}
    for split in plan.subset if sources else ():
        names, labels = plan.listed(split, lambda: _train_names(sources))
        with ThreadPoolExecutor(1) as pool:  # Arrow and Python at the same time
            ordered = pool.submit(plan.row_order, split, names)
            source, rows = _source_of(sources, names)
            order = ordered.result()
        names, labels, rows = names.take(pa.array(order)), labels[order], rows[order]
        found, expected = rows >= 0, max(plan.count(split) or 0, len(names))
        count = found.sum()
        if not count and not isinstance(dataset, dict):
            continue  # the dataset has another set of images
        if not count and nameless:
            raise nameless
        if not count or (plan.on_missing == "error" and count < expected):
            raise _absent(plan, split, names.filter(pa.array(~found)), expected - count, expected)
        images = Images(names.filter(pa.array(found)), labels[found])
        columns = plan.columns_of(split)
        splits[split] = _selected(source, rows[found], images, columns, info_of(info, columns), split)
    if not splits:
        raise nameless or ArchiveError(f"The dataset has no image of {' or '.join(plan.subset)} of {plan.config}.")
    plan.warn_of_missing({split: len(rows) for split, rows in splits.items()})
    return datasets.DatasetDict(splits)


def _named(given: list[datasets.Dataset]) -> tuple[list[NamedImages], ValueError | None]:
    """The datasets whose images have names, except empty ones, and the error of another, if there is one."""
    named, nameless = [], None
    for dataset in given:
        try:
            if len(dataset):
                named.append(NamedImages(dataset))
        except ValueError as error:  # which matters only if images are missing
            nameless = error
    return named, nameless


def _train_names(sources: list[NamedImages]) -> pa.Array:
    """The distinct file names of all training images in these datasets, ``string [n]``."""
    wnids = pa.array(lists.read_wnids())
    names = pa.chunked_array([source.names for source in sources]).unique()
    return names.filter(pc.is_in(pc.utf8_slice_codeunits(names, 0, WNID.stop), value_set=wnids))


def _source_of(sources: list[NamedImages], names: pa.Array) -> tuple[NamedImages, np.ndarray]:
    """The dataset that has these images, and their rows; if several are needed, they are joined."""
    rows = []
    for source in sources:
        rows.append(source.rows_of(names))
        if (rows[-1] >= 0).all():
            return source, rows[-1]
    holders = [k for k in range(len(sources)) if (rows[k] >= 0).any()] or [0]
    best = max(holders, key=lambda k: (rows[k] >= 0).sum())
    if all((rows[k][rows[best] < 0] < 0).all() for k in holders):
        return sources[best], rows[best]
    source = Joined([sources[k] for k in holders])
    return source, source.rows_of(names)


def _absent(plan: Plan, split: str, known: pa.Array, missing: int, count: int) -> ArchiveError:
    """The error for images that are missing, of which some names are known."""
    if plan.on_missing == "skip" or not count:
        return ArchiveError(
            f"The dataset has no image of {split} of {plan.config}. To leave out this split, pass splits=[...] with "
            "the others."
        )
    examples = f", such as {', '.join(known[:SHOWN].to_pylist())}" if len(known) else ""
    return ArchiveError(
        f"The dataset lacks {missing:,} of the {count:,} images that {plan.config} has in {split}"
        f"{examples}. To leave out missing images, pass on_missing='skip'."
    )


def _selected(
    source: NamedImages, rows: np.ndarray, images: Images, columns: Columns, info: datasets.DatasetInfo, split: str
) -> datasets.Dataset:
    """A dataset of some rows with the features of ``info``; the images remain in their files."""
    rows, features = source.table_rows(rows), info.features
    source.check_labels(rows, *images)
    pictures = source.column(features["image"])
    beside = _beside(len(pictures), rows, columns.beside(*images), features)
    joined = datasets.concatenate_datasets(
        [pictures, beside], axis=1, info=info.copy(), split=datasets.NamedSplit(split)
    )
    return take_rows(joined, rows)


def _beside(
    length: int, rows: np.ndarray, columns: dict[str, pa.Array], features: datasets.Features
) -> datasets.Dataset:
    """The other columns, for all rows of a table; rows that are not selected are empty."""
    number = np.full(length, -1, np.int64)
    number[rows] = np.arange(len(rows))
    taken = pa.array(number, mask=number < 0)
    taken_columns = {name: column.take(taken) for name, column in columns.items()}
    taken_columns["file_name"] = pc.fill_null(taken_columns["file_name"], "")
    schema = datasets.Features({name: features[name] for name in columns}).arrow_schema
    return datasets.Dataset(datasets.table.InMemoryTable(pa.table(taken_columns, schema)))
