"""Options with wrong names or values, and stand-ins that lack what is requested."""

import inspect

import pytest
from helpers.rows import WAYS, load

import imagenet_subsets
from imagenet_subsets import ArchiveError, ImagenetSubsetsConfig


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("label_name", "Did you mean 'label_names'?"),
        ("inplace", "Did you mean 'in_place'?"),
        ("number", "The options are label_names, splits, on_missing, .*, in_place"),
    ],
)
def test_misspelled_option_gets_the_closest_match(way, wrong, advice, tmp_path):
    with pytest.raises(ValueError, match=f"doesn't have a '{wrong}' key. {advice}"):
        load(way, "1pct", data_dir=str(tmp_path), **{wrong: "x"})


def test_arguments_of_datasets_are_accepted(standins_1pct, tmp_path):
    options = {"data_dir": standins_1pct, "splits": ["train"], "in_place": True, "cache_dir": str(tmp_path)}
    unused = [{"trust_remote_code": trust} for trust in (True, False, None)]
    loaded = [
        imagenet_subsets.load_dataset("1pct", **options, **more)["train"]
        for more in ({}, *unused, {"token": False, "writer_batch_size": 10})
    ]
    assert all(rows.cache_files == loaded[0].cache_files for rows in loaded)


def test_every_option_is_in_the_docstring_of_load_dataset():
    described = inspect.getdoc(imagenet_subsets.load_dataset)
    for name in ImagenetSubsetsConfig.__annotations__:
        assert f"\n    {name}: " in described, name


@pytest.mark.parametrize(("config", "options"), [("full", {}), ("1pct", {"unlabeled": True})])
def test_error_for_standins_does_not_advise_a_new_download(config, options, standins_1pct):
    with pytest.raises(ArchiveError, match=r"the official archive 147,897,477,120: .* or it is a stand-in") as raised:
        imagenet_subsets.load_dataset(config, data_dir=standins_1pct, streaming=True, **options)
    assert "ownload it again" not in str(raised.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("num_proc", [-1, 0, 1.5, "4", True])
def test_num_proc_is_a_number_of_threads(way, num_proc, standins_1pct, tmp_path):
    with pytest.raises(ValueError, match=f"num_proc={num_proc!r}: expected 1 or more"):
        load(way, "1pct", data_dir=str(standins_1pct), cache_dir=str(tmp_path), num_proc=num_proc)


NAMES = [f"n01440764_{k}.JPEG" for k in range(12_811)]
OPTIONS = "label_names", "splits", "on_missing", "image_bytes", "real_labels", "classes"


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "value"), [("name", NAMES), *((option, value) for option in OPTIONS for value in (NAMES, str(NAMES)))]
)
def test_long_value_is_shortened_in_the_message(option, value, tmp_path):
    options = {"name": "1pct", "data_dir": str(tmp_path), "cache_dir": str(tmp_path), option: value}
    with pytest.raises(ValueError, match=option):  # our pytest.raises checks the length
        imagenet_subsets.load_dataset(**options)
