"""Bad input: an early error that names the path, what was found and what to do."""

import gzip
import re
import tarfile

import datasets
import pytest
from helpers.faults import NAMES, VAL_OPTIONS, load
from helpers.layout_rows import message_of as load_error
from makers.tars import write_tar

import imagenet_subsets
from imagenet_reader import facts as official
from imagenet_reader import lists

pytestmark = [pytest.mark.oldest_packages, pytest.mark.oldest_and_newest]

TRAIN, VALIDATION = official.TRAIN_ARCHIVE, official.VALIDATION_ARCHIVE
LISTED = ["n01440764_190.JPEG"]


def replace(path, content=b""):
    path.unlink()
    path.write_bytes(content)


def test_error_without_data_dir_says_how_to_download():
    message = load_error(None)
    for needed in ("data_dir", "image-net.org/download-images.php", "egister", TRAIN, VALIDATION):
        assert needed in message


@pytest.mark.parametrize("archive", [TRAIN, VALIDATION])
def test_an_archive_is_missing(archive, data_dir):
    (data_dir / archive).unlink()
    message = load_error(data_dir)
    other = {TRAIN: VALIDATION, VALIDATION: TRAIN}[archive]
    words = {TRAIN: "training images", VALIDATION: "validation images"}[archive]
    assert f"{data_dir} has no {words} in a supported layout (it holds: {other})" in message
    assert re.search(rf"download {archive} \(1?[\d.]+ GB\) of", message)  # only what is absent
    assert "splits=[...]" in message
    assert f"into {data_dir}, and" in message


def test_another_kind_of_archive(data_dir):
    for content, what in {
        gzip.compress(bytes(10240)): "gzip data: rename it to .tar.gz, and unpack it with gunzip",
        b"PK\x03\x04" + bytes(1000): "a zip archive",
    }.items():
        replace(data_dir / TRAIN, content)
        assert f"{data_dir / TRAIN} is {what}" in load_error(data_dir)


@pytest.mark.parametrize(("archive", "part"), [(TRAIN, 0.5), (VALIDATION, 0.999)])
def test_a_truncated_archive(archive, part, data_dir):
    content = (data_dir / archive).read_bytes()
    size = int(len(content) * part) // 512 * 512 + 512
    replace(data_dir / archive, content[:size])
    for wnid in lists.read_wnids():
        (data_dir / "train" / wnid).mkdir(parents=True)
        (data_dir / "train" / wnid / f"{wnid}_1.JPEG").touch()
    message = load_error(data_dir)
    assert str(data_dir / archive) in message
    assert re.search("cut off or damaged|missing or empty", message)
    assert f"has {size:,} bytes, the official archive {official.OFFICIAL_SIZES[archive]:,}: the download is" in message
    hint = f"{data_dir / 'train'} has all 1,000 class folders: to use it, move {data_dir / TRAIN} away."
    assert (hint in message) == (archive == TRAIN)


def test_the_archives_are_swapped(data_dir):
    (data_dir / TRAIN).rename(data_dir / "other")
    (data_dir / VALIDATION).rename(data_dir / TRAIN)
    (data_dir / "other").rename(data_dir / VALIDATION)
    message = load_error(data_dir)
    assert f"{data_dir / TRAIN} begins with the member 'ILSVRC2012_val_00000001.JPEG'" in message
    assert "found the validation archive" in message
    message = load_error(data_dir, splits=["validation"])
    assert f"{data_dir / VALIDATION} begins with the member 'n01440764.tar'" in message
    assert "found the training archive" in message


def test_a_class_tar_in_place_of_the_training_archive(data_dir):
    with tarfile.open(data_dir / TRAIN) as outer:
        content = outer.extractfile("n01440764.tar").read()
    replace(data_dir / TRAIN, content)
    assert "found a class tar, or the training images in one flat tar; expected the training" in load_error(data_dir)


def test_absent_images_are_an_error_or_skipped(val_tar, images, tmp_path):
    write_tar(val_tar, images | {NAMES[7]: b""})
    message = load_error(val_tar.parent, splits=["validation"])
    assert "49,701 of the 50,000 images that 1pct lists for validation are missing or empty" in message
    assert f"such as {NAMES[7]}, ILSVRC2012_val_00000301.JPEG" in message
    assert "on_missing='skip'" in message
    for _ in range(2):  # built, then from the cache
        with pytest.warns(UserWarning, match="left out: 49,701 of 50,000 in validation") as warned:
            rows = load(val_tar, cache_dir=str(tmp_path / "cache"), **VAL_OPTIONS)
        assert sum("left out" in str(warning.message) for warning in warned) == 1
        assert rows["file_name"][:] == [name for name in NAMES if name != NAMES[7]]


def test_an_archive_without_any_listed_image_is_an_error_even_with_skip(val_tar):
    write_tar(val_tar, {"ILSVRC2012_val_00099999.JPEG": b"an image"})
    assert "50,000 of the 50,000 images" in load_error(val_tar.parent, splits=["validation"], on_missing="skip")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("5pct", {}, "BuilderConfig '5pct' not found. Available: ['1pct', '10pct', 'lt', 'full', 'custom']"),
        ("1%", {}, "Did you mean '1pct'?"),
        ("ImageNet-LT", {}, "Did you mean 'lt'?"),
        ("ImageNet-100", {}, "pass classes='imagenet100'"),
        ("1pct", {"split": "val"}, "Unknown split \"val\". Should be one of ['train', 'validation']."),
        ("1pct", {"split": "test"}, "pass splits=['train', 'validation', 'test']"),
        ("10pct", {"split": datasets.Split("unlabeled")}, "pass unlabeled=True"),
        ("1pct", {"classes": ["Tench"]}, "not among the 1,000 wnids: Tench (pass 'n01440764')"),
        ("1pct", {"classes": ["n01440764"], "splits": ["test"]}, "test images have no labels, so classes="),
        ("1pct", {"splits": ["unlabeled"]}, "'unlabeled' is one with unlabeled=True."),
        ("1pct", {"on_missing": "ignore"}, "on_missing='ignore' is not known; choose one of ['error', 'skip']"),
        ("1pct", {"splits": ["val"]}, "splits=['val']: expected a list out of ['train', 'validation', 'test']"),
        ("lt", {"splits": "train"}, "splits='train': expected a list out of ['train', 'validation', 'test']"),
        ("custom", {"train_list": []}, "'custom' needs train_list"),
        ("custom", {"validation_list": LISTED}, "'custom' needs train_list"),
        ("1pct", {"train_list": LISTED}, "custom"),
        ("custom", {"train_list": LISTED, "unlabeled": True}, "unlabeled=True"),
        (
            "1pct",
            {"features": datasets.Features({"image": datasets.Image()})},
            "expected the columns ['image', 'label', 'file_name']",
        ),
        ("1pct", {"in_place": True, "streaming": True}, "cannot be combined with streaming=True"),
    ],
)
def test_unknown_configs_and_options(name, options, message, standins_1pct):
    with pytest.raises(ValueError, match=re.escape(message)):
        imagenet_subsets.load_dataset(name, data_dir=standins_1pct, **options)
