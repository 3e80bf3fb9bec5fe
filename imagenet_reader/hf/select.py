"""Selecting the rows of a config from a loaded dataset, by name, without decoding or copying images.

These private names of ``datasets`` 2.19 to 5.x are used: ``_indices``, the rows of its table that a dataset has;
``ConcatenationTable``, a table made of a grid of blocks; ``_formatting``, the format of a streaming dataset;
``FormattedExamplesIterable``, which 3.2 does not have and 3.6 has.
"""

from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from datasets.table import ConcatenationTable, InMemoryTable

from imagenet_reader import lists
from imagenet_reader.facts import TRAIN_NAME, WNID, ArchiveError
from imagenet_reader.formats.names import official_name, official_names
from imagenet_reader.hf.builder import info_of
from imagenet_reader.hf.options import check_split
from imagenet_reader.plan import Plan
from imagenet_reader.rows import Columns

SHOWN = 3  # missing images named in a message
BATCH_ROWS = 100
LABEL_COLUMNS = "label", "cls"
TEXT = pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary
KEY, JSON, FILENAME = "__key__", "json", "filename"  # columns of WebDataset tars, and a field of the JSON
LOOKED_FOR = (
    "names of ImageNet images in the paths of an image column (n01440764_10026_n01440764.JPEG), in a column "
    "file_name (n01440764_10026.JPEG), or in the columns __key__ and json of WebDataset tars"
)
STEPS_AFTER = (
    "Steps such as filter, map, remove_columns and rename_column make a stream lose its columns, or the names of its "
    "images: take them after select."
)
SPLIT_NAMES = {"validation": ("validation", "val"), "train": ("train",), "test": ("test",)}  # per set of images

Numbers = npt.NDArray[np.int64]


def select_splits(dataset: Any, plan: Plan, info: datasets.DatasetInfo, split: str | None) -> Any:
    """Select the splits of a plan, or one of them, from a dataset; the result is streaming if the dataset is."""
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
    selected = (_select_streams if streams else _select_rows)(dataset, plan, info)
    return selected if split is None else selected[split]


# --------------------------------------------------------------------------------------- names and labels


def _image_column(features: datasets.Features) -> str:
    found: list[str] = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if len(found) != 1:
        raise ValueError(
            f"Expected a dataset with one image column; found {found or 'none'} in the columns "
            f"{', '.join(features):.500}. dataset.cast_column('NAME', datasets.Image()) makes one of bytes, and "
            "dataset.select_columns([...]) keeps one of several."
        )
    return found[0]


def _nameless(found: dict[str, list[Any]]) -> str:
    """The beginning of a message about images without names; ``found`` has the first values of each source of names."""
    shown = "; ".join(f"{source}: {values!s:.200}" for source, values in found.items()) or "none of them"
    return f"The dataset does not say which image is which: expected {LOOKED_FOR}; found {shown}"


class _OwnLabels:
    """The label column of a dataset, ``column``; ``None`` if it has none."""

    def __init__(self, features: datasets.Features):
        self.column = next((name for name in LABEL_COLUMNS if name in features), None)
        feature = features.get(self.column)
        self._published = _published(feature.names) if isinstance(feature, datasets.ClassLabel) else None
        others = [name for name in features if name != self.column]
        self._advice = (  # remove_columns would decode the images of a stream, which then lose their names
            "To use the labels of the published lists, for example because the classes are in another order, leave out "
            f"the column: dataset.select_columns({others!s:.500})."
        )

    def check(self, names: pa.Array, own: pa.Array, published: Numbers, columns: Columns) -> None:
        """Raise ``ValueError`` if the labels of images are neither published nor, if unnamed, those of ``columns``."""
        if not (pa.types.is_integer(own.type) or pa.types.is_null(own.type)):
            raise ValueError(f"The column {self.column} holds {own.type}; expected class numbers. {self._advice}")
        known = pc.fill_null(own.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        if self._published is not None:
            is_class = (known >= 0) & (known < len(self._published))
            known = np.where(is_class, self._published[np.where(is_class, known, 0)], known)
        elif np.array_equal(known, lists.relabel(published, columns.classes)):
            return
        other = np.flatnonzero((known != -1) & (published >= 0) & (known != published))
        if len(other):
            examples = ", ".join(f"{names[k]}: {known[k]} instead of {published[k]}" for k in other[:3].tolist())
            raise ValueError(
                f"The column {self.column} differs from the published lists for {len(other):,} of {len(names):,} "
                f"images, such as {examples}. {self._advice}"
            )


def _published(names: list[str]) -> Numbers | None:
    """The published label of each class name, a wnid or words, or -1; ``None`` if most names are neither."""
    for published in zip(*lists.read_classes()):
        label_of = {name: label for label, name in enumerate(published) if published.count(name) == 1}
        labels = np.array([label_of.get(name, -1) for name in names])  # two are called crane; some datasets rename them
        if (labels >= 0).mean() > 0.5:
            return labels
    return None


# ------------------------------------------------------------------------------------- loaded datasets


class _Part:
    """A dataset, and the official file names of its rows, ``string [n]``, which are read without its images."""

    def __init__(self, dataset: datasets.Dataset):
        self.dataset, self.own = dataset, _OwnLabels(dataset.features)
        self.image_column = _image_column(dataset.features)
        indices = None if dataset._indices is None else dataset._indices.column(0)
        # uint64 breaks Dataset.select
        self.table_rows = np.arange(len(dataset)) if indices is None else indices.to_numpy().astype(np.int64)
        self.names = self._table_names().take(pa.array(self.table_rows))

    def _table_names(self) -> pa.Array:
        """The official names of the rows of the table, from the first source that has some."""
        table, sources = self.dataset.data.table, {}
        for column, field in ((self.image_column, "path"), ("file_name", ""), (KEY, ""), (JSON, FILENAME)):
            values = table[column] if column in table.column_names else None
            if values is not None and not field:
                sources[column] = values
            elif values is not None and pa.types.is_struct(values.type) and values.type.get_field_index(field) >= 0:
                sources[f"{field}s of {column}"] = pc.struct_field(values, field)
        for values in sources.values():
            if any(is_text(values.type) for is_text in TEXT):
                names = official_names(values.cast(pa.string()).combine_chunks())
                if names.null_count < len(names):
                    return names
        raise ValueError(
            f"{_nameless({source: values[:3].to_pylist() for source, values in sources.items()})} in the columns "
            f"{', '.join(self.dataset.features):.500}. Re-encoded images without their names cannot be identified."
        )

    def check_labels(self, rows: Numbers, names: pa.Array, labels: Numbers, columns: Columns) -> None:
        """Raise ``ValueError`` if the dataset's own labels of rows differ from the published ones."""
        if self.own.column is not None:
            column = self.dataset.data.table[self.own.column]
            self.own.check(names, column.take(pa.array(self.table_rows[rows])).combine_chunks(), labels, columns)

    def images(self, feature: datasets.Image) -> datasets.Dataset:
        """The images of all rows of the table, as a dataset without indices, so that added columns align with it."""
        table, features = self.dataset.data.select([self.image_column]), datasets.Features({"image": feature})
        if isinstance(table, ConcatenationTable):  # datasets cannot concatenate blocks without columns
            blocks = [[block for block in row if block.num_columns] for row in table.blocks]
            table = ConcatenationTable.from_blocks(blocks)
        table = table.rename_columns(["image"]).cast(features.arrow_schema)
        return datasets.Dataset(table, info=datasets.DatasetInfo(features=features), split=self.dataset.split)


def _select_rows(dataset: Any, plan: Plan, info: datasets.DatasetInfo) -> datasets.DatasetDict:
    """Select the splits of a plan from a loaded dataset."""
    parts, nameless = list[_Part](), None
    for of_dataset in dataset.values() if isinstance(dataset, dict) else [dataset]:
        try:
            if len(of_dataset):
                parts.append(_Part(of_dataset))
        except ValueError as error:  # which matters only if images are missing
            nameless = error
    held, splits = pa.chunked_array([part.names for part in parts], pa.string()).combine_chunks(), {}
    for split in plan.subset if parts else ():
        names, labels = plan.listed(split, lambda: _train_names(held))
        rows = _first_rows(held, names)
        found = rows >= 0
        count, expected = int(found.sum()), max(plan.count(split) or 0, len(names))
        if not count and not isinstance(dataset, dict):
            continue  # the dataset has another set of images
        if not count and nameless:
            raise nameless
        if not count or (plan.on_missing == "error" and count < expected):
            raise _absent(plan, split, names.filter(pa.array(~found)), expected - count, expected)
        images = rows[found], names.filter(pa.array(found)), labels[found]
        columns = plan.columns_of(split)
        splits[split] = _join(parts, *images, columns, info_of(info, columns), split)
    if not splits:
        raise nameless or ArchiveError(f"The dataset has no image of {' or '.join(plan.subset)} of {plan.config}.")
    plan.warn_of_missing({split: len(rows) for split, rows in splits.items()})
    return datasets.DatasetDict(splits)


def named_rows(dataset: datasets.Dataset) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The official file names of the rows of a dataset, its own labels, if any, and the bytes of its copied images."""
    part = _Part(dataset)
    table, rows = dataset.data.table, pa.array(part.table_rows)
    labels = None if part.own.column is None else table[part.own.column].take(rows).combine_chunks()
    sizes = pc.binary_length(pc.struct_field(table[part.image_column], "bytes"))
    return part.names, pa.nulls(0) if labels is None else labels, sizes.take(rows).combine_chunks()


def _train_names(names: pa.Array) -> pa.Array:
    """The distinct names of training images among these."""
    wnids = pc.utf8_slice_codeunits(names, 0, WNID.stop)
    return names.filter(pc.is_in(wnids, value_set=pa.array(lists.read_wnids()))).unique()


def _first_rows(held: pa.Array, names: pa.Array) -> Numbers:
    """The first row with each of these file names, ``int64 [n]``; -1 for names without a row."""
    rows = pc.indices_nonzero(pc.is_in(held, value_set=names))  # a small table of wanted names is faster
    first = rows.take(pc.index_in(names, value_set=held.take(rows)))
    return np.asarray(pc.fill_null(first.cast(pa.int64()), -1))


def _join(
    parts: list[_Part],
    rows: Numbers,
    names: pa.Array,
    labels: Numbers,
    columns: Columns,
    info: datasets.DatasetInfo,
    split: str,
) -> datasets.Dataset:
    """A dataset of the images in some rows of all parts together; they remain in their files."""
    images, table_rows, start, length = [], np.empty_like(rows), 0, 0
    for part in parts:
        own = (rows >= start) & (rows < start + len(part.names))
        if own.any():
            part.check_labels(rows[own] - start, names.filter(pa.array(own)), labels[own], columns)
            table_rows[own] = length + part.table_rows[rows[own] - start]
            images.append(part.images(info.features["image"]))
            length += len(images[-1])
        start += len(part.names)
    number = np.full(length, -1, np.int64)  # of the image in each row of the tables
    number[table_rows] = np.arange(len(rows))
    taken = pa.array(number, mask=number < 0)
    beside = {name: column.take(taken) for name, column in columns.beside(names, labels).items()}
    beside["file_name"] = pc.fill_null(beside["file_name"], "")  # rows that are not selected are empty
    schema = datasets.Features({name: info.features[name] for name in beside}).arrow_schema
    tables = [datasets.concatenate_datasets(images), datasets.Dataset(InMemoryTable(pa.table(beside, schema)))]
    joined = datasets.concatenate_datasets(tables, axis=1, info=info.copy(), split=datasets.NamedSplit(split))
    return joined.select(table_rows)


def _absent(plan: Plan, split: str, known: pa.Array, missing: int, count: int) -> ArchiveError:
    """The error for images that are missing, of which some names are known."""
    if missing == count:
        return ArchiveError(f"The dataset has no image of {split} of {plan.config}.{_others(plan, split)}")
    examples = f", such as {', '.join(known[:SHOWN].to_pylist())}" if len(known) else ""
    return ArchiveError(
        f"The dataset lacks {missing:,} of the {count:,} images that {plan.config} has in {split}"
        f"{examples}. To leave out missing images, pass on_missing='skip'."
    )


def _others(plan: Plan, split: str) -> str:
    """How to select the other splits of a plan, as a sentence after a space; empty if there are none."""
    others = [other for other in plan.subset if other != split]
    advice = f'split="{others[0]}"' if len(others) == 1 else f"splits={others}"
    return f" To leave out this split, pass {advice}." if others else ""


# ---------------------------------------------------------------------------------- streaming datasets


def _select_streams(dataset: Any, plan: Plan, info: datasets.DatasetInfo) -> datasets.IterableDatasetDict:
    """Select the splits of a plan from a streaming dataset, in the dataset's order and shards."""
    splits = {}
    for split in plan.subset:
        source = dataset
        if isinstance(dataset, dict):
            expected = SPLIT_NAMES[plan.image_set(split)]
            name = next((name for name in expected if name in dataset), None)
            if name is None:
                found = f"found {list(dataset)!s:.500}.{_others(plan, split)}"
                raise ValueError(f"Expected a split {' or '.join(expected)}; {found}")
            source = dataset[name]
        selection = _Selection(plan, split, source.features)
        features = info_of(info, selection.columns).features
        # Without a format, datasets 3.6 to 4.8 lose rows when the stream is resumed, but with_format(None) of earlier
        # versions stops the decoding of images.
        resumable = hasattr(datasets.iterable_dataset, "FormattedExamplesIterable")
        source = source.with_format(None) if resumable or source._formatting is not None else source
        undecoded = source.cast_column(selection.column, datasets.Image(decode=False))
        # With the names of all columns, datasets 2.19 would also remove new columns of the same names.
        removed = [column for column in source.features if column not in features]
        rows = undecoded.map(selection, batched=True, batch_size=BATCH_ROWS, remove_columns=removed)
        splits[split] = rows.cast(features)
    return datasets.IterableDatasetDict(splits)


class _Selection:
    """Selects the rows of a split from batches of a dataset with these features; pickled for workers."""

    def __init__(self, plan: Plan, split: str, features: datasets.Features | None):
        if features is None:
            raise ValueError(f"The streaming dataset does not say what its columns are. {STEPS_AFTER}")
        self.column, self.own = _image_column(features), _OwnLabels(features)
        self.label_of, self.left_out = plan.labels_by_name(split), plan.left_out(split)
        self.complement, self.columns = plan.subset[split].complement, plan.columns_of(split)
        self._named = False  # whether an image had a name so far

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """The columns of the rows in a batch that belong to the split."""
        sources = self._sources(batch)
        names = [next(filter(None, map(official_name, values)), None) for values in zip(*sources.values())]
        self._named = self._named or any(names)
        if names and not self._named:
            raise ValueError(f"{_nameless({source: values[:3] for source, values in sources.items()})}. {STEPS_AFTER}")
        rows = [(k, str(name), label) for k, name in enumerate(names) if (label := self._label(name)) is not None]
        found = pa.array([name for _, name, _ in rows], pa.string())
        labels = np.array([label for _, _, label in rows], np.int64)
        if self.own.column is not None:
            own = pa.array([batch[self.own.column][k] for k, _, _ in rows])
            self.own.check(found, own, labels, self.columns)
        images = [batch[self.column][k] for k, _, _ in rows]
        beside = self.columns.beside(found, labels)
        return {"image": images} | {name: column.to_pylist() for name, column in beside.items()}

    def _label(self, name: str | None) -> int | None:
        """The published label of an image; ``None`` if the image is not in the split."""
        if name is None:
            return None
        if self.label_of is not None:
            return self.label_of.get(name)
        if not TRAIN_NAME.fullmatch(name.encode()) or name in self.left_out:
            return None
        label = lists.label_of_wnid().get(name[WNID])
        if label is None or (self.columns.classes is not None and label not in self.columns.classes):
            return None
        return -1 if self.complement else label

    def _sources(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Where the names can be -> its value for each row."""
        images = batch[self.column]
        if not all(image is None or isinstance(image, dict) for image in images):
            raise ValueError(f"The images of the stream are already decoded. {STEPS_AFTER}")
        sources: dict[str, list[Any]] = {f"paths of {self.column}": [image and image["path"] for image in images]}
        sources |= {column: batch[column] for column in ("file_name", KEY) if column in batch}
        if JSON in batch:
            values = [value.get(FILENAME) if isinstance(value, dict) else None for value in batch[JSON]]
            sources[f"{FILENAME}s of {JSON}"] = values
        return sources
