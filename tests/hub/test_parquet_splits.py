"""The folder for the Hub with all options: unlabeled and test images, own lists, class names."""

import re

import datasets
import huggingface_hub
import numpy as np
import pytest
from helpers.built import rows
from makers.layouts import extracted, official_tars, train_images, unlabelled_images, validation_images

import imagenet_subsets
from imagenet_reader import facts as official
from imagenet_reader import lists
from imagenet_subsets_tools.build import build_parquet
from imagenet_subsets_tools.cli import main

pytestmark = pytest.mark.oldest_and_newest

TEST_IMAGES = 300
SPLITS = {"1pct": ["train", "unlabeled", "test"], "custom": ["train", "test"]}


@pytest.fixture(scope="module", autouse=True)
def small_imagenet(standins_1pct):
    """The images of the stand-ins are the complete ImageNet."""
    with pytest.MonkeyPatch.context() as patch:
        archive = standins_1pct / official.TRAIN_ARCHIVE
        patch.setattr(lists, "TRAIN_IMAGES", imagenet_subsets.read_index(archive).num_rows)
        patch.setattr(lists, "TEST_IMAGES", TEST_IMAGES)
        yield


@pytest.fixture(scope="module")
def archives(standins_1pct, tmp_path_factory):
    """The folder of all three archives."""
    folder = tmp_path_factory.mktemp("archives")
    official_tars(unlabelled_images(TEST_IMAGES), folder)
    for archive in (official.TRAIN_ARCHIVE, official.VALIDATION_ARCHIVE):
        (folder / archive).hardlink_to(standins_1pct / archive)
    return folder


@pytest.fixture(scope="module")
def own_lists(standins_1pct, tmp_path_factory):
    """The options for ``custom``: two files."""
    folder = tmp_path_factory.mktemp("lists")
    for split, images in (("train", train_images(standins_1pct)), ("validation", validation_images(standins_1pct))):
        (folder / f"{split}.txt").write_text("\n".join(sorted(images)[::4000]))
    return {f"{split}_list": str(folder / f"{split}.txt") for split in ("train", "validation")}


@pytest.fixture(scope="module")
def folder(archives, own_lists, tmp_path_factory):
    """A folder with the splits that ``test_parquet.py`` lacks."""
    options = {"unlabeled": True, "splits": ["train", "unlabeled", "test"], "train_list": own_lists["train_list"]}
    return build_parquet(tmp_path_factory.mktemp("hub") / "hub", archives, ["1pct", "custom"], **options)


def test_every_split_has_the_rows_of_the_loader(folder, archives, own_lists, tmp_path):
    for config, option in (("1pct", "unlabeled"), ("custom", "train_list")):
        options = {option: own_lists.get(option, True), "splits": SPLITS[config], "cache_dir": str(tmp_path / "ours")}
        ours = imagenet_subsets.load_dataset(config, data_dir=archives, **options)
        loaded = datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / "loaded"))
        assert list(loaded) == SPLITS[config]
        for split in SPLITS[config]:
            assert loaded[split].features == ours[split].features
            assert rows(loaded[split]) == rows(ours[split])
    assert {*np.unique(loaded["test"]["label"][:])} == {-1}
    assert 0 < len(loaded["train"]) < 128  # fewer rows than a split has row groups


def test_card_lists_the_splits(folder, own_lists):
    """Which split has which files (test images are stored once), and the lists of the images."""
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")) == [
        "1pct/train-00000-of-00001.parquet",
        "1pct/unlabeled-00000-of-00001.parquet",
        "custom/train-00000-of-00001.parquet",
        "ilsvrc2012_test/test-00000-of-00001.parquet",
    ]
    card = huggingface_hub.DatasetCard.load(folder / "README.md")
    named = {config["config_name"]: config["data_files"] for config in card.data.to_dict()["configs"]}
    test = {"split": "test", "path": "ilsvrc2012_test/test-*-of-00001.parquet"}
    assert test in named["1pct"] and test in named["custom"]
    assert re.search(r"\| train\.txt \| \d+ \| `[0-9a-f]{64}` \| `train_list`", card.text)
    assert own_lists["train_list"] not in card.text  # where it lay is nobody's business
    assert "| 1percent.txt | 12,811 |" in card.text


def test_options_of_the_command_line(archives, own_lists, tmp_path, capsys):
    hub, arguments = tmp_path / "hub", ["build", "custom", "--data-dir", str(archives), "--num-proc", "2"]
    arguments += ["--output-dir", str(hub), *(f"--{name.replace('_', '-')}={path}" for name, path in own_lists.items())]
    assert main([*arguments, "--label-names", "words"]) == 0
    size = sum(path.stat().st_size for path in hub.glob("*/*.parquet")) / 1e6
    assert capsys.readouterr().out == f"{hub}: 2 shards ({size:.1f} MB) and README.md\n"
    loaded = datasets.load_dataset(str(hub), "custom", cache_dir=str(tmp_path / "cache"))
    ours = imagenet_subsets.load_dataset("custom", data_dir=archives, cache_dir=str(tmp_path), **own_lists)
    assert {split: rows(loaded[split]) for split in loaded} == {split: rows(ours[split]) for split in ours}
    assert loaded["train"].features["label"].names[0] == "tench, Tinca tinca"
    assert "named by their words" in (hub / "README.md").read_text(encoding="utf-8")
    assert main([*arguments, "--splits", "train"]) == 0
    assert {path.name for path in (hub / "custom").iterdir()} == {"train-00000-of-00001.parquet"}


def test_each_config_gets_its_splits(archives, tmp_path):
    """``unlabeled`` does not exist for an own list, which is not an error."""
    (tmp_path / "list.txt").write_text("n01440764_10040.JPEG")
    options = {"unlabeled": True, "splits": ["unlabeled", "test"], "train_list": tmp_path / "list.txt"}
    folder = build_parquet(tmp_path / "hub", archives, ["1pct", "custom"], **options)
    assert {path.parent.name for path in folder.rglob("*.parquet")} == {"1pct", "ilsvrc2012_test"}
    with pytest.raises(ValueError, match=r"splits=\[\]: expected a list out of .*'custom'"):
        build_parquet(tmp_path / "hub", archives, ["1pct", "custom"], **options | {"splits": ["unlabeled"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"configs": []}, "one or more of"),
        ({"num_proc": 0}, "expected 1 or more"),
        ({"num_proc": 2, "executor": object()}, "pass only one of them"),
        ({"output_dir": "hub[1]/a"}, r"hub\[1\]/a.*Rename the folder"),
        ({"train_list": "my.txt"}, "no other takes them"),
        ({"splits": ["train", "val"]}, "expected splits of"),
    ],
)
def test_wrong_options(arguments, message, archives, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        build_parquet(**{"output_dir": "hub", "data_dir": archives, "configs": ["lt"], **arguments})
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_images_is_refused(small_images, list_options, tmp_path, monkeypatch):
    """However it is spelled, and folders of a split; a folder beside those is allowed."""
    folder = tmp_path / "data"
    extracted(small_images, folder)
    (tmp_path / "link").symlink_to(folder)
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    for output_dir in (folder, tmp_path / "link", ".", "train", "train/hub", "train/n01440764"):
        with pytest.raises(FileExistsError, match="is, or is in, the folder that the images are read from"):
            build_parquet(output_dir, folder, ["1pct"])
    assert sorted(folder.rglob("*")) == before
    assert build_parquet(folder / "hub", folder, "custom", **list_options) == folder / "hub"
