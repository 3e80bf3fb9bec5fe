"""Lists of images as text, and the files beside a tree, against the published texts and the rows of the configs."""

import hashlib
import subprocess
import sys

import pytest
from helpers.programs import environment
from helpers.rows import SPLITS, published_rows

import imagenet_subsets
from imagenet_reader.lists import read_class_set, read_wnids
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.lists import list_lines, published_files, write_sidecars

pytestmark = pytest.mark.once

PUBLISHED = {  # `sha256sum FILE` of each published text
    "1pct": {"1percent.txt": "71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17"},
    "10pct": {"10percent.txt": "6d09de11e7bdaf5b1f3b1f249b6183695f97310cdd20f0c03e7235b6b9392091"},
    "lt": {
        "ImageNet_LT_train.txt": "efdbdad4f050237c310b2f354cf95a8b1d7c8d57a63c4ea4bb6bf2bcb012f37f",
        "ImageNet_LT_val.txt": "9af7ba688acf9532ff5845a8fb14a1e97fdc4c51ac48bc72c08ea9c3f7ff142e",
        "ImageNet_LT_test.txt": "d1590191cf8a71fada7b1aaedaa2d139a2aea93ff2f1b755319d0bd8dbaa55d5",
    },
    "full": {},
}


@pytest.mark.parametrize("config", PUBLISHED)
def test_published_lists_byte_for_byte(config, capsysbinary):
    files = {name: hashlib.sha256(content).hexdigest() for name, content in published_files(config).items()}
    assert files == PUBLISHED[config]
    for split, digest in zip(("train", "validation", "test"), PUBLISHED[config].values()):
        assert main(["list", config, "--split", split, "--format", "published"]) == 0
        assert hashlib.sha256(capsysbinary.readouterr().out).hexdigest() == digest


@pytest.mark.parametrize(("config", "split"), [(config, split) for config in SPLITS for split in SPLITS[config]])
def test_names_and_paths_in_row_order(config, split):
    """With paths as in the complete ImageNet, whose validation images are in val/."""
    rows = published_rows(config, split)
    assert list(list_lines(config, split)) == [name for name, _ in rows]
    folders = {True: "val", False: "train"}
    expected = [f"{folders['val' in name]}/{read_wnids()[label]}/{name} {label}" for name, label in rows]
    assert list(list_lines(config, split, "paths")) == expected


def test_options(capsys):
    wnids = sorted(read_class_set("imagenet100"))
    chosen = [(name, wnid) for name, _ in published_rows("1pct", "train") if (wnid := name[:9]) in wnids]
    assert main(["list", "1pct", "--classes", "imagenet100", "--format", "paths"]) == 0
    lines = [f"train/{wnid}/{name} {wnids.index(wnid)}\n" for name, wnid in chosen]
    assert capsys.readouterr().out == "".join(lines)
    own = ["n01514668_18.JPEG"]
    assert list(list_lines("custom", "train", "paths", train_list=own)) == ["train/n01514668/n01514668_18.JPEG 7"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("full", "'full' has no list of 'train'"),
        ("10pct --split unlabeled", "'10pct' has no list of 'unlabeled'"),
        ("full --split test", "'full' has no list of 'test'"),
        ("lt --split unlabeled", "unlabeled=True is for the configs ['1pct', '10pct']"),
        ("1pct --split tran", "splits=['tran']: expected a list out of ['train', 'validation', 'test']"),
        ("1pct --split validation --format published", "No such list was published for 'validation'"),
        ("lt --format published --classes imagenet100", "No such list was published for 'train'"),
        ("lt --format csv", "format='csv' is not known; choose one of ['names', 'paths', 'published']"),
    ],
)
def test_lists_that_do_not_exist(arguments, message, capsys):
    assert main(["list", *arguments.split()]) == 1
    assert message in capsys.readouterr().err


def test_a_reader_that_stops_early():
    """As with ``| head -n 1``: no message, and the exit code of a shell for a broken pipe."""
    call = [sys.executable, "-m", "imagenet_subsets_tools.cli", "list", "10pct"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout.readline().endswith(b".JPEG\n")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (lambda: write_sidecars("folder"), "pip install torch$"),
        (lambda: imagenet_subsets.torchvision_dataset("1pct", data_dir="folder"), "pip install torch torchvision$"),
    ],
)
def test_without_torch(function, advice, monkeypatch):
    monkeypatch.delitem(sys.modules, "imagenet_reader.hf.torchvision", raising=False)
    for module in ("torch", "torchvision", "torchvision.datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=advice):
        function()
