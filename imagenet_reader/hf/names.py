"""The official file names and the labels of the rows of a dataset, read without its images."""

from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import lists
from imagenet_reader.formats.hub_names import official_names

LABEL_COLUMNS = "label", "cls"
KEY, JSON, FILENAME = "__key__", "json", "filename"  # columns of WebDataset tars, and the field of the second
LOOKED_FOR = (
    "names of images of ImageNet in the paths of a column of images (n01440764_10026_n01440764.JPEG), in a column "
    "file_name (n01440764_10026.JPEG), or in the columns __key__ and json of WebDataset tars"
)


def image_column(features: datasets.Features) -> str:
    """The column that holds the images.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if len(found) != 1:
        raise ValueError(f"Expected a dataset with one column of images; found {found or dict(features)!s:.500}.")
    return found[0]


def row_names(table: pa.Table, features: datasets.Features) -> pa.ChunkedArray:
    """The official file name of each row, ``string [n]``; null where it has none.

    Args:
        table: the rows, of which only the names are read.
        features: their features.

    Raises:
        ValueError: no row has a name.
    """
    found = {}
    for source, paths in _candidates(table, features):
        names = official_names(paths.cast(pa.string()))
        if names.null_count < len(names) or not len(names):
            return names
        found[source] = paths[:3].to_pylist()
    raise ValueError(
        f"The dataset does not say which image is which: looked for {LOOKED_FOR}; found {_shown(found)} in the columns "
        f"{', '.join(features)}. Images that were encoded again without their names cannot be told apart."
    )


def _shown(found: dict[str, list]) -> str:
    return "; ".join(f"{source}: {values!s:.200}" for source, values in found.items()) or "none of them"


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
    """A field of a struct column, without a copy; nulls if it has no such field."""
    if column.type.get_field_index(name) < 0:
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    return pc.struct_field(column, name)


class OwnLabels:
    """The labels that a dataset has by itself.

    Attributes:
        column: their column; ``None`` if there is none.
    """

    def __init__(self, features: datasets.Features):
        self.column = next((name for name in LABEL_COLUMNS if name in features), None)
        feature: Any = features.get(self.column)
        self._published = _published(feature.names) if isinstance(feature, datasets.ClassLabel) else None

    def check(self, names: list[str], own: list[int | None], published: list[int]) -> None:
        """Raise ``ValueError`` if the labels say other classes than the published lists.

        Args:
            names: file names.
            own: the values of ``column``; ``None`` or -1 where it has no label.
            published: the labels of the lists.
        """
        known = own if self._published is None else [self._as_published(label) for label in own]
        other = [
            f"{name}: {theirs} instead of {ours}"
            for name, theirs, ours in zip(names, known, published)
            if theirs not in (None, -1, ours) and ours >= 0  # unlabeled images are known by their names
        ]
        if other:
            raise ValueError(
                f"The column {self.column} says another class than the published lists for {len(other):,} of "
                f"{len(names):,} images, such as {', '.join(other[:3])}. If its classes are in another order, remove "
                f"the column, dataset.remove_columns({self.column!r}): labels are then those of the lists."
            )

    def _as_published(self, label: int | None) -> int | None:
        return self._published[label] if self._published and label is not None and label >= 0 else None


def _published(names: list[str]) -> list[int | None] | None:
    """The published label of each class, by its wnid or words; ``None`` if the names say nothing of the kind."""
    wnids, words = zip(*lists.read_classes())
    for published in (wnids, words):
        label_of = {name: label for label, name in enumerate(published) if published.count(name) == 1}
        labels = [label_of.get(name) for name in names]  # two classes are called crane, which some rename
        if sum(label is not None for label in labels) > len(names) / 2:
            return labels
    return None
