"""An archive that changes after it was indexed gives an error, never wrong images."""

import os
import tarfile

import pytest
from datasets.exceptions import DatasetGenerationError
from helpers.faults import NAMES, VAL_OPTIONS, chain, error_after_correct_rows, files, images_of, load
from makers.images import numbered_jpeg
from makers.tars import write_tar

from imagenet_subsets import ArchiveError, read_index

pytestmark = pytest.mark.oldest_and_newest


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("size", [0, 100, 100_000, 102_400 + 600])
def test_an_archive_truncated_between_index_and_read(size, val_tar, images):
    dataset = load(val_tar, streaming=True, **VAL_OPTIONS)
    os.truncate(val_tar, size)
    message = error_after_correct_rows(dataset, images)
    assert str(val_tar) in message
    assert "changed" in message


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("other", ["same layout", "another order", "one image less", "rubbish"])
def test_an_archive_replaced_between_index_and_read(other, in_place, val_tar, images, tmp_path):
    dataset = load(val_tar, streaming=True, **VAL_OPTIONS)
    pixels = {name: content[:-2] + b"\xff\xd9" + content[-2:] for name, content in images.items()}
    new = tmp_path / "new.tar"
    if other == "rubbish":
        new.write_bytes(b"rubbish " * 50_000)
    elif other == "same layout":  # that is, the same headers at the same places
        sizes = {name: len(content) for name, content in images.items()}
        swapped = {name: numbered_jpeg(k + 301) for k, name in enumerate(images)}
        pixels = {name: (swapped[name] + bytes(size))[:size] for name, size in sizes.items()}
        write_tar(new, pixels)
    elif other == "another order":
        write_tar(new, dict(reversed(pixels.items())))
    else:
        write_tar(new, dict(list(pixels.items())[1:]))
    if in_place:
        val_tar.write_bytes(new.read_bytes())
    else:
        os.replace(new, val_tar)
    message = error_after_correct_rows(dataset, images)
    assert str(val_tar) in message
    assert "changed" in message


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("row", [0, 150, 299])
def test_an_archive_rewritten_while_it_is_prepared(row, val_tar, images, tmp_path, before_reads):
    """Otherwise the dataset would mix images of both archives."""
    others = {name: numbered_jpeg(k + 301) for k, name in enumerate(images)}
    others = {name: other[: len(images[name])].ljust(len(images[name]), b"\0") for name, other in others.items()}
    with tarfile.open(val_tar) as tar:
        moment = tar.getmember(NAMES[row]).offset

    def rewrite(position, size):
        if position == moment and size > 512:
            write_tar(val_tar, others)

    read_index(str(val_tar))
    before_reads(rewrite)
    with pytest.raises((ArchiveError, DatasetGenerationError)) as raised:
        load(val_tar, cache_dir=str(tmp_path / "cache"), **VAL_OPTIONS)
    assert "changed" in chain(raised.value)
    assert str(val_tar) in chain(raised.value)
    assert not [name for name in files(tmp_path / "cache") if not name.endswith(".lock")]
    before_reads(lambda position, size: None)
    assert (
        dict(images_of(load(val_tar, image_bytes="archive", cache_dir=str(tmp_path / "cache"), **VAL_OPTIONS)))
        == others
    )
