"""The log says which layout and index were used; warnings show the line of the user's program."""

import logging

import pytest
from helpers.faults import VAL_OPTIONS
from helpers.faults import load as load_validation
from helpers.rows import WAYS, load
from makers.layouts import hub_parquet


def test_log_follows_the_verbosity_of_datasets(val_tar, hf_home, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)  # to caplog

    def logged(verbosity):
        """What is logged while rows are loaded."""
        caplog.set_level(verbosity, "datasets")
        caplog.clear()
        load_validation(val_tar, streaming=True, **VAL_OPTIONS)
        return [*caplog.messages]

    first, second = logged(logging.INFO), logged(logging.INFO)
    for lines in (first, second):
        assert f"validation images: official archive, {val_tar}" in lines and "validation: 300 rows" in lines
    assert f"Index of {val_tar}: made, 300 images" in first
    assert any(line.startswith(f"Index of {val_tar}: taken from {hf_home}") for line in second)
    assert not any(str(val_tar) in line for line in logged(logging.WARNING))


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
