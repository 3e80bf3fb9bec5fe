"""Own lists of images: the accepted forms, and the messages for those that cannot be read."""

import re

import datasets
import numpy as np
import pytest

import imagenet_subsets
from imagenet_reader.own_lists import read_image_list

IMAGES = [("n01440764_10040.JPEG", 0), ("n01440764_190.JPEG", 0), ("n01443537_2.JPEG", 1)]
NAMES = [name for name, _ in IMAGES]
VALIDATION = [("ILSVRC2012_val_00000001.JPEG", 65), ("ILSVRC2012_val_00000003.JPEG", 230)]
KAGGLE = "ImageId,PredictionString\nn01440764_190,n01440764 13 57 399 471 n01440764 1 2 3 4 \nn01443537_2,\n"

pytestmark = pytest.mark.once


def message_of(source):
    with pytest.raises(ValueError, match=r"list|text") as raised:
        read_image_list(source)
    return str(raised.value)


@pytest.mark.parametrize(
    "make",
    [
        iter,
        lambda names: np.array(names, "S"),
        lambda names: datasets.Dataset.from_dict({"name": names})["name"],
    ],
)
def test_any_iterable_is_accepted_as_a_list(make, standins_1pct, tmp_path):
    names = ["n01601694_21328.JPEG", "n01440764_10040.JPEG"]
    options = {"data_dir": str(standins_1pct), "splits": ["train"], "split": "train", "cache_dir": str(tmp_path)}
    rows, same = (
        imagenet_subsets.load_dataset("custom", train_list=given, in_place=True, **options)
        for given in (make(names), names)
    )
    assert rows["file_name"][:] == names
    assert rows.cache_files == same.cache_files


@pytest.mark.parametrize("make", [str, bytes, lambda path: path, np.str_], ids=["str", "bytes", "Path", "NumPy"])
def test_any_path_like_is_accepted(make, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(NAMES), encoding="utf-8-sig")  # as Notepad writes
    assert read_image_list(make(bytes(path) if make is bytes else path)) == IMAGES


@pytest.mark.parametrize("wrong", [5, 2.5, np.array("list.txt"), object()])
def test_other_types_are_refused(wrong, standins_1pct):
    with pytest.raises(ValueError, match="expected the path of a text file, or names"):
        imagenet_subsets.load_dataset("custom", data_dir=standins_1pct, train_list=wrong)


def test_text_in_place_of_a_path():
    assert "Pass text.splitlines()" in message_of("\n".join(NAMES))
    assert "Pass text.splitlines()" in message_of(" ".join(NAMES * 1000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n01440764/n01440764_10040 1\nn01440764/n01440764_190 2\nn01443537/n01443537_2 3\n", IMAGES),
        ("ILSVRC2012_val_00000001 1\nILSVRC2012_val_00000003 3\n", VALIDATION),
        (KAGGLE, IMAGES[1:]),
        ("ImageId,PredictionString\nILSVRC2012_val_00000003,n02105855 5 4 3 2 \n", VALIDATION[1:]),
    ],
    ids=["train_cls.txt", "val.txt", "LOC_train_solution.csv", "LOC_val_solution.csv"],
)
def test_lists_of_imagenet_and_kaggle(text, expected, tmp_path):
    (tmp_path / "list").write_bytes(text.encode())
    assert read_image_list(tmp_path / "list") == expected


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ('"{}",', "have quotes, commas or brackets"),
        ("train\\n01440764\\{}", "have backslashes instead of /"),
        ("train/n01440764/{:.11}.jpg 0", "have a suffix other than .JPEG"),
    ],
)
def test_error_in_every_line_is_reported_once(form, fault):
    lines = [form.format(f"n01440764_{k}.JPEG") for k in range(12_811)]
    message = message_of(lines)
    assert message.count(fault) == 1 and ", 12,811 in total: line 1 " in message
    assert ", line 20 " in message and "line 21 " not in message and " and 12,791 more." in message


TENCH, GOLDFISH, FIRST = "n01440764_190.JPEG", "n01443537_2.JPEG", "ILSVRC2012_val_00000001.JPEG"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["", " "], ["empty"]),
        ([TENCH, "cat.jpg", "", "n01440764_190.png", GOLDFISH, "train/n01440764/"], [2, "cat.jpg", 4, "190.png", 6]),
        ([TENCH, "n01440764_190.JPEG x", "n01440764_1.JPEG 0 0"], [2, "JPEG x", 3, "0 0"]),
        ([TENCH, "n99999999_1.JPEG"], ["n99999999_1.JPEG"]),
        (["ILSVRC2012_val_00050001.JPEG", "ILSVRC2012_val_00000000.JPEG"], ["val_00050001", "val_00000000"]),
        ([TENCH, GOLDFISH, f"train/n01440764/{TENCH} 0"], [TENCH, 3, "twice"]),
        ([f"{TENCH} 0", f"{GOLDFISH} 0"], [2, GOLDFISH, "label"]),
        ([f"{TENCH} 1000", "cat.jpg", GOLDFISH, GOLDFISH], [1, TENCH, "label", 2, "cat.jpg", 4, "twice"]),
        ([TENCH, f"train/n01440764/{GOLDFISH}"], [2, GOLDFISH, r"n01440764(?!_)", r"n01443537(?!_)"]),
        ([TENCH, GOLDFISH, FIRST], ["training", "validation"]),
    ],
)
def test_lists_with_errors(lines, expected, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines))
    message = message_of(path)
    assert str(path) in message
    rest = message.replace(str(path), "")
    patterns = [rf"(?<!\w){part}\b" if isinstance(part, int) else part for part in expected]
    assert [pattern for pattern in patterns if not re.search(pattern, rest)] == []


def test_a_list_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/none: there is no such text file"):
        read_image_list(tmp_path / "none")


def test_list_in_another_encoding(tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(NAMES), encoding="utf-16")  # as PowerShell writes it
    assert f"{tmp_path / 'list.txt'} is not a text file" in message_of(tmp_path / "list.txt")
