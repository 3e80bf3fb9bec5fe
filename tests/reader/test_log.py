"""The log says which layout and index were used; warnings show the line of the user's program."""

import logging

import datasets
import pytest
from helpers.rows import WAYS, load

import imagenet_subsets


@pytest.fixture
def logged():
    """``logged(verbosity, act)`` -> what is logged while ``act()`` runs at this verbosity of ``datasets``."""
    root, before = logging.getLogger("datasets"), datasets.logging.get_verbosity()

    def logged(verbosity, act):
        lines, handler = [], logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        root.addHandler(handler)
        datasets.logging.set_verbosity(verbosity)
        try:
            act()
        finally:
            datasets.logging.set_verbosity(before)
            root.removeHandler(handler)
        return lines

    return logged


def test_log_follows_the_verbosity_of_datasets(logged, val_tar, tmp_path, hf_home):
    def load():
        options = {"splits": ["validation"], "on_missing": "skip", "streaming": True}
        imagenet_subsets.load_dataset("1pct", data_dir=val_tar.parent, **options)

    first, second = logged(logging.INFO, load), logged(logging.INFO, load)
    for lines in (first, second):
        assert f"validation images: official archive, {val_tar}" in lines and "validation: 300 rows" in lines
    assert f"Index of {val_tar}: made, 300 images" in first
    assert any(line.startswith(f"Index of {val_tar}: taken from {hf_home}") for line in second)
    assert not any(str(val_tar) in line for line in logged(logging.WARNING, load))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("streaming", [True, False])
def test_warnings_show_the_line_of_the_caller(way, streaming, val_tar, tmp_path, hf_home):
    options = {"data_dir": str(val_tar.parent), "splits": ["validation"], "on_missing": "skip"}
    with pytest.warns(UserWarning, match="49,700 of 50,000 in validation") as warned:
        load(way, "1pct", cache_dir=str(tmp_path), streaming=streaming, **options)
    shown = {warning.filename for warning in warned if "left out" in str(warning.message)}
    assert shown == {load.__code__.co_filename}
