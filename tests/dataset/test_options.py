"""Options with wrong names, own lists, and stand-ins that lack what is requested."""

import inspect

import pytest
from helpers.rows import WAYS, load, rows_of

import imagenet_subsets
from imagenet_subsets import ArchiveError, ImagenetSubsetsConfig


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("label_name", "Did you mean 'label_names'?"),
        ("trainlist", "Did you mean 'train_list'?"),
        ("inplace", "Did you mean 'in_place'?"),
        ("number", "The options are label_names, splits, on_missing, .*, in_place"),
    ],
)
def test_misspelled_option_gets_the_closest_match(way, wrong, advice, tmp_path):
    with pytest.raises(ValueError, match=f"doesn't have a '{wrong}' key. {advice}"):
        load(way, "1pct", data_dir=str(tmp_path), **{wrong: "x"})


def test_builder_arguments_are_accepted(standins_1pct):
    options = {"token": False, "writer_batch_size": 10, "streaming": True, "splits": ["train"]}
    assert "train" in imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, **options)


@pytest.mark.parametrize("trust", [True, False, None])
def test_trust_remote_code_has_no_effect(trust, standins_1pct, tmp_path):
    options = {"data_dir": standins_1pct, "splits": ["train"], "in_place": True, "cache_dir": str(tmp_path)}
    one = imagenet_subsets.load_dataset("1pct", **options)["train"]
    other = imagenet_subsets.load_dataset("1pct", trust_remote_code=trust, **options)["train"]
    assert one.cache_files == other.cache_files


def test_every_option_is_in_the_docstring_of_load_dataset():
    described = inspect.getdoc(imagenet_subsets.load_dataset)
    for name in ImagenetSubsetsConfig.__annotations__:
        assert f"\n    {name}: " in described, name


@pytest.mark.parametrize("way", WAYS)
def test_own_list_may_be_a_python_list(way, standins_1pct, tmp_path):
    lines = ["n01601694_21328.JPEG", "train/n01440764/n01440764_10040.JPEG 0"]
    (tmp_path / "my.txt").write_text("\n".join(lines))
    options = {"data_dir": str(standins_1pct), "splits": ["train"], "split": "train", "cache_dir": str(tmp_path)}
    rows = load(way, "custom", train_list=lines, **options)
    assert rows_of(rows) == [("n01601694_21328.JPEG", 20), ("n01440764_10040.JPEG", 0)]
    # The same images, the same dataset, wherever the list is from.
    assert load(way, "custom", train_list=str(tmp_path / "my.txt"), **options).cache_files == rows.cache_files
    assert load(way, "custom", train_list=tuple(lines), **options).cache_files == rows.cache_files
    assert load(way, "custom", train_list=lines[:1], **options).cache_files != rows.cache_files


def test_errors_in_a_list_are_reported(standins_1pct):
    lines = ["n01440764_10040.JPEG", "tench.JPEG", "n01440764_10040.JPEG"]
    message = (
        "The list that was passed .* name no .*line 2 'tench.JPEG'.* listed twice, .*line 3 'n01440764_10040.JPEG'"
    )
    with pytest.raises(ValueError, match=message):
        imagenet_subsets.load_dataset("custom", data_dir=standins_1pct, train_list=lines)
    with pytest.raises(ValueError, match="'custom' needs train_list"):
        imagenet_subsets.load_dataset("custom", data_dir=standins_1pct, train_list=[])


@pytest.mark.parametrize(("config", "options"), [("full", {}), ("1pct", {"unlabeled": True})])
def test_error_for_standins_does_not_advise_a_new_download(config, options, standins_1pct):
    with pytest.raises(ArchiveError, match=r"the official archive 147,897,477,120: it is a stand-in, or") as raised:
        imagenet_subsets.load_dataset(config, data_dir=standins_1pct, streaming=True, **options)
    assert "ownload it again" not in str(raised.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("num_proc", [-1, 0, 1.5, "4", True])
def test_num_proc_is_a_number_of_threads(way, num_proc, standins_1pct, tmp_path):
    with pytest.raises(ValueError, match=f"num_proc={num_proc!r}: expected 1 or more"):
        load(way, "1pct", data_dir=str(standins_1pct), cache_dir=str(tmp_path), num_proc=num_proc)


@pytest.mark.parametrize("way", WAYS)
def test_config_name_must_be_text(way, standins_1pct):
    with pytest.raises(ValueError, match=r"name=1: expected the name of a config, one of \['1pct', "):
        load(way, 1, data_dir=str(standins_1pct))


NAMES = [f"n01440764_{k}.JPEG" for k in range(12_811)]
OPTIONS = "label_names", "splits", "on_missing", "image_bytes", "real_labels", "classes", "num_proc"


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "value"), [("name", NAMES), *((option, value) for option in OPTIONS for value in (NAMES, str(NAMES)))]
)
def test_long_value_is_shortened_in_the_message(option, value, tmp_path):
    options = {"name": "1pct", "data_dir": str(tmp_path), "cache_dir": str(tmp_path), option: value}
    with pytest.raises(ValueError, match=option) as raised:
        imagenet_subsets.load_dataset(**options)
    assert len(str(raised.value)) < 2000
