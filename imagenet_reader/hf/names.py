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


def own_labels(features: datasets.Features) -> tuple[str, list[int] | None] | None:
    """The column of a dataset's own labels, and the published label of each of its classes.

    ``None`` instead of the column if there is none, and instead of the classes if its labels are the published ones, as
    far as their names tell.
    """
    column = next((name for name in LABEL_COLUMNS if name in features), None)
    if column is None:
        return None
    feature: Any = features[column]
    return column, _published(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _published(names: list[str]) -> list[int] | None:
    for kind in ("wnid", "words"):
        label_of = {name: label for label, name in enumerate(lists.label_names(lists.read_classes(), kind))}
        if set(names) <= label_of.keys():
            return [label_of[name] for name in names]
    return None


def check_labels(names: list[str], own: list[int | None], published: list[int], column: str) -> None:
    """Raise ``ValueError`` if a dataset's own labels say other classes than the published lists.

    Args:
        names: file names.
        own: the dataset's own labels, as published ones; ``None`` or -1 where it has none.
        published: the labels of the lists.
        column: the name of the column of the own labels.
    """
    other = [
        f"{name}: {theirs} instead of {ours}"
        for name, theirs, ours in zip(names, own, published)
        if theirs not in (None, -1, ours) and ours >= 0  # unlabeled rows are known by their names
    ]
    if other:
        raise ValueError(
            f"The column {column} says another class than the published lists for {len(other):,} of {len(names):,} "
            f"images, such as {', '.join(other[:3])}. Its classes may be in another order: pass the dataset without "
            f"this column to take the labels of the lists."
        )
