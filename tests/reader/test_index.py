"""A cached index is used only for its archive, and never trusted against it."""

import hashlib
import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.faults import VAL_OPTIONS, images_of, load
from makers.tars import write_tar

from imagenet_reader.facts import VALIDATION_ARCHIVE
from imagenet_reader.io.local import SAMPLE_BYTES, SAMPLES
from imagenet_subsets import ArchiveError, index_path, read_index

pytestmark = pytest.mark.once


def write_index(table, file):
    content = io.BytesIO()
    pq.write_table(table, content)
    Path(file).write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def with_column(table, name, values):
    return table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(values, pa.int64()))


@pytest.mark.filterwarnings("ignore:.*left out")
def test_index_of_another_archive_is_not_used(val_tar, images, hf_home, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / VALIDATION_ARCHIVE
    write_tar(other, dict(reversed(images.items())))
    for path in (val_tar, other):
        read_index(str(path))
    own = Path(index_path(val_tar)).read_bytes()
    shutil.copy(index_path(other), index_path(val_tar))
    assert dict(images_of(load(val_tar, streaming=True, **VAL_OPTIONS))) == images
    assert Path(index_path(val_tar)).read_bytes() == own


def test_a_damaged_index_is_made_again(val_tar, hf_home):
    table, path = read_index(val_tar), Path(index_path(val_tar))
    content = path.read_bytes()
    flips = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(0, len(content), 101)]
    for damaged in (b"", content[:-1], content[:500], content + b"x", bytes(len(content)), *flips):
        path.write_bytes(damaged)
        assert read_index(val_tar).equals(table)
        assert path.read_bytes() == content


WRONG = {
    "the offsets of others": lambda offsets, sizes: (offsets[1:] + offsets[:1], sizes),
    "a byte too far": lambda offsets, sizes: ([offset + 1 for offset in offsets], sizes),
    "past the end": lambda offsets, sizes: ([offset + (1 << 40) for offset in offsets], sizes),
    "before the beginning": lambda offsets, sizes: ([offset - (1 << 40) for offset in offsets], sizes),
    "a byte less": lambda offsets, sizes: (offsets, [size - 1 for size in sizes]),
    "a terabyte more": lambda offsets, sizes: (offsets, [size + (1 << 40) for size in sizes]),
}


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_wrong_index_never_gives_a_wrong_image(val_tar, images, hf_home):
    """Whatever an index says, the header before each image must be that of the image."""
    table = read_index(val_tar)
    write_index(table, index_path(val_tar))
    assert dict(images_of(load(val_tar, streaming=True, **VAL_OPTIONS))) == images  # the way to make an index is right
    for wrong in WRONG.values():
        offsets, sizes = wrong(table["offset"].to_pylist(), table["size"].to_pylist())
        write_index(with_column(with_column(table, "offset", offsets), "size", sizes), index_path(val_tar))
        assert read_index(val_tar)["offset"].to_pylist() == offsets
        with pytest.raises((ArchiveError, OSError), match=str(val_tar)):
            next(images_of(load(val_tar, streaming=True, **VAL_OPTIONS)))


@pytest.mark.filterwarnings("ignore:.*left out")
def test_archive_is_sampled_once_per_load(val_tar, images, hf_home, before_reads):
    read_index(str(val_tar))
    samples = []
    before_reads(lambda position, size: samples.append(position) if size == SAMPLE_BYTES else None)
    assert dict(images_of(load(val_tar, streaming=True, **VAL_OPTIONS))) == images
    assert len(samples) == SAMPLES
