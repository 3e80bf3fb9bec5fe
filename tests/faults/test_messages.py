"""The check of all messages, see ``short_messages``, finds long ones."""

import pytest
from helpers.short_messages import plain_raises

from imagenet_reader.own_lists import read_image_list
from imagenet_subsets import ArchiveError


def wrapped(length):
    try:
        raise ArchiveError("x" * length)
    except ArchiveError as error:
        raise RuntimeError("datasets wraps errors") from error


def test_long_message_is_detected():
    with pytest.raises(RuntimeError, match="datasets"):
        wrapped(1999)
    with plain_raises(AssertionError, match="a message of 2,000 characters"), pytest.raises(RuntimeError):
        wrapped(2000)


def test_long_message_of_this_project_is_detected(tmp_path):
    path = "/".join([str(tmp_path), *["folder" * 30] * 12])
    with plain_raises(AssertionError, match="characters"), pytest.raises(FileNotFoundError):
        read_image_list(path)
