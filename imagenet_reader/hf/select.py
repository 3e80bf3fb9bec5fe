"""The rows of a config out of a dataset that is already loaded: no image is decoded or copied."""

import functools
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.errors import ArchiveError
from imagenet_reader.hf.datasets_private import indices_of, only_column
from imagenet_reader.hf.names import OwnLabels, image_column, row_names
from imagenet_reader.hf.select_stream import select_stream
from imagenet_reader.hf.split_info import info_of
from imagenet_reader.official import WNID
from imagenet_reader.plan import Plan
from imagenet_reader.rows import Columns

SHOWN = 3  # missing images that a message names


class Images(NamedTuple):
    """File names, ``string [n]``, and published labels, ``int64 [n]``, of images."""

    names: pa.Array
    labels: np.ndarray


class Source:
    """A dataset to select from: ``names`` has the official file name of each of its rows, null where it has none."""

    def __init__(self, dataset: datasets.Dataset):
        names, self._indices = row_names(dataset.data.table, dataset.features), indices_of(dataset)
        self.dataset = dataset
        self.names = (names if self._indices is None else names.take(self._indices)).combine_chunks()

    def rows_of(self, wanted: pa.Array) -> np.ndarray:
        """The row of each of these file names, ``int64 [n]``, the first if it has several; -1 where it has none."""
        rows = pc.indices_nonzero(pc.is_in(self.names, value_set=wanted))
        found = pc.index_in(wanted, value_set=self.names.take(rows))
        return pc.fill_null(rows.take(found).cast(pa.int64()), -1).to_numpy()

    def table_rows(self, rows: np.ndarray) -> np.ndarray:
        """The rows of the table that rows of the dataset are."""
        return rows if self._indices is None else self._indices.take(pa.array(rows)).to_numpy()

    @functools.cached_property
    def table(self) -> datasets.Dataset:
        """The dataset without indices, so that columns beside it align with it."""
        return datasets.Dataset(self.dataset.data, split=self.dataset.split)

    @functools.cached_property
    def images(self) -> datasets.Dataset:
        """The column of images of ``table``, called ``image``."""
        column = image_column(self.dataset.features)
        images = only_column(self.table, column)
        return images if column == "image" else images.rename_column(column, "image")


def select_splits(dataset: Any, plan: Plan, info: datasets.DatasetInfo, split: str | None) -> Any:
    """The splits of a plan out of a dataset, or one of them, streaming if the dataset is.

    Args:
        dataset: any ImageNet.
        plan: a plan without a ``data_dir``.
        info: of the result, with its features.
        split: the one to return, as a dataset; ``None`` for a dict of all.

    Raises:
        ArchiveError: images are absent.
        TypeError: ``dataset`` is no dataset.
        ValueError: there is no such split, the dataset does not name its images, or its labels say other classes.
    """
    streams = isinstance(dataset, (datasets.IterableDataset, datasets.IterableDatasetDict))
    if not streams and not isinstance(dataset, (datasets.Dataset, datasets.DatasetDict)):
        raise TypeError(
            f"Expected a dataset, as datasets.load_dataset returns it; found {type(dataset).__name__}. For a folder of "
            "images, use imagenet_subsets.load_dataset."
        )
    if split is not None:
        if split not in plan.subset:
            raise ValueError(f"Unknown split {split!r}. Should be one of {list(plan.subset)}.")
        plan.subset = {split: plan.subset[split]}  # the others may be absent
    selected = (select_stream if streams else select_rows)(dataset, plan, info)
    return selected if split is None else selected[split]


def select_rows(
    dataset: datasets.DatasetDict | datasets.Dataset, plan: Plan, info: datasets.DatasetInfo
) -> datasets.DatasetDict:
    """The splits of a plan out of a dataset.

    Args:
        dataset: any ImageNet, complete or not; a ``Dataset`` gives the splits that it holds images of.
        plan: a plan without a ``data_dir``.
        info: of the result, with its features.

    Raises:
        ArchiveError: images are absent.
        ValueError: the dataset does not name its images, or its labels say other classes.
    """
    given = list(dataset.values()) if isinstance(dataset, dict) else [dataset]
    sources = [Source(some) for some in given if len(some)]
    splits = {}
    for split in plan.subset if sources else ():
        names, labels = plan.listed(split, lambda: _train_names(sources))
        source, rows = _source_of(sources, names)
        found, expected = rows >= 0, max(plan.count(split) or 0, len(names))
        if not found.any() and not isinstance(dataset, dict):
            continue  # this dataset holds another set of images
        if found.sum() < expected and (plan.on_missing == "error" or not found.any()):
            raise _absent(plan.config, split, names.filter(pa.array(~found)), expected)
        images = Images(names.filter(pa.array(found)), labels[found])
        columns = plan.columns_of(split)
        splits[split] = _selected(source, rows[found], images, columns, info_of(info, columns), split)
    if not splits:
        raise ArchiveError(f"The dataset holds no image of {' or '.join(plan.subset)} of {plan.config}.")
    plan.warn_of_missing({split: len(rows) for split, rows in splits.items()}, stacklevel=3)
    return datasets.DatasetDict(splits)


def _train_names(sources: list[Source]) -> pa.Array:
    """The file names of all training images of datasets, ``string [n]``, sorted."""
    wnids = pa.array(lists.read_wnids())
    names = pa.chunked_array([source.names for source in sources]).unique()
    names = names.filter(pc.is_in(pc.utf8_slice_codeunits(names, 0, WNID.stop), value_set=wnids))
    return names.take(pc.array_sort_indices(names))


def _source_of(sources: list[Source], names: pa.Array) -> tuple[Source, np.ndarray]:
    """The dataset that holds images, and their rows; several that hold them are concatenated."""
    rows = [source.rows_of(names) for source in sources]
    holders = [k for k in range(len(sources)) if (rows[k] >= 0).any()] or [0]
    best = max(holders, key=lambda k: (rows[k] >= 0).sum())
    if all((rows[k][rows[best] < 0] < 0).all() for k in holders):
        return sources[best], rows[best]
    source = Source(datasets.concatenate_datasets([sources[k].dataset for k in holders]))
    return source, source.rows_of(names)


def _absent(config: str, split: str, missing: pa.Array, count: int) -> ArchiveError:
    examples = f", such as {', '.join(missing[:SHOWN].to_pylist())}" if len(missing) else ""
    return ArchiveError(
        f"The dataset lacks {max(len(missing), 1):,} or more of the {count:,} images that {config} has in {split}"
        f"{examples}. To leave out what is missing: on_missing='skip'."
    )


def _selected(
    source: Source, rows: np.ndarray, images: Images, columns: Columns, info: datasets.DatasetInfo, split: str
) -> datasets.Dataset:
    """Rows of a dataset as a dataset with the features of ``info``; its images stay in the files that they are in."""
    rows, features = source.table_rows(rows), info.features
    own = OwnLabels(source.dataset.features)
    if own.column is not None:
        theirs = source.dataset.data.table[own.column].take(pa.array(rows)).combine_chunks()
        own.check(images.names, theirs, images.labels)
    pictures = source.images.cast_column("image", features["image"])
    beside = _beside(len(pictures), rows, columns.beside(*images), features)
    joined = datasets.concatenate_datasets(
        [pictures, beside], axis=1, info=info.copy(), split=datasets.NamedSplit(split)
    )
    return joined.select(rows)


def _beside(
    length: int, rows: np.ndarray, columns: dict[str, pa.Array], features: datasets.Features
) -> datasets.Dataset:
    """The columns beside the images, of all rows of a table: empty where a row is not selected."""
    place = np.full(length, -1, np.int64)
    place[rows] = np.arange(len(rows))
    taken = pa.array(place, mask=place < 0)
    taken_columns = {name: column.take(taken) for name, column in columns.items()}
    taken_columns["file_name"] = pc.fill_null(taken_columns["file_name"], "")
    schema = datasets.Features({name: features[name] for name in columns}).arrow_schema
    return datasets.Dataset(datasets.table.InMemoryTable(pa.table(taken_columns, schema)))
