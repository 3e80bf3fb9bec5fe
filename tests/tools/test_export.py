"""``export``: the tree and its lists are the rows of ``load_dataset``; what exists is compared and kept."""

import io
import os
import shutil
import signal
import subprocess
import time

import PIL.Image
import pytest
from helpers.layout_rows import LAYOUTS, contents, load
from helpers.programs import command, environment
from helpers.remote import files_of, served
from helpers.rows import SPLITS
from makers.layouts import extracted, label_of, official_tars, validation_images

from imagenet_reader.lists import read_wnids
from imagenet_subsets_tools import cli
from imagenet_subsets_tools.export import export_images
from imagenet_subsets_tools.lists import list_lines

pytestmark = pytest.mark.once

LABELS = 0, 150, 300
WNIDS = [read_wnids()[label] for label in LABELS]


def expected_of(rows):
    """The same, of the tree and its lists, from the rows of ``load_dataset``."""
    files = {}
    for split, folder in {"train": "train", "validation": "val"}.items():
        images, names, labels = contents(rows[split]), rows[split]["file_name"], rows[split]["label"]
        paths = [f"{folder}/{WNIDS[label]}/{name}" for name, label in zip(names, labels)]
        files |= {path: images[name] for path, name in zip(paths, names)}
        files[f"lists/{split}.txt"] = "".join(map("{} {}\n".format, paths, labels)).encode()
    return files


@pytest.fixture(scope="module")
def few(train, standins_1pct):
    """{name: bytes}: the images of three classes in 1pct."""
    images = train | validation_images(standins_1pct)
    return {name: content for name, content in images.items() if label_of(name) in LABELS}


@pytest.fixture
def options(few):
    return {"classes": WNIDS, "train_list": [name for name in few if name[:9] in WNIDS]}


@pytest.fixture
def source(few, tmp_path):
    extracted(few, tmp_path / "source", by_class=True)
    return tmp_path / "source"


@pytest.mark.parametrize("layout", ["extracted by class", "hub parquet", "kaggle zip, deflated"])
def test_the_tree_is_the_rows(layout, few, options, tmp_path):
    LAYOUTS[layout](few, tmp_path / "data")
    rows = load(tmp_path / "data", cache_dir=tmp_path / "cache", image_bytes="archive", **options)
    assert export_images("custom", tmp_path / "tree", tmp_path / "data", **options) == tmp_path / "tree"
    assert files_of(tmp_path / "tree") == expected_of(rows)


def test_from_a_url(few, options, tmp_path):
    with served("archives", few, tmp_path) as server:
        export_images("custom", tmp_path / "tree", server.url, **options)
        assert files_of(tmp_path / "tree") == expected_of(load(server.url, image_bytes="archive", **options))


def test_lt(standins_all, tmp_path, capsys):
    """The validation images of lt are training images, and its test images the official validation images."""
    call = ["export", "lt", "--data-dir", str(standins_all), "--output-dir", str(tmp_path / "one")]
    assert cli.main([*call, "--classes", *WNIDS, "--tree", "imagenet"]) == 0
    lines = {split: list(list_lines("lt", split, "paths", classes=WNIDS)) for split in SPLITS["lt"]}
    images = {line.split()[0] for of_split in lines.values() for line in of_split}
    written = {path: content.decode() for path, content in files_of(tmp_path / "one").items() if path not in images}
    assert written == {f"lists/{split}.txt": "\n".join([*of_split, ""]) for split, of_split in lines.items()}
    assert images <= files_of(tmp_path / "one").keys()
    assert capsys.readouterr().out == f"{tmp_path}/one: {len(images)} images, with lists in {tmp_path}/one/lists\n"
    tree = export_images("lt", tmp_path / "tree", standins_all, classes=WNIDS)
    folders = {path.relative_to(tree).as_posix() for path in tree.glob("*/n*")}
    assert folders == {f"{split}/{wnid}" for split in ("train", "val", "test") for wnid in WNIDS}
    assert len(list(tree.glob("test/*/ILSVRC2012_val_*.JPEG"))) == 150


def test_the_bytes_of_the_benchmark(few, options, tmp_path):
    """Of an image that is no JPEG."""
    file, (name, *_) = io.BytesIO(), few
    PIL.Image.new("RGB", (8, 8)).save(file, "PNG")
    official_tars(few | {name: file.getvalue()}, tmp_path / "data")
    tree = export_images("custom", tmp_path / "tree", tmp_path / "data", image_bytes="benchmark", **options)
    assert files_of(tree) == expected_of(load(tmp_path / "data", cache_dir=tmp_path / "cache", **options))
    assert (tree / "train" / name[:9] / name).read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_links(link, few, source, options, tmp_path):
    for _ in range(2):
        tree = export_images("custom", tmp_path / "tree", source, link=link, **options)
    images = list(tree.glob("*/n*/*"))
    assert len(images) == len(few)
    assert all(os.path.samefile(image, source / image.relative_to(tree)) for image in images)
    assert {image.is_symlink() for image in images} == {link == "symbolic"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"link": "hard"}, "link='hard' needs extracted images, which .*ILSVRC2012_img_train.tar is not"),
        ({"link": "soft"}, r"link='soft' is not known; choose one of \[None, 'hard', 'symbolic'\]"),
        ({"link": "hard", "image_bytes": "benchmark"}, "leave out link or image_bytes"),
        ({"splits": ["test"]}, "test images have no class"),
        (
            {"classes": None, "splits": ["train"]},
            r"train has no image of 997 of 1,000 classes, .*: n01443537, .* and 977 more. Pass classes",
        ),
        ({"validation_list": ["ILSVRC2012_val_00000293.JPEG"]}, "validation has no image of 2 of 3 classes"),
    ],
)
def test_errors_before_anything_is_written(changed, message, few, options, tmp_path):
    official_tars(few, tmp_path / "data")
    with pytest.raises(ValueError, match=message):
        export_images("custom", tmp_path / "tree", tmp_path / "data", **options | changed)
    assert not (tmp_path / "tree").exists()


def test_into_the_source(source, options):
    for folder in (source, source / "train" / "new"):
        with pytest.raises(FileExistsError, match="is, or is in, the folder that the images are read from"):
            export_images("custom", folder, source, **options)


def test_resume(source, options, tmp_path):
    """Complete files are kept, leftovers of a kill deleted, other files named."""
    tree = export_images("custom", tmp_path / "tree", source, **options)
    complete = files_of(tree)
    kept, missing, *_ = sorted(tree.glob("train/*/*"))
    before = kept.stat()
    missing.rename(f"{missing}.tmp")
    (tree / "lists" / "train.txt").unlink()
    export_images("custom", tree, source, **options)
    assert files_of(tree) == complete and kept.stat() == before
    others = [tree / "train" / "extra" / "a.txt", kept.with_name("other.jpg")]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.touch()
    shown = f"train/extra, train/{kept.parent.name}/other.jpg"
    with pytest.warns(UserWarning, match=f"2 folders or images .* kept, but ImageFolder would read them: {shown}"):
        export_images("custom", tree, source, **options)
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("link", [None, "hard"])
def test_files_with_other_bytes(link, few, source, options, tmp_path):
    first, *_ = few
    image, tree = f"train/{first[:9]}/{first}", tmp_path / "tree"
    for name in (image, "lists/train.txt"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"holds 2 files with other content .*: lists/train.txt, {image}"):
        export_images("custom", tree, source, link=link, **options)
    assert files_of(tree) == {image: b"mine", "lists/train.txt": b"mine"}
    (tree / image).unlink()
    (tree / image).symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="holds 2 files with other content"):
        export_images("custom", tree, source, link=link, **options)


def test_disks(source, options, small_disk, read_only, tmp_path, monkeypatch):
    """Too small; full in spite of what it says; and read-only."""
    disk = small_disk("40k")
    with pytest.raises(OSError, match=r"the images of custom need .* are free"):
        export_images("custom", disk / "tree", source, **options)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40))
    with pytest.raises(OSError, match=f"No space left on device.*{disk}/tree/"):
        export_images("custom", disk / "tree", source, **options)
    assert not list(disk.rglob("*.tmp"))
    (tmp_path / "read-only").mkdir()
    read_only(tmp_path / "read-only")
    with pytest.raises(OSError, match=f"{tmp_path}/read-only/tree"):
        export_images("custom", tmp_path / "read-only" / "tree", source, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted(number, standins_1pct, tmp_path):
    options = {"classes": "imagenet_r", "splits": ["train"]}
    call = ["export", "1pct", "--data-dir", standins_1pct, "--output-dir", tmp_path / "tree"]
    call = command("faults", "command", *call, "--classes", "imagenet_r", "--splits", "train")
    process = subprocess.Popen(call, env=environment(DELAY="0.002"), stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not any((tmp_path / "tree").glob("train/*/*.JPEG")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    sent = time.monotonic()
    assert process.wait() == (130 if number == signal.SIGINT else -number)
    assert time.monotonic() - sent < 20  # below two, on a machine that has nothing else to do
    written = {path.name for path in (tmp_path / "tree").glob("train/*/*.JPEG")}
    names = set(list_lines("1pct", classes="imagenet_r"))
    assert set() < written < names and not list((tmp_path / "tree").glob("lists/*"))
    if number == signal.SIGINT:
        assert process.stderr.read() == b"" and not list((tmp_path / "tree").rglob("*.tmp"))
        return
    export_images("1pct", tmp_path / "tree", standins_1pct, **options)
    assert {path.name for path in (tmp_path / "tree").glob("train/*/*")} == names
