"""The members of an archive as a table: the columns of an index."""

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# The name without folders, the byte at which the header stands in the archive, and the size of the image in bytes.
MEMBERS = pa.schema({"name": pa.binary(), "offset": pa.int64(), "size": pa.int64()})


def names_array(names, lengths):
    """Names as ``pa.BinaryArray [n]``, out of all of them side by side, ``bytes``, and their ``lengths``, ``[n]``."""
    ends = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    return pa.Array.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(ends), pa.py_buffer(names)])


def members_table(members, schema):
    """A table of members, of tuples in the order of the schema's columns."""
    columns = zip(*members) if members else ((),) * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema)], schema)


def last_of_each_name(table, path):
    """A table of members without all but the last of each name: the one that unpacking leaves. It warns of the rest."""
    count = len(table) - pc.count_distinct(table["name"]).as_py()
    if count == 0:
        return table
    last = {name: row for row, name in enumerate(table["name"].to_pylist())}
    warnings.warn(f"{path} holds {count:,} members twice; the later one counts, as in tar.", stacklevel=2)
    return table.take(sorted(last.values()))
