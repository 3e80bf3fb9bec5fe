"""Only the needed bytes are read, ahead of their use, and the index of an archive is cached."""

import itertools
import os
import sys
import threading
import time

import datasets
import pytest
from helpers.faults import NAMES, VAL_OPTIONS, images_of, load
from helpers.programs import output
from helpers.rows import VERSION, published_rows
from makers.tars import header

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_reader.formats import tar
from imagenet_reader.reading import batches

pytestmark = pytest.mark.once

BLOCK = 512
OVERHEAD = 400_000  # bytes: identity, first members, outer headers


def test_only_wanted_images_are_read_once_each(data_dir, tmp_path, before_reads):
    table, found = imagenet_subsets.read_index(data_dir / TRAIN_ARCHIVE), []
    sizes = dict(zip(table["name"].to_pylist(), table["size"].to_pylist()))
    expected = sum(sizes[name.encode()] + BLOCK for name, _ in published_rows("1pct", "train"))
    before_reads(lambda position, size: found.append(size))
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, splits=["train"], cache_dir=str(tmp_path / "cache"))
    assert expected <= sum(found) <= expected + OVERHEAD
    assert 12_811 <= len(found) <= 12_811 + 200


def test_walk_reads_headers_only(tmp_path, before_reads, monkeypatch):
    monkeypatch.setattr(tar, "STREAM_BYTES", BLOCK)  # on a busy machine, reading in pieces may be the fastest way
    with open(tmp_path / "a.tar", "wb") as file:
        for number in range(1000):
            file.seek(number * (BLOCK + (1 << 20)))  # between headers, holes
            file.write(header(b"%d" % number, 1 << 20))
        file.truncate(1000 * (BLOCK + (1 << 20)))
    sizes = []
    before_reads(lambda position, size: sizes.append(size))
    assert imagenet_subsets.read_index(tmp_path / "a.tar").num_rows == 1000
    assert sum(sizes) <= 1000 * BLOCK + OVERHEAD


def test_index_has_one_path(data_dir, tmp_path):
    before = sorted(path.name for path in data_dir.iterdir())
    for archive in before:
        index = imagenet_subsets.index_path(str(data_dir / archive))
        assert index.startswith(os.environ["HF_HOME"])
        assert not os.path.exists(index)
        rows = imagenet_subsets.read_index(data_dir / archive).num_rows
        assert os.path.getsize(index) < 15 * rows  # 1,281,167 members in under 20 MB
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, splits=["train"], cache_dir=str(tmp_path / "cache"))
    assert sorted(path.name for path in data_dir.iterdir()) == before
    assert not [name for _, _, names in os.walk(tmp_path / "cache") for name in names if name.endswith(".index")]


def test_slow_storage_is_read_by_several_threads(standins_1pct, before_reads):
    builder = imagenet_subsets.ImagenetSubsets(data_dir=standins_1pct)
    validation = builder.config.plan.splits["validation"]
    rows = validation.rows[:3_000]
    reading, at_once = set(), []

    def slow(position, size):
        reading.add(threading.get_ident())
        at_once.append(len(reading))
        time.sleep(0.005)
        reading.discard(threading.get_ident())

    before_reads(slow)
    assert sum(len(batch.rows) for batch in batches.read_batches(validation.reader, rows)) == len(rows)
    assert 8 <= max(at_once) <= batches.THREADS


@pytest.mark.skipif(VERSION < (2, 20), reason="datasets 2.19 has no state_dict")
@pytest.mark.filterwarnings("ignore:.*left out")
def test_streaming_resumes(val_tar):
    first, second = (
        load(val_tar, streaming=True, **VAL_OPTIONS).cast_column("image", datasets.Image(decode=False)) for _ in "12"
    )
    assert [row["file_name"] for row in itertools.islice(first, 150)] == NAMES[:150]
    second.load_state_dict(first.state_dict())
    assert [row["file_name"] for row in second] == NAMES[150:]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak memory is reported by /proc")
def test_memory_of_a_load(standins_1pct, tmp_path):
    assert int(output("peak_memory", "1pct", standins_1pct, tmp_path)) / 1024 < 500  # MiB


def test_batches_of_one_row_hold_their_own_image(val_tar, images, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ROWS", 1)
    rows = load(val_tar, cache_dir=str(tmp_path / "cache"), image_bytes="archive", **VAL_OPTIONS)
    assert dict(images_of(rows)) == images
