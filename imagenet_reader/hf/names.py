"""The official file names and the labels of the rows of a dataset, read without its images."""

from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.formats.hub_names import official_names

LABEL_COLUMNS = "label", "cls"
KEY, JSON, FILENAME = "__key__", "json", "filename"  # columns of WebDataset tars, and a field of the JSON
LOOKED_FOR = (
    "names of ImageNet images in the paths of an image column (n01440764_10026_n01440764.JPEG), in a column "
    "file_name (n01440764_10026.JPEG), or in the columns __key__ and json of WebDataset tars"
)


def image_column(features: datasets.Features) -> str:
    """The name of the image column.

    Raises:
        ValueError: there is no such column, or more than one.
    """
    found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if len(found) != 1:
        raise ValueError(f"Expected a dataset with one image column; found {found or dict(features)!s:.500}.")
    return found[0]


def row_names(table: pa.Table, features: datasets.Features) -> pa.ChunkedArray:
    """The official file name of each row, ``string [n]``; null for rows without one.

    Args:
        table: the rows; only their names are read.
        features: their features.

    Raises:
        ValueError: no row has a name.
    """
    names, found = _nulls(len(table)), {}
    for source, values in _candidates(table, features):
        names = pc.coalesce(names, official_names(_texts(values)))
        if not names.null_count:
            return names
        found[source] = values[:3].to_pylist()
    if names.null_count < len(names):
        return names
    raise ValueError(
        f"{nameless(found)} in the columns {', '.join(features):.500}. Re-encoded images without their names cannot be "
        "identified."
    )


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as ``string [n]``; null if they are no texts."""
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _nulls(len(values))


def _nulls(length: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(length, pa.string())])


def nameless(found: dict[str, list]) -> str:
    """The beginning of a message about images without names; ``found`` has the first values of each source of names."""
    shown = "; ".join(f"{source}: {values!s:.200}" for source, values in found.items()) or "none of them"
    return f"The dataset does not say which image is which: expected {LOOKED_FOR}; found {shown}"


def _candidates(table: pa.Table, features: datasets.Features):
    column = image_column(features)
    yield f"paths of {column}", _field(table[column], "path")
    if "file_name" in table.column_names:
        yield "file_name", table["file_name"]
    if KEY in table.column_names:
        yield KEY, table[KEY]
        if JSON in table.column_names and pa.types.is_struct(table[JSON].type):
            yield f"{JSON}.{FILENAME}", _field(table[JSON], FILENAME)


def _field(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A field of a struct column, without a copy; nulls if the struct has no such field."""
    if column.type.get_field_index(name) < 0:
        return _nulls(len(column))
    return pc.struct_field(column, name)


class OwnLabels:
    """The label column of a dataset.

    Attributes:
        column: its name; ``None`` if the dataset has none.
    """

    def __init__(self, features: datasets.Features):
        self.column = next((name for name in LABEL_COLUMNS if name in features), None)
        self._others = [name for name in features if name != self.column]
        feature: Any = features.get(self.column)
        self._published = _published(feature.names) if isinstance(feature, datasets.ClassLabel) else None

    def check(self, names: pa.Array, own: pa.Array | pa.ChunkedArray, published: np.ndarray) -> None:
        """Raise ``ValueError`` if the labels differ from those of the published lists.

        Args:
            names: file names, ``string [n]``.
            own: the values of ``column``, ``[n]``; null or -1 for images without a label.
            published: the labels of the lists, ``int64 [n]``; -1 for images without a label.
        """
        if not (pa.types.is_integer(own.type) or pa.types.is_null(own.type)):
            raise ValueError(f"The column {self.column} holds {own.type}; expected class numbers. {self._advice()}")
        numbers = pc.fill_null(own.cast(pa.int64()), -1).to_numpy()
        known = numbers if self._published is None else self._renumbered(numbers)
        other = np.flatnonzero((known != -1) & (published >= 0) & (known != published))
        if len(other):
            examples = ", ".join(f"{names[k]}: {known[k]} instead of {published[k]}" for k in other[:3].tolist())
            raise ValueError(
                f"The column {self.column} differs from the published lists for {len(other):,} of {len(names):,} "
                f"images, such as {examples}. {self._advice()}"
            )

    def _renumbered(self, numbers: np.ndarray) -> np.ndarray:
        """The published labels of class numbers, -1 for classes that have none; other numbers remain."""
        published = np.array(self._published)
        is_class = (numbers >= 0) & (numbers < len(published))
        return np.where(is_class, published[np.where(is_class, numbers, 0)], numbers)

    def _advice(self) -> str:
        # remove_columns would decode the images of a stream, which then lose their names.
        return (
            "To use the labels of the published lists, for example because the classes are in another order, leave out "
            f"the column: dataset.select_columns({self._others!s:.500})."
        )


def _published(names: list[str]) -> list[int] | None:
    """The published label of each class name, a wnid or words, or -1; ``None`` if most names are neither."""
    wnids, words = zip(*lists.read_classes())
    for published in (wnids, words):
        label_of = {name: label for label, name in enumerate(published) if published.count(name) == 1}
        labels = [label_of.get(name, -1) for name in names]  # two classes are called crane; some datasets rename them
        if sum(label >= 0 for label in labels) > len(names) / 2:
            return labels
    return None
