"""The log says which layout and index were used; warnings show the line of the user's program."""

import logging

import datasets
import pytest
from helpers.rows import WAYS, load
from makers.layouts import hub_parquet

import imagenet_subsets


@pytest.fixture
def logged(caplog):
    """``logged(verbosity, act)`` -> what is logged while ``act()`` runs at this verbosity of ``datasets``."""
    root, before = logging.getLogger("datasets"), datasets.logging.get_verbosity()
    root.addHandler(caplog.handler)

    def logged(verbosity, act):
        caplog.clear()
        datasets.logging.set_verbosity(verbosity)
        act()
        return caplog.messages

    yield logged
    datasets.logging.set_verbosity(before)
    root.removeHandler(caplog.handler)


def test_log_follows_the_verbosity_of_datasets(logged, val_tar, tmp_path, hf_home):
    def load():
        options = {"splits": ["validation"], "on_missing": "skip", "streaming": True}
        imagenet_subsets.load_dataset("1pct", data_dir=val_tar.parent, **options)

    first, second = ([*logged(logging.INFO, load)] for _ in range(2))
    for lines in (first, second):
        assert f"validation images: official archive, {val_tar}" in lines and "validation: 300 rows" in lines
    assert f"Index of {val_tar}: made, 300 images" in first
    assert any(line.startswith(f"Index of {val_tar}: taken from {hf_home}") for line in second)
    assert not any(str(val_tar) in line for line in logged(logging.WARNING, load))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("streaming", [True, False])
def test_warnings_show_the_line_of_the_caller(way, streaming, small_images, list_options, tmp_path, hf_home):
    hub_parquet(small_images, tmp_path / "hub")
    options = {"data_dir": str(tmp_path / "hub"), "cache_dir": str(tmp_path / "cache"), "streaming": streaming}
    with open(list_options["train_list"], "a") as names:
        names.write("\nn01440764_999999.JPEG")
    with pytest.warns(UserWarning, match="left out: 1 of ") as warned:
        load(way, "custom", on_missing="skip", **options, **list_options)
    told = [warning for warning in warned if "left out" in str(warning.message) or "read once" in str(warning.message)]
    assert len(told) == 3
    assert {warning.filename for warning in told} == {load.__code__.co_filename}
