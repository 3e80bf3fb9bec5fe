"""An archive that changes after it was indexed gives an error, never wrong images."""

import os
import shutil
import tarfile

import pytest
from datasets.exceptions import DatasetGenerationError
from helpers.faults import NAMES, VAL_OPTIONS, chain, error_after_correct_rows, files, images_of, load
from makers.images import numbered_jpeg
from makers.layouts import KAGGLE_ZIP, kaggle_zip
from makers.tars import write_tar

from imagenet_subsets import ArchiveError, read_index

pytestmark = pytest.mark.oldest_and_newest


def others_of(images):
    """Other images of the same sizes, under the same names."""
    others = {name: numbered_jpeg(k + 301) for k, name in enumerate(images)}
    return {name: (other + bytes(len(images[name])))[: len(images[name])] for name, other in others.items()}


CHANGES = {
    "truncated to nothing": lambda tar, images: os.truncate(tar, 0),
    "truncated in an image": lambda tar, images: os.truncate(tar, 102_400 + 600),
    "other images at the same places": lambda tar, images: write_tar(tar, others_of(images)),
    "another order": lambda tar, images: write_tar(tar, dict(reversed(others_of(images).items()))),
    "rubbish": lambda tar, images: tar.write_bytes(b"rubbish " * 50_000),
}


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_changed_between_index_and_read(change, in_place, val_tar, images, tmp_path):
    dataset = load(val_tar, streaming=True, **VAL_OPTIONS)
    new = val_tar if in_place else shutil.copy(val_tar, tmp_path / "new.tar")
    CHANGES[change](new, images)
    os.replace(new, val_tar)
    message = error_after_correct_rows(dataset, images)
    assert str(val_tar) in message
    assert "changed" in message


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("row", [0, 150, 299])
def test_an_archive_rewritten_while_it_is_prepared(row, val_tar, images, tmp_path, before_reads):
    """Otherwise the dataset would mix images of both archives."""
    options, others = {"cache_dir": str(tmp_path / "cache"), **VAL_OPTIONS}, others_of(images)
    with tarfile.open(val_tar) as tar:
        moment = tar.getmember(NAMES[row]).offset
    read_index(str(val_tar))
    before_reads(lambda at, size: write_tar(val_tar, others) if at == moment and size > 512 else None)
    with pytest.raises((ArchiveError, DatasetGenerationError)) as raised:
        load(val_tar, **options)
    assert "changed" in chain(raised.value)
    assert str(val_tar) in chain(raised.value)
    assert not files(tmp_path / "cache")
    before_reads(lambda position, size: None)
    assert dict(images_of(load(val_tar, image_bytes="archive", **options))) == others


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_finished_dataset_without_its_source(val_tar, images, tmp_path):
    options = {"cache_dir": str(tmp_path / "cache"), **VAL_OPTIONS}
    load(val_tar, **options)
    val_tar.parent.rename(tmp_path / "away")
    message = rf"{val_tar.parent} cannot be reached.*that was built from it on 20.*{tmp_path / 'cache'}"
    with pytest.warns(UserWarning, match=message):
        assert dict(images_of(load(val_tar, **options))) == images
    val_tar.parent.mkdir()  # where nothing is mounted
    with pytest.warns(UserWarning, match=message):
        assert dict(images_of(load(val_tar, **options))) == images
    for other in ({"streaming": True}, {"in_place": True}, {"image_bytes": "archive"}):
        with pytest.raises(FileNotFoundError, match=str(val_tar.parent)):
            load(val_tar, **options | other)
    write_tar(val_tar, dict(reversed(images.items())))
    assert dict(images_of(load(val_tar, **options))) == images


@pytest.mark.filterwarnings("ignore:.*left out")
def test_an_archive_that_was_renamed_is_found_in_place(images, tmp_path):
    kaggle_zip(images, tmp_path / "data")
    for name in (KAGGLE_ZIP, KAGGLE_ZIP.replace(".zip", "-2.zip")):
        (tmp_path / "data" / KAGGLE_ZIP).rename(tmp_path / "data" / name)
        rows = load(tmp_path / "data" / "any", cache_dir=str(tmp_path / "cache"), in_place=True, **VAL_OPTIONS)
        assert rows[7]["image"].size == (8, 8)
