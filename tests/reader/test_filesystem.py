"""The file system ``imagenet://``: what fsspec expects of one that is read-only."""

import io
import os

import fsspec
import PIL.Image
import pytest
from helpers.rows import paths

from imagenet_reader.facts import VALIDATION_ARCHIVE
from imagenet_reader.reading import addresses


def test_the_file_system(val_in_place, images, tmp_path):
    files, path, content = fsspec.filesystem("imagenet"), paths(val_in_place)[0], next(iter(images.values()))
    assert files.cat_file(path) == files.cat(path) == content
    assert files.cat_file(path, 2, 10) == content[2:10] and files.cat_file(path, start=-5) == content[-5:]
    assert files.info(path)["size"] == files.size(path) == len(content)
    assert files.info(path)["type"] == "file" and files.isfile(path) and not files.isdir(path)
    assert files.exists(path) and not files.exists(path.replace(VALIDATION_ARCHIVE, "other.tar"))
    assert files.head(path, 3) == content[:3] and files.tail(path, 3) == content[-3:]
    assert files.read_block(path, 5, 10) == content[5:15]
    with files.open(path) as file:
        file.seek(-2, os.SEEK_END)
        assert file.read() == content[-2:]
    with fsspec.open(path, "rb") as file:
        assert PIL.Image.open(io.BytesIO(file.read())).size == (8, 8)
    files.get_file(path, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == content
    with pytest.raises(OSError, match="can only be read"):
        files.open(path, "wb")


def test_errors_of_many_files(val_in_place):
    files, good = fsspec.filesystem("imagenet"), paths(val_in_place)[0].removeprefix("imagenet://")
    bad = good.replace(VALIDATION_ARCHIVE, "other.tar")
    assert list(files.cat([good, bad], on_error="omit")) == [good]
    assert isinstance(files.cat([good, bad], on_error="return")[bad], FileNotFoundError)
    with pytest.raises(FileNotFoundError, match=r"other\.tar"):
        files.cat([good, bad])


@pytest.mark.parametrize("path", ["", "x", "tar:1:2/x/y", "gz:0:1:1:1:1:archive/a/b", "tar:0:-1:1:1:1:archive/a/b"])
def test_what_is_no_address_is_refused(path):
    with pytest.raises(ValueError, match="is not a valid imagenet:// path"):
        addresses.parse(f"imagenet://{path}")
