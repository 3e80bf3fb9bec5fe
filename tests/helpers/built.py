"""The content of a folder that ``build_parquet`` wrote."""

import hashlib

import datasets
import pyarrow as pa

PLAIN = pa.schema(
    {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "label": pa.int64(),
        "file_name": pa.string(),
    }
)


def digests(folder):
    """{relative path: SHA-256} of all files of a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(dataset):
    """All rows of a split as one Arrow table without metadata: file names, labels, and images as stored."""
    return dataset.with_format("arrow")[:].combine_chunks().replace_schema_metadata()


def streamed(dataset):
    """The same for a streaming split."""
    dataset = dataset.cast_column("image", datasets.Image(decode=False))
    return pa.Table.from_pylist(list(dataset), schema=pa.schema(list(PLAIN)))
