"""The images of loaded datasets, which are found by their official file names, without being read."""

from collections.abc import Iterator, Sequence

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.hf.datasets_private import indices_of, only_column
from imagenet_reader.hf.names import OwnLabels, image_column, row_names

MANY = 2  # wanted names are many if there are at least half as many as rows


class NamedImages:
    """The images of a dataset.

    Attributes:
        names: the official file names of its rows, ``string [n]``; null for rows without one.
        table_length: the number of rows of its table, of which it has all or, by its indices, some.

    Raises:
        ValueError: it has no image column, or its images have no names.
    """

    def __init__(self, dataset: datasets.Dataset):
        names, self._indices = row_names(dataset.data.table, dataset.features), indices_of(dataset)
        self._dataset, self._own, self.table_length = dataset, OwnLabels(dataset.features), len(dataset.data)
        self.names = (names if self._indices is None else names.take(self._indices)).combine_chunks()

    def rows_of(self, wanted: pa.Array) -> np.ndarray:
        """The first row with each of these file names, ``int64 [n]``; -1 for names without a row."""
        if MANY * len(wanted) > len(self.names):
            rows = pc.index_in(wanted, value_set=self.names)
        else:  # a small table of wanted names is faster than one of all names
            held = pc.indices_nonzero(pc.is_in(self.names, value_set=wanted))
            rows = held.take(pc.index_in(wanted, value_set=self.names.take(held)))
        return pc.fill_null(rows.cast(pa.int64()), -1).to_numpy()

    def table_rows(self, rows: np.ndarray) -> np.ndarray:
        """The table rows, ``int64 [n]``, of rows of the dataset."""
        if self._indices is None:
            return rows
        return self._indices.take(pa.array(rows)).to_numpy().astype(np.int64)  # uint64 breaks Dataset.select

    def column(self, feature: datasets.Image) -> datasets.Dataset:
        """The images of all rows of the table, which has no indices, so that added columns align with it."""
        return only_column(self._dataset, image_column(self._dataset.features), "image", feature)

    def check_labels(self, table_rows: np.ndarray, names: pa.Array, labels: np.ndarray) -> None:
        """Raise ``ValueError`` if the dataset's own labels of table rows differ from the published ones.

        Args:
            table_rows: ``int64 [n]``.
            names: their file names, ``string [n]``.
            labels: their published labels, ``int64 [n]``.
        """
        if self._own.column is not None:
            own = self._dataset.data.table[self._own.column].take(pa.array(table_rows)).combine_chunks()
            self._own.check(names, own, labels)


class Joined(NamedImages):
    """The images of several datasets, one after the other; their other columns need not be alike."""

    def __init__(self, parts: Sequence[NamedImages]):
        self._parts = parts
        self.names = pa.concat_arrays([part.names for part in parts])
        self.table_length = sum(part.table_length for part in parts)

    def table_rows(self, rows: np.ndarray) -> np.ndarray:
        """As for one dataset."""
        found, before = np.empty_like(rows), 0
        for part, chosen, own in self._by_part(rows, [len(part.names) for part in self._parts]):
            found[chosen] = before + part.table_rows(own)
            before += part.table_length
        return found

    def column(self, feature: datasets.Image) -> datasets.Dataset:
        """As for one dataset."""
        return datasets.concatenate_datasets([part.column(feature) for part in self._parts])

    def check_labels(self, table_rows: np.ndarray, names: pa.Array, labels: np.ndarray) -> None:
        """As for one dataset."""
        for part, chosen, own in self._by_part(table_rows, [part.table_length for part in self._parts]):
            part.check_labels(own, names.filter(pa.array(chosen)), labels[chosen])

    def _by_part(self, rows: np.ndarray, lengths: list[int]) -> Iterator[tuple[NamedImages, np.ndarray, np.ndarray]]:
        """Each part, which of the rows are in it, ``bool [n]``, and what number these rows have in it."""
        start = 0
        for part, length in zip(self._parts, lengths):
            chosen = (rows >= start) & (rows < start + length)
            yield part, chosen, rows[chosen] - start
            start += length
