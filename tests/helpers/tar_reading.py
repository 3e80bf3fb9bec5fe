"""Helpers for tests of tars: the members found, those that CPython finds, and errors."""

import tarfile
import tracemalloc

import pyarrow as pa
import pytest
from makers.tars import BLOCK

from helpers.faults import VAL_OPTIONS, images_of, load
from imagenet_reader.facts import VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError, read_index

IMAGES = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 8)]


def found(path):
    """[(name, offset of the header, size)], by the reader under test."""
    return [(row["name"].decode("latin-1"), row["offset"], row["size"]) for row in read_index(path).to_pylist()]


def by_tarfile(path):
    """The same by CPython, without members that have no name."""
    with tarfile.open(path, encoding="latin-1") as tar:
        entries = [
            (entry.name.rpartition("/")[2], entry.offset_data - BLOCK, entry.size) for entry in tar if entry.isreg()
        ]
    return [entry for entry in entries if entry[0]]


def refusal(path, at):
    """The error of an archive; asserts that it names the archive, the byte and what to do."""
    with pytest.raises(ArchiveError) as raised:
        read_index(path)
    message = str(raised.value)
    assert message.startswith(f"{path}, byte {at:,}: found ")
    assert "download it again" in message
    with pytest.raises(ArchiveError):  # no index was kept of what had been found before the error
        read_index(path)
    return message


def rows(folder, **options):
    """{file name: bytes} of the validation split, streamed."""
    return dict(images_of(load(folder / VALIDATION_ARCHIVE, **{"streaming": True, **VAL_OPTIONS, **options})))


class in_memory:
    """A context in which Python and Arrow together may allocate at most this many more bytes."""

    def __init__(self, allowed):
        self.allowed = allowed

    def __enter__(self):
        self.arrow = pa.default_memory_pool().max_memory()
        tracemalloc.start()

    def __exit__(self, *_):
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak + pa.default_memory_pool().max_memory() - self.arrow < self.allowed
