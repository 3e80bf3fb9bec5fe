"""The rows of a config out of a dataset that is already loaded: no image is decoded or copied."""

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.errors import ArchiveError
from imagenet_reader.hf.datasets_private import indices_of, only_column
from imagenet_reader.hf.names import OwnLabels, image_column, row_names
from imagenet_reader.hf.split_info import info_of
from imagenet_reader.official import WNID
from imagenet_reader.plan import Plan
from imagenet_reader.rows import Columns

SHOWN = 3  # missing images that a message names


class Source:
    """A dataset to select from: ``names`` has the official file name of each of its rows, null where it has none."""

    def __init__(self, dataset: datasets.Dataset):
        names, self._indices = row_names(dataset.data.table, dataset.features), indices_of(dataset)
        self.dataset = dataset
        self.names = (names if self._indices is None else names.take(self._indices)).combine_chunks()

    def rows_of(self, images: list[tuple[str, int]]) -> np.ndarray:
        """The row of each image, ``int64 [n]``, the first if it has several; -1 where it has none."""
        wanted = pa.array([name for name, _ in images], pa.string())
        rows = pc.indices_nonzero(pc.is_in(self.names, value_set=wanted))
        found = pc.index_in(wanted, value_set=self.names.take(rows))
        return pc.fill_null(rows.take(found).cast(pa.int64()), -1).to_numpy()

    def table_rows(self, rows: np.ndarray) -> np.ndarray:
        """The rows of the table that rows of the dataset are."""
        return rows if self._indices is None else self._indices.take(pa.array(rows)).to_numpy()


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
    for split in plan.subset:
        images = plan.listed(split, lambda: _train_images(sources))
        source, rows = _source_of(sources, images)
        if (rows < 0).all() and not isinstance(dataset, dict):
            continue  # this dataset holds another set of images
        found, expected = rows >= 0, max(plan.count(split) or 0, len(images))
        if found.sum() < expected and (plan.on_missing == "error" or not found.any()):
            raise _absent(plan.config, split, [name for (name, _), row in zip(images, rows) if row < 0], expected)
        kept = [image for image, row in zip(images, rows) if row >= 0]
        columns = plan.columns_of(split)
        splits[split] = _selected(source, rows[found], kept, columns, info_of(info, columns), split)
    if not splits:
        raise ArchiveError(f"The dataset holds no image of {plan.config}.")
    plan.warn_of_missing({split: len(rows) for split, rows in splits.items()}, stacklevel=3)
    return datasets.DatasetDict(splits)


def _train_images(sources: list[Source]) -> list[tuple[str, int]]:
    """All training images of datasets, (file name, label), sorted."""
    label_of, names = lists.label_of_wnid(), set()
    for source in sources:
        names.update(source.names.filter(pc.match_substring_regex(source.names, r"^n\d{8}_")).to_pylist())
    return sorted((name, label_of[name[WNID]]) for name in names if name[WNID] in label_of)


def _source_of(sources: list[Source], images: list[tuple[str, int]]) -> tuple[Source, np.ndarray]:
    """The dataset that holds images, and their rows; several that hold them are concatenated."""
    rows = [source.rows_of(images) for source in sources]
    holders = [k for k in range(len(sources)) if (rows[k] >= 0).any()] or [0]
    best = max(holders, key=lambda k: (rows[k] >= 0).sum())
    if all((rows[k][rows[best] < 0] < 0).all() for k in holders):
        return sources[best], rows[best]
    source = Source(datasets.concatenate_datasets([sources[k].dataset for k in holders]))
    return source, source.rows_of(images)


def _absent(config: str, split: str, missing: list[str], count: int) -> ArchiveError:
    examples = f", such as {', '.join(missing[:SHOWN])}" if missing else ""
    return ArchiveError(
        f"The dataset lacks {max(len(missing), 1):,} or more of the {count:,} images that {config} has in {split}"
        f"{examples}. To leave out what is missing: on_missing='skip'."
    )


def _selected(
    source: Source,
    rows: np.ndarray,
    images: list[tuple[str, int]],
    columns: Columns,
    info: datasets.DatasetInfo,
    split: str,
) -> datasets.Dataset:
    """Rows of a dataset as a dataset with the features of ``info``; its images stay in the files that they are in."""
    dataset, rows = source.dataset, source.table_rows(rows)
    _check_labels(dataset, rows, images)
    table = datasets.Dataset(dataset.data, split=datasets.NamedSplit(split))  # without indices: all columns align
    column = image_column(dataset.features)
    pictures = only_column(table, column)
    if column != "image":
        pictures = pictures.rename_column(column, "image")
    pictures = pictures.cast_column("image", info.features["image"])
    beside = _beside(len(table), rows, images, columns)
    beside_schema = datasets.Features({name: info.features[name] for name in beside}).arrow_schema
    beside_table = datasets.Dataset(datasets.table.InMemoryTable(pa.table(beside, beside_schema)))
    joined = datasets.concatenate_datasets(
        [pictures, beside_table], axis=1, info=info.copy(), split=datasets.NamedSplit(split)
    )
    return joined.select(rows)


def _beside(length: int, rows: np.ndarray, images: list[tuple[str, int]], columns: Columns) -> dict[str, pa.Array]:
    """The columns beside the images, of all rows of a table: empty where a row is not selected."""
    place = np.full(length, -1, np.int64)
    place[rows] = np.arange(len(rows))
    taken = pa.array(place, mask=place < 0)
    names, labels = map(list, zip(*images))
    beside = {name: column.take(taken) for name, column in columns.beside(names, np.array(labels, np.int64)).items()}
    return beside | {"file_name": pc.fill_null(beside["file_name"], "")}


def _check_labels(dataset: datasets.Dataset, rows: np.ndarray, images: list[tuple[str, int]]) -> None:
    own = OwnLabels(dataset.features)
    if own.column is not None:
        theirs = dataset.data.table[own.column].take(pa.array(rows)).to_pylist()
        own.check([name for name, _ in images], theirs, [label for _, label in images])
