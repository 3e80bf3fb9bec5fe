"""The members of an archive as a table: the columns of an index."""

import numpy as np
import pyarrow as pa

from imagenet_reader.hf.log import warn

# The name without folders, the offset of the header in the archive and the size of the image, in bytes.
MEMBERS = pa.schema({"name": pa.binary(), "offset": pa.int64(), "size": pa.int64()})

A_CLASS = 2000  # names: a class of ImageNet has up to 1,300


def names_array(names, lengths):
    """Names as ``pa.BinaryArray [n]``, from their concatenation, ``bytes``, and their ``lengths``, ``[n]``."""
    ends = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    return pa.Array.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(ends), pa.py_buffer(names)])


def fixed_width(names):
    """Names, ``pa.BinaryArray [n]`` or chunks of it, as an array of bytes ``[n]``, without Python's objects.

    They hold no NUL, at which a name ends.
    """
    if len(names) == 0:
        return np.empty(0, "S1")
    names = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
    ends = np.frombuffer(names.buffers()[1], np.int32)[names.offset : names.offset + len(names) + 1]
    lengths = np.diff(ends)
    width = max(lengths.max(), 1)
    characters = np.zeros((len(names), width), np.uint8)
    content = np.frombuffer(names.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    characters[np.arange(width) < lengths[:, np.newaxis]] = content
    return characters.view(f"S{width}").ravel()


def members_table(members, schema):
    """A table of members, from tuples in the order of the schema's columns."""
    columns = zip(*members) if members else ((),) * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema)], schema)


def _distinct(names):
    """How many distinct names there are."""
    if len(names) <= A_CLASS:  # Arrow counts four times as fast as NumPy sorts, but takes ten times the memory
        return len(names.unique())
    names = np.sort(fixed_width(names))
    return 1 + int((names[1:] != names[:-1]).sum())


def last_of_each_name(table, path):
    """Keep only the last member of each name, as unpacking would, with a warning."""
    count = len(table) - _distinct(table["name"])
    if count == 0:
        return table
    last = {name: row for row, name in enumerate(table["name"].to_pylist())}
    warn(f"{path} has {count:,} duplicate member names; the last one wins, as in tar.")
    return table.take(sorted(last.values()))
