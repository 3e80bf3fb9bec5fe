"""Lists of images as text, and the files beside a tree, against the published texts and the rows of the configs."""

import hashlib
import subprocess
import sys

import pytest
from helpers.programs import environment
from helpers.rows import published_rows
from test_split_lists import DESCRIBED

import imagenet_subsets
from imagenet_reader.lists import read_class_set, read_wnids
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.lists import list_lines, published_files, write_sidecars

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("lists_are_read_once")]

FILES = {
    "1pct": ["1percent.txt"],
    "10pct": ["10percent.txt"],
    "lt": ["ImageNet_LT_train.txt", "ImageNet_LT_val.txt", "ImageNet_LT_test.txt"],
    "full": [],
}


@pytest.mark.parametrize("config", FILES)
def test_published_lists_byte_for_byte(config, capsysbinary):
    files = published_files(config)
    assert list(files) == FILES[config]
    for split, (name, content) in zip(("train", "validation", "test"), files.items()):
        assert hashlib.sha256(content).hexdigest() == DESCRIBED[name]["sha256"]
        assert main(["list", config, "--split", split, "--format", "published"]) == 0
        assert capsysbinary.readouterr().out == content


@pytest.mark.parametrize(("config", "split"), [("10pct", "train"), ("lt", "validation"), ("lt", "test")])
def test_names_and_paths_in_row_order(config, split):
    """With paths as in the complete ImageNet, whose validation images are in val/, and as in the lists of lt."""
    rows = published_rows(config, split)
    assert list(list_lines(config, split)) == [name for name, _ in rows]
    folder, found = "val" if split == "test" else "train", list(list_lines(config, split, "paths"))
    assert found == [f"{folder}/{read_wnids()[label]}/{name} {label}" for name, label in rows]
    assert split != "validation" or sorted(found) == sorted(list_lines(config, split, "published"))


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
    call = [sys.executable, "-m", "imagenet_subsets_tools.cli", "list", "1pct"]
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
