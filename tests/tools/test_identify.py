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
from imagenet_subsets_tools.lists import SOURCES, published_text

pytestmark = pytest.mark.once

TEXTS = {  # list -> (published text, order of its labels)
    "1pct": ("1percent.txt", None),
    "10pct": ("10percent.txt", None),
    "lt_train": ("ImageNet_LT_train.txt", "all"),
    "lt_validation": ("ImageNet_LT_val.txt", "all"),
    "validation": ("ImageNet_LT_test.txt", "all"),
    "holdout": ("paws_val.txt", None),
}


@pytest.fixture
def text_of(tmp_path):
    """``text_of(name, lines=None)``: the path of a published text, or of other lines."""
    line_of = {published: (of, line) for of, published, line in SOURCES}

    def text_of(name, lines=None):
        path = tmp_path / name
        content = published_text(lists.SPLIT_FILES, *line_of[name]) if lines is None else "\n".join(lines)
        path.write_text(content, encoding="utf-8")
        return path

    return text_of


@pytest.mark.parametrize("name", lists.LISTS)
def test_each_published_list(name, text_of):
    published, order = TEXTS[name]
    report = identify(text_of(published))
    part = report["parts"][""]
    assert report["exact"] and (part["list"], part["class_set"], part["label_order"]) == (name, "all", order)
    count = f"{lists.LISTS[name][0]:,}"
    assert part["text"].startswith(f"{count} of {count} images: {LISTS[name]}; 1,000 of 1,000 classes")


@pytest.mark.parametrize("name", lists.CLASS_SETS)
def test_each_set_of_classes(name, text_of):
    wnids = lists.read_class_set(name)
    part = identify(text_of(f"{name}.txt"))["parts"][""]
    assert part["exact"] and (part["class_set"], part["classes"], part["images"]) == (name, len(wnids), 0)
    assert part["label_order"] == ("sorted" if wnids == sorted(wnids) else "published")
    shuffled = identify(text_of("other.txt", [*wnids[1:], wnids[0]]))["parts"][""]
    assert (
        shuffled["class_set"] == name and shuffled["label_order"] == "other" and "in another order" in shuffled["text"]
    )
    part = identify(text_of("fewer.txt", wnids[:-1]))["parts"][""]
    assert not part["exact"] and f"{len(wnids) - 1} of {len(wnids)} classes: {name}" in part["text"]


def test_what_differs(text_of, capsys):
    names = [name for name, _ in lists.read_split_list("1pct")]
    other = next(name for name, _ in lists.read_split_list("10pct") if name not in names and name[:9] == names[0][:9])
    path = str(text_of("swapped.txt", [other, *names[1:]]))
    assert main(["identify", path]) == 1
    words = "12,810 of 12,811 images: SimCLR 1 % (1pct); other or repeated images: 1; 1,000 of 1,000 classes: all\n"
    assert capsys.readouterr().out == words
    assert main(["identify", path, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["parts"][""]["overlaps"]["1pct"] == 12_810
    assert not identify(text_of("repeated.txt", [*names, names[0]]))["exact"]
    assert not identify(text_of("typo.txt", [*names, "n01440764_x.JPEG"]))["exact"]


def test_another_list(text_of):
    """13 images of each class, some of them SimCLR's."""
    rest = [f"{wnid}_{9_000_000 + k}.JPEG" for wnid in lists.read_wnids() for k in range(13)]
    rest[:124] = [name for name, _ in lists.read_split_list("1pct")[:124]]
    part = identify(text_of("other.txt", rest))["parts"][""]
    assert part["list"] is None and not part["exact"] and part["overlaps"]["1pct"] == 124
    assert part["text"].startswith("13,000 images: 124 of SimCLR 1 % (1pct), 124 of SimCLR 10 % (10pct)")
    assert "; no published list that is known here; 1,000 of 1,000 classes" in part["text"]


def test_a_loaded_dataset(dataset_1pct, standins_1pct, tmp_path):
    report = identify(dataset_1pct)
    assert report["exact"] and [part["list"] for part in report["parts"].values()] == ["1pct", "validation"]
    assert {part["label_order"] for part in report["parts"].values()} == {"all"}
    options = {"data_dir": str(standins_1pct), "in_place": True, "cache_dir": str(tmp_path), "split": "train"}
    options |= {"classes": "imagenet100", "splits": ["train"]}
    for order in ("sorted", "published"):
        rows = imagenet_subsets.load_dataset("1pct", class_order=order, **options)
        part = identify(rows, standins_1pct)["parts"][""]
        assert part["exact"] and (part["list"], part["class_set"], part["label_order"]) == (
            "1pct",
            "imagenet100",
            order,
        )
        assert part["resized"] is None  # rows in place have no bytes
    assert identify(dataset_1pct["train"].select(range(5)))["parts"][""]["list"] is None


def test_a_built_folder(hub_folder, standins_1pct):
    report = identify(hub_folder, standins_1pct)
    assert report["exact"]
    due = {"1pct/train": ("1pct", "all", 0), "ilsvrc2012_validation/validation": ("validation", "all", 0)}
    found = {place: (of["list"], of["label_order"]) for place, of in report["parts"].items()}
    assert found == {place: values[:2] for place, values in due.items()}
    assert all(part["resized"] < 100 for part in report["parts"].values())  # some were CMYK or PNG


def test_an_exported_tree(standins_1pct, tmp_path):
    export_images("1pct", tmp_path / "tree", standins_1pct, classes="gcd100")
    report = identify(tmp_path / "tree", standins_1pct)
    assert report["exact"] and list(report["parts"]) == ["train", "val"]
    for part, due in zip(report["parts"].values(), ("1pct", "validation")):
        assert (part["list"], part["class_set"], part["label_order"], part["resized"]) == (due, "gcd100", "sorted", 0)
    image = next((tmp_path / "tree" / "train").glob("*/*.JPEG"))
    image.write_bytes(image.read_bytes()[:-1])
    part = identify(tmp_path / "tree", standins_1pct)["parts"]["train"]
    assert part["resized"] == 1 and f"another size in bytes than in {standins_1pct}: 1" in part["text"]
    image.unlink()
    assert identify(tmp_path / "tree")["parts"]["train"]["text"].startswith("1,278 of 1,279 images: SimCLR 1 %")


def test_archives(standins_1pct):
    """They hold some images of other lists, too."""
    parts = identify(standins_1pct)["parts"]
    assert {kind: (part["list"], part["exact"]) for kind, part in parts.items()} == {
        "train": ("1pct", False),
        "validation": ("validation", True),
    }
    assert "12,811 of 12,811 images: SimCLR 1 % (1pct); other or repeated images: " in parts["train"]["text"]


def test_all_training_images(monkeypatch, text_of):
    names = [name for name, _ in lists.read_split_list("lt_train")]
    monkeypatch.setattr(lists, "TRAIN_IMAGES", len(names))
    assert identify(text_of("all.txt", names))["parts"][""]["list"] == "full"


def test_what_cannot_be_identified(tmp_path, text_of, capsys):
    assert main(["identify", str(text_of("words.txt", ["tench", "shark"]))]) == 1
    assert "words.txt is no list of images or classes" in capsys.readouterr().err
    assert main(["identify", str(tmp_path / "absent")]) == 1
    assert "absent has no images of ImageNet: pass a folder" in capsys.readouterr().err
    with pytest.raises(TypeError, match="found ndarray"):
        identify(np.zeros(3))
    with pytest.raises(ValueError, match="does not say which image is which"):
        identify(datasets.Dataset.from_dict({"image": [None]}, datasets.Features(image=datasets.Image())))
