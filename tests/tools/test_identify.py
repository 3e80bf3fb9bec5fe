"""``identify`` knows every published list and set of classes, however it is given, and says what differs."""

import json

import datasets
import numpy as np
import pytest

import imagenet_subsets
from imagenet_reader import lists
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.export import export_images
from imagenet_subsets_tools.identify import LISTS, identify
from imagenet_subsets_tools.lists import SOURCES, published_lines

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("lists_are_read_once")]


@pytest.fixture
def text_of(tmp_path):
    """``text_of(lines)``: the path of a text."""

    def text_of(lines):
        (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path / "list.txt"

    return text_of


def part_of(what, data_dir=None):
    """What ``identify`` says of a text or a split."""
    return identify(what, data_dir)["parts"][""]


@pytest.mark.parametrize(("split_file", "line"), [(of, line) for of, _, line in SOURCES if ".JPEG" in line])
def test_each_published_list(split_file, line, text_of):
    part, name = part_of(text_of(published_lines(lists.SPLIT_FILES, split_file, line))), split_file.partition(".")[0]
    order = "all" if "{label}" in line else None
    assert part["exact"] and (part["list"], part["class_set"], part["label_order"]) == (name, "all", order)
    count = f"{lists.LISTS[name][0]:,}"
    assert part["text"].startswith(f"{count} of {count} images: {LISTS[name]}; 1,000 of 1,000 classes")


@pytest.mark.parametrize("name", lists.CLASS_SETS)
def test_each_set_of_classes(name, text_of):
    wnids = lists.read_class_set(name)
    part = part_of(text_of(wnids))
    assert part["exact"] and (part["class_set"], part["classes"], part["images"]) == (name, len(wnids), 0)
    assert part["label_order"] == ("sorted" if wnids == sorted(wnids) else "published")
    part = part_of(text_of([*wnids[1:], wnids[0]]))
    assert (part["class_set"], part["label_order"]) == (name, "other") and "in another order" in part["text"]
    part = part_of(text_of(wnids[:-1]))
    assert not part["exact"] and f"{len(wnids) - 1} of {len(wnids)} classes: {name}" in part["text"]


def test_what_differs(text_of, capsys):
    names = [name for name, _ in lists.read_split_list("1pct")]
    other = next(name for name, _ in lists.read_split_list("10pct") if name not in names and name[:9] == names[0][:9])
    path = str(text_of([other, *names[1:]]))
    assert main(["identify", path]) == 1
    words = "12,810 of 12,811 images: SimCLR 1 % (1pct); other or repeated images: 1; 1,000 of 1,000 classes: all\n"
    assert capsys.readouterr().out == words
    assert main(["identify", path, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["parts"][""]["overlaps"]["1pct"] == 12_810
    assert not identify(text_of([*names, names[0]]))["exact"]
    assert not identify(text_of([*names, "n01440764_x.JPEG"]))["exact"]


def test_another_list(text_of):
    """13 images of each class, some of them SimCLR's."""
    rest = [f"{wnid}_{9_000_000 + k}.JPEG" for wnid in lists.read_wnids() for k in range(13)]
    rest[:124] = [name for name, _ in lists.read_split_list("1pct")[:124]]
    part = part_of(text_of(rest))
    assert part["list"] is None and not part["exact"] and part["overlaps"]["1pct"] == 124
    assert part["text"].startswith("13,000 images: 124 of SimCLR 1 % (1pct), 124 of SimCLR 10 % (10pct)")
    assert "; no published list that is known here; 1,000 of 1,000 classes" in part["text"]


def test_a_loaded_dataset(dataset_1pct, standins_1pct, tmp_path):
    report = identify(dataset_1pct)
    assert report["exact"] and [part["list"] for part in report["parts"].values()] == ["1pct", "validation"]
    assert {part["label_order"] for part in report["parts"].values()} == {"all"}
    options = {"data_dir": str(standins_1pct), "in_place": True, "cache_dir": str(tmp_path), "split": "train"}
    for order in ("sorted", "published"):
        options |= {"classes": "imagenet100", "splits": ["train"], "class_order": order}
        part = part_of(imagenet_subsets.load_dataset("1pct", **options), standins_1pct)
        assert part["exact"] and (part["class_set"], part["label_order"]) == ("imagenet100", order)
        assert part["resized"] is None  # rows in place have no bytes


def test_a_built_folder(hub_folder, standins_1pct):
    report = identify(hub_folder, standins_1pct)
    found = {place: (part["list"], part["label_order"]) for place, part in report["parts"].items()}
    assert found == {"1pct/train": ("1pct", "all"), "ilsvrc2012_validation/validation": ("validation", "all")}
    assert report["exact"]
    assert all(part["resized"] < 100 for part in report["parts"].values())  # some were CMYK or PNG


def test_an_exported_tree(standins_1pct, tmp_path):
    tree = export_images("1pct", tmp_path / "tree", standins_1pct, classes="gcd100", splits=["train"])
    report = identify(tree, standins_1pct)
    part = report["parts"]["train"]
    assert report["exact"] and (part["class_set"], part["label_order"], part["resized"]) == ("gcd100", "sorted", 0)
    image = next(tree.glob("train/*/*.JPEG"))
    image.write_bytes(image.read_bytes()[:-1])
    part = identify(tree, standins_1pct)["parts"]["train"]
    assert part["resized"] == 1 and f"another size in bytes than in {standins_1pct}: 1" in part["text"]
    image.unlink()
    assert identify(tree)["parts"]["train"]["text"].startswith("1,278 of 1,279 images: SimCLR 1 %")


def test_archives(standins_1pct):
    """They hold some images of other lists, too."""
    parts = identify(standins_1pct)["parts"]
    found = {kind: (part["list"], part["exact"]) for kind, part in parts.items()}
    assert found == {"train": ("1pct", False), "validation": ("validation", True)}
    assert "12,811 of 12,811 images: SimCLR 1 % (1pct); other or repeated images: " in parts["train"]["text"]


def test_all_training_images(monkeypatch, text_of):
    names = [name for name, _ in lists.read_split_list("lt_train")]
    monkeypatch.setattr(lists, "TRAIN_IMAGES", len(names))
    assert part_of(text_of(names))["list"] == "full"


def test_what_cannot_be_identified(tmp_path, text_of, capsys):
    assert main(["identify", str(text_of(["tench", "shark"]))]) == 1
    assert "list.txt is no list of images or classes" in capsys.readouterr().err
    assert main(["identify", str(tmp_path / "absent")]) == 1
    assert "absent has no images of ImageNet: pass a folder" in capsys.readouterr().err
    with pytest.raises(TypeError, match="found ndarray"):
        identify(np.zeros(3))
    with pytest.raises(ValueError, match="does not say which image is which"):
        identify(datasets.Dataset.from_dict({"image": [None]}, datasets.Features(image=datasets.Image())))
