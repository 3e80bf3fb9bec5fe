"""Where the image of each row is: a structured array with one record a row.

Its fields are ``name`` (bytes) and ``label`` (int64, -1 if there is none), and the columns that the index of the
layout has beside the name: ``size`` (bytes) always, and what else its reader needs. A size of 0 marks an image that the
index lacks.
"""

import collections
import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.official import TRAIN_NAME, WNID


def locate(images, index):
    """Where images are.

    Args:
        images: ``list[tuple[str, int]]``, (file name, label) an image.
        index: ``pa.Table``, the index of a layout.

    Returns:
        structured array ``[n]`` in the order of ``images``, see above.
    """
    names = [image.encode() for image, _ in images]
    places = pc.index_in(pa.array(names, pa.binary()), value_set=index["name"])
    return _records(names, [label for _, label in images], index, places)


def training_rows(index, wnids):
    """All training images in the index of a layout, in its order, as ``locate`` returns them."""
    label_of = {wnid.encode(): label for label, wnid in enumerate(wnids)}
    names = index["name"].to_pylist()
    places = [k for k, name in enumerate(names) if TRAIN_NAME.fullmatch(name) and name[WNID] in label_of]
    names = [names[k] for k in places]
    return _records(names, [label_of[name[WNID]] for name in names], index, pa.array(places, pa.int32()))


def named_tuples(rows):
    """The records as named tuples of Python's own values, which are much faster to use one by one."""
    return map(_row_type(rows.dtype.names)._make, rows.tolist())


@functools.cache
def _row_type(fields):
    return collections.namedtuple("Row", fields)


def _records(names, labels, index, places):
    columns = [column for column in index.column_names if column != "name"]
    fields = [("name", f"S{max(map(len, names), default=1)}"), ("label", "i8"), *((column, "i8") for column in columns)]
    rows = np.empty(len(names), fields)
    rows["name"], rows["label"] = names, labels
    for column in columns:
        rows[column] = pc.fill_null(index[column].take(places), 0)
    return rows
