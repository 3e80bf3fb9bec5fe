"""Rows: a structured array with one record per row, which says where the row's image is.

Its fields are ``name`` (bytes), ``label`` (int64, the published label, or -1 if there is none), and the other columns
of the layout's index: always ``size`` (bytes), and those that its reader needs. A size of 0 marks an image that is not
in the index.
"""

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.facts import MAX_IMAGE, TRAIN_NAME, VALIDATION_NAME
from imagenet_reader.lists import Images, Labels, read_real_labels, relabel

REAL_LABELS = "real_labels"  # the name of a column

Rows = npt.NDArray[Any]  # a structured array, see above


def columns_of(rows: Rows) -> tuple[str, ...]:
    """The names of the fields of rows."""
    return rows.dtype.names or ()


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a dataset's rows, defined in this one place."""

    classes: tuple[int, ...] | None = None  # published labels, in which ``label`` is a place; None: all 1,000
    real_labels: bool = False  # whether there is a column ``real_labels``

    def table(self, rows: Rows, image_bytes: pa.Array, paths: pa.Array | None = None) -> pa.Table:
        """The table that is written for rows."""
        names = pa.array([name.decode() for name in rows["name"].tolist()], pa.string())
        image = pa.StructArray.from_arrays([image_bytes, names if paths is None else paths], ["bytes", "path"])
        return pa.table({"image": image, **self.beside(names, rows["label"])})

    def beside(self, names: pa.Array, labels: Labels) -> dict[str, pa.Array]:
        """The columns other than ``image``."""
        columns = {"label": pa.array(relabel(labels, self.classes)), "file_name": names}
        if self.real_labels:
            columns[REAL_LABELS] = pa.array(map(self._real_labels, names.to_pylist()), pa.list_(pa.int64()))
        return columns

    def _real_labels(self, name: str) -> list[int] | None:
        if not VALIDATION_NAME.fullmatch(name.encode()):
            return None
        labels = read_real_labels()[int(name[-len("00000001.JPEG") : -len(".JPEG")]) - 1]
        return labels if self.classes is None else [self._rank[label] for label in labels if label in self._rank]

    @functools.cached_property
    def _rank(self) -> dict[int, int]:
        return {label: rank for rank, label in enumerate(self.classes or ())}


PUBLISHED = Columns()  # all classes, no optional columns


def locate(names: pa.Array, labels: Labels, index: pa.Table) -> Rows:
    """The rows of images, ``string [n]`` and ``int64 [n]``, in their order, from the index of a layout."""
    binary, columns = names.cast(pa.binary()), [name for name in index.column_names if name != "name"]
    places, encoded = pc.index_in(binary, value_set=index["name"]), np.array(binary.to_pylist(), bytes)
    rows = np.empty(len(names), [("name", encoded.dtype), ("label", "i8"), *((column, "i8") for column in columns)])
    rows["name"], rows["label"] = encoded, labels
    for column in columns:
        rows[column] = pc.fill_null(index[column].take(places), 0)
    rows["size"][rows["size"] > MAX_IMAGE] = 0  # the index is damaged
    return rows


def training_names(index: pa.Table) -> pa.Array:
    """The names of all training images in the index of a layout, ``string [n]``."""
    names = index["name"].combine_chunks()
    return names.filter(pc.match_substring_regex(names, f"^(?:{TRAIN_NAME.pattern.decode()})\\z")).cast(pa.string())


def as_arrays(images: Images) -> tuple[pa.Array, Labels]:
    """The file names, ``string [n]``, and labels, ``int64 [n]``, of images."""
    names = pa.array([name for name, _ in images], pa.string())
    return names, np.array([label for _, label in images], np.int64)


_row_type: Any = functools.cache(collections.namedtuple)


def named_tuples(rows: Rows) -> Iterator[Any]:
    """The rows as named tuples of plain Python values, which are much faster to use one by one."""
    return map(_row_type("Row", columns_of(rows))._make, rows.tolist())


def order_by_digest(names: pa.Array) -> Labels:
    """The order that sorts names, ``string [n]``, by their SHA-256, ``int64 [n]``."""
    digests = [hashlib.sha256(name.encode()).digest() for name in names.to_pylist()]
    return np.argsort(np.array(digests, "S32"), kind="stable")
