"""Every layout that ImageNet lies in gives the rows of the official archives, and never old ones; what is almost a
layout, or damaged, gets an error that says where and why.
"""

import contextlib
import gzip
import itertools
import multiprocessing
import os
import re
import shutil
import signal
import tarfile
import time
import warnings
import zipfile

import datasets
import huggingface_hub
import pytest
from datasets.exceptions import DatasetGenerationError
from layouts import (
    DATA,
    KAGGLE_TAR_GZ,
    KAGGLE_ZIP,
    VALIDATION,
    WNIDS,
    class_tars,
    cut,
    extracted,
    flip,
    kaggle_tar_gz,
    kaggle_tree,
    kaggle_zip,
    label_of,
    lock,
    marked,
    official_tars,
    patched_test_tar,
    train_images,
    unlabelled_images,
    validation_images,
    zip_data,
)
from test_load import published_rows

import imagenet_subsets
from imagenet_subsets import ArchiveError
from imagenet_subsets_tools import check
from imagenet_subsets_tools.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end")
VERSION = tuple(int(part) for part in datasets.__version__.split(".")[:2])
TENCH = "n01440764"
TRAIN_LAYOUTS = {
    "class tars": class_tars,
    "class tars in a folder of the archive's name": lambda images, to: class_tars(images, to, "ILSVRC2012_img_train"),
    "class tars in data_dir": lambda images, to: class_tars(images, to, "."),
    "extracted": extracted,
    "kaggle zip": kaggle_zip,
    "kaggle zip, deflated": lambda images, to: kaggle_zip(images, to, deflated=True),
    "kaggle zip, streamed": lambda images, to: kaggle_zip(images, to, streamed=True),
    "kaggle tar.gz": kaggle_tar_gz,
}
TOLD = {  # layout: (where, in words)
    "class tars": ("train", "class tars"),
    "extracted": ("train", "extracted"),
    "kaggle zip": (KAGGLE_ZIP, "zip"),
    "kaggle tar.gz": (KAGGLE_TAR_GZ, "tar.gz"),
}
WHOLE_LAYOUTS = {
    "extracted": extracted,
    "extracted by class": lambda images, to: extracted(images, to, by_class=True),
    "kaggle tree": kaggle_tree,
    "kaggle zip": kaggle_zip,
    "kaggle zip, deflated": TRAIN_LAYOUTS["kaggle zip, deflated"],
    "kaggle zip beyond 4 GiB": lambda images, to: kaggle_zip(images, to, start=5 << 30),
    "kaggle tar.gz": kaggle_tar_gz,
}


@pytest.fixture(scope="module")
def train(standins_1pct):
    """{name: bytes} of all training images of the stand-in."""
    return train_images(standins_1pct)


@pytest.fixture(scope="module")
def tar_rows(standins_1pct, tmp_path_factory):
    """The table of 1pct train as the official archive gives it."""
    cache = tmp_path_factory.mktemp("tar")
    return load(standins_1pct, "1pct", cache, splits=["train"])["train"].with_format("arrow")[:]


@pytest.fixture(scope="module")
def small(train, standins_1pct):
    """Training images of seven classes, and 150 of validation."""
    images = {name: content for name, content in train.items() if label_of(name) % 150 == 0}
    return images | dict(itertools.islice(validation_images(standins_1pct).items(), 150))


@pytest.fixture
def lists(small, tmp_path):
    """The options for a dataset of the small images."""
    names = {"train": [], "validation": []}
    for name in small:
        names["validation" if name.startswith(VALIDATION) else "train"].append(name)
    for split, of_split in names.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(of_split))
    return {f"{split}_list": str(tmp_path / f"{split}.txt") for split in names}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """``kept()`` -> what is kept of archives in an HF_HOME of the test's own: file names, but those of locks."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "home"))
    return lambda: sorted(path.name for path in tmp_path.glob("home/*/*") if path.suffix != ".lock")


@pytest.fixture
def at_member(monkeypatch):
    """``at_member(number, act)``: call ``act()`` before that one of the images of a tar.gz is copied."""

    def at_member(number, act):
        addfile, numbers = tarfile.TarFile.addfile, itertools.count()

        def acting(*args, **options):
            if next(numbers) == number:
                act()
            return addfile(*args, **options)

        monkeypatch.setattr(tarfile.TarFile, "addfile", acting)

    return at_member


def load(data_dir, name="custom", cache_dir=None, **options):
    if cache_dir is not None:
        options["cache_dir"] = str(cache_dir)
    return imagenet_subsets.load_dataset(name, data_dir=data_dir, **options)


def stream(data_dir, name="custom", **options):
    streams = load(data_dir, name, streaming=True, **options)
    return {split: rows.cast_column("image", datasets.Image(decode=False)) for split, rows in streams.items()}


def contents(rows):
    """{file name: bytes} of a dataset or a stream."""
    if isinstance(rows, datasets.Dataset):
        table = rows.with_format("arrow")[:]
        return dict(zip(table["file_name"].to_pylist(), (image["bytes"] for image in table["image"].to_pylist())))
    batches = rows.iter(batch_size=100)
    return {name: image["bytes"] for batch in batches for name, image in zip(batch["file_name"], batch["image"])}


def message_of(data_dir, name="1pct", kind=(ValueError, FileNotFoundError), **options):
    """The error of making a dataset, before any image is read."""
    with pytest.raises(kind) as raised:
        load(data_dir, name, streaming=True, **options)
    return str(raised.value)


def message_of_reading(data_dir, **options):
    """The error of making or reading a dataset, whichever comes; the same for a stream and a preparation."""

    def streaming():
        for rows in stream(data_dir, **options).values():
            contents(rows)

    messages = []
    for read in (streaming, lambda: load(data_dir, **options)):
        with pytest.raises((ValueError, DatasetGenerationError)) as raised:
            read()
        error = raised.value
        messages.append(str(error.__cause__ if isinstance(error, DatasetGenerationError) else error))
    assert messages[0] == messages[1]
    return messages[0]


# -------------------------------------------------------------------------------- the same rows


def assert_a_missing_class_is_told(layout, train, tmp_path, capsys):
    """By the loader and by ``check``, once the layout in ``tmp_path / "data"`` lacks a class."""
    data_dir, (place, words) = tmp_path / "data", TOLD[layout]
    if layout == "extracted":
        shutil.rmtree(data_dir / "train" / TENCH)
    elif layout == "class tars":
        (data_dir / "train" / f"{TENCH}.tar").unlink()
    else:
        TRAIN_LAYOUTS[layout]({name: train[name] for name in train if not name.startswith(TENCH)}, data_dir)
    lost = [name for name, label in published_rows("1pct", "train") if label == 0]
    message = message_of(data_dir, splits=["train"], kind=ArchiveError).replace(str(tmp_path), "")
    assert place in message
    assert re.search(rf"\b{len(lost)}\b", message)
    assert any(name in message for name in lost)
    if "kaggle" not in layout:  # it is a tar or a folder that is missing
        assert re.search(rf"{TENCH}(?!_)", message)
        with pytest.warns(UserWarning, match=f"left out: {len(lost)} of 12,811 in train"):
            rows = load(data_dir, "1pct", tmp_path / "less", splits=["train"], on_missing="skip")["train"]
        assert rows["file_name"][:] == [name for name, label in published_rows("1pct", "train") if label != 0]

    assert main(["check", str(data_dir)]) == 1
    told = capsys.readouterr().out.replace(str(tmp_path), "")
    assert place in told and words in told.lower()
    if layout == "kaggle tar.gz":  # which check does not read through
        assert re.search(r"1pct +train +- ", told) and "unpack" in told.lower()
    else:
        assert re.search(rf"1pct +train +{12_811 - len(lost):,} of 12,811 +1 .*{len(lost)} absent", told)
    assert re.search(r"1pct +validation +(-|0 of 50,000) ", told)
    assert check.check_archives(data_dir)["ok"] is False


@pytest.mark.parametrize("layout", TRAIN_LAYOUTS)
def test_train_rows_are_those_of_the_tar(layout, train, tar_rows, tmp_path, capsys):
    data_dir = tmp_path / "data"
    TRAIN_LAYOUTS[layout](train, data_dir)
    costs = pytest.warns(UserWarning, match=r"tar\.gz") if layout == "kaggle tar.gz" else contextlib.nullcontext()
    with costs:
        loaded = load(data_dir, "1pct", tmp_path / "cache", splits=["train"], num_proc=2)
    assert list(loaded) == ["train"]
    assert loaded["train"].with_format("arrow")[:].equals(tar_rows)

    options = {"splits": ["train"], "image_bytes": "archive"}
    rows = stream(data_dir, "1pct", **options)["train"]
    head = contents(rows.take(450))
    assert list(head.items()) == [(name, train[name]) for name in tar_rows["file_name"][:450].to_pylist()]
    if VERSION >= (2, 20):  # 2.19 has no state_dict
        names = []
        for row in itertools.islice(rows, 260):
            names.append(row["file_name"])
            if len(names) == 150:
                state = rows.state_dict()
        again = stream(data_dir, "1pct", **options)["train"]
        again.load_state_dict(state)
        rest = [(row["file_name"], row["image"]["bytes"]) for row in itertools.islice(again, 110)]
        assert rest == [(name, train[name]) for name in names[150:]]
        assert names[150:] == list(head)[150:260]
    if layout in TOLD:
        assert_a_missing_class_is_told(layout, train, tmp_path, capsys)


@pytest.mark.parametrize("layout", WHOLE_LAYOUTS)
def test_all_splits_of_each_layout(layout, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    WHOLE_LAYOUTS[layout](small | unlabelled_images(120), data_dir)
    lists["splits"] = ["train", "validation"]
    loaded = load(data_dir, cache_dir=tmp_path / "cache", image_bytes="archive", **lists)
    found = {split: contents(rows) for split, rows in loaded.items()}
    assert found["train"] | found["validation"] == small
    assert list(found["validation"]) == sorted(name for name in small if VALIDATION in name)
    for rows in loaded.values():
        assert rows["label"][:] == [label_of(name) for name in rows["file_name"][:]]
    lists["splits"] = ["test"]
    with pytest.warns(UserWarning, match="left out: 99,880 of 100,000 in test"):
        test = load(data_dir, cache_dir=tmp_path / "cache", on_missing="skip", **lists)["test"]
    assert list(contents(test).items()) == list(unlabelled_images(120).items())
    assert set(test["label"][:]) == {-1}


def test_mixtures_and_links_and_a_validation_set_by_class(small, lists, tmp_path):
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    validation = {name: content for name, content in small.items() if name.startswith(VALIDATION)}
    class_tars(small, data_dir)
    extracted(validation, elsewhere, by_class=True)
    (data_dir / "val").symlink_to(elsewhere / "val")
    patched_test_tar(unlabelled_images(50), data_dir)
    loaded = load(data_dir, cache_dir=tmp_path / "cache", image_bytes="archive", num_proc=2, **lists)
    assert list(loaded) == ["train", "validation"]
    assert contents(loaded["train"]) | contents(loaded["validation"]) == small
    with pytest.warns(UserWarning, match="99,950 of 100,000 in test"):
        test = stream(data_dir, "1pct", splits=["test"], on_missing="skip")["test"]
    assert contents(test) == unlabelled_images(50)

    # Three images stand with a class that they are not of; then a class is missing.
    val, names = elsewhere / "val", sorted(validation)
    one, other = WNIDS[label_of(names[0])], WNIDS[label_of(names[-1])]
    moved = {}  # name: (its place, a wrong one)
    for name in (names[0], names[70], names[-1]):
        wnid = WNIDS[label_of(name)]
        moved[name] = val / wnid / name, val / (one if wnid != one else other) / name
        os.rename(*moved[name])
    message = message_of(data_dir, "custom", **lists).replace(str(tmp_path), "")
    assert re.search(r"\b3\b", message)
    assert any(name in message and WNIDS[label_of(name)] in message for name in moved)
    for places in moved.values():
        os.rename(*reversed(places))
    lost = len(os.listdir(val / one))
    (val / one).rename(elsewhere / one)
    message = message_of(data_dir, "custom", **lists).replace(str(tmp_path), "")
    assert one in message and re.search(rf"\b{lost}\b", message) and names[0] in message


def test_a_whole_zip_of_kaggle(train, tar_rows, standins_1pct, tmp_path):
    everything = train | validation_images(standins_1pct)  # more members than 16 bits count
    kaggle_zip(everything, tmp_path / "data")
    loaded = load(tmp_path / "data", "1pct", tmp_path / "cache", num_proc=2)
    assert loaded["train"].with_format("arrow")[:].equals(tar_rows)
    validation = loaded["validation"]
    assert list(zip(validation["file_name"][:], validation["label"][:])) == published_rows("1pct", "validation")
    assert all(name.encode() in content for name, content in contents(validation).items())


def test_the_first_layout_wins(small, lists, tmp_path):
    data_dir = tmp_path / "data"
    layouts = {  # the last first
        "tar.gz": (kaggle_tar_gz, {"train", "validation"}),
        "zip": (kaggle_zip, {"train", "validation"}),
        "files": (extracted, {"train", "validation"}),
        "class tars": (class_tars, {"train"}),
        "official": (official_tars, {"train", "validation"}),
    }
    expected = {}
    for mark, (make, splits) in layouts.items():
        make({name: marked(name, content, mark) for name, content in small.items()}, data_dir)
        expected |= dict.fromkeys(splits, mark.encode())
        for split, rows in stream(data_dir, image_bytes="archive", **lists).items():
            assert {content[6 : 6 + len(expected[split])] for content in contents(rows).values()} == {expected[split]}


def test_a_tar_gz_is_streamed_once_for_what_a_config_needs(small, lists, tmp_path):
    data_dir, kept = tmp_path / "data", os.path.join(os.environ["HF_HOME"], "imagenet_subsets")
    kaggle_tar_gz(small, data_dir)
    before = set(os.listdir(kept)) if os.path.isdir(kept) else set()
    with pytest.warns(UserWarning, match=r"tar\.gz"):
        first = load(data_dir, cache_dir=tmp_path / "first", **lists)
    assert set(os.listdir(kept)) > before
    assert os.listdir(data_dir) == [KAGGLE_TAR_GZ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        second = load(data_dir, cache_dir=tmp_path / "second", label_names="words", **lists)
        contents(stream(data_dir, **lists)["train"])
    assert not [warning for warning in caught if "tar.gz" in str(warning.message)]
    for split in ("train", "validation"):
        assert contents(first[split]) == contents(second[split])

    names = [name for name in small if VALIDATION not in name]
    for wanted in (names[:5], names[3:9]):  # what was kept for others does not hold all of these, or too much
        (tmp_path / "some.txt").write_text("\n".join(wanted))
        rows = stream(data_dir, train_list=str(tmp_path / "some.txt"), splits=["train"], image_bytes="archive")["train"]
        assert contents(rows) == {name: small[name] for name in wanted}


def test_a_tar_gz_is_read_by_one_of_two_processes(small, lists, kept, at_member, tmp_path):
    data_dir, fork = tmp_path / "data", multiprocessing.get_context("fork")
    kaggle_tar_gz(small, data_dir)
    at_member(0, lambda: time.sleep(0.3))
    both, told = fork.Barrier(2, timeout=60), fork.Queue()

    def work(number):
        both.wait()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = load(data_dir, cache_dir=tmp_path / f"cache-{number}", image_bytes="archive", **lists)
        right = contents(rows["train"]) | contents(rows["validation"]) == small
        told.put((sum("beginning to end" in str(warning.message) for warning in caught), right))

    processes = [fork.Process(target=work, args=(number,), daemon=True) for number in range(2)]
    for process in processes:
        process.start()
    assert sorted(told.get(timeout=20) for _ in processes) == [(0, True), (1, True)]
    for process in processes:
        process.join()


def test_members_that_come_twice(small, lists, tmp_path):
    name = next(iter(small))
    later = marked(name, small[name], "later")
    for make in (kaggle_zip, kaggle_tar_gz):
        data_dir = tmp_path / make.__name__
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Duplicate name")  # of zipfile, which writes it
            make(small, data_dir, more={f"train/{name[:9]}/{name}": later})
        with pytest.warns(UserWarning, match="1 members twice; the later one counts"):
            rows = stream(data_dir, image_bytes="archive", **lists)["train"]
        given = [(row["file_name"], row["image"]["bytes"]) for row in rows]
        assert len(given) == len(dict(given)) and dict(given)[name] == later


@pytest.mark.parametrize("make", [extracted, kaggle_zip, kaggle_tar_gz])
def test_data_dirs_of_odd_names(make, small, lists, tmp_path):
    data_dir, link = tmp_path / "a [b] *" / "ü 図 {c}", tmp_path / "link"
    make(small, data_dir)
    link.symlink_to(data_dir)
    options = {"image_bytes": "archive", **lists}
    loaded = load(f"{data_dir}/", cache_dir=tmp_path / "a [b] cache", **options)
    for rows in (loaded, stream(str(data_dir), **options), stream(link, **options)):
        assert contents(rows["train"]) | contents(rows["validation"]) == small
    assert f"data_dir='{data_dir}" in message_of(data_dir.parent, splits=["train"])
    data_dir.rename(tmp_path / "a::b")
    assert "'::'" in message_of(tmp_path / "a::b", "custom", kind=ValueError, **lists)


# ----------------------------------------------------------------------------------- never stale


@pytest.mark.parametrize("layout", ["class tars", "extracted", "kaggle tree", "kaggle zip", "kaggle tar.gz"])
def test_what_changed_is_never_served_from_the_cache(layout, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    make = kaggle_tree if layout == "kaggle tree" else TRAIN_LAYOUTS[layout]
    options = {"cache_dir": tmp_path / "cache", "train_list": lists["train_list"], "splits": ["train"]}
    options["image_bytes"] = "archive"
    old = {name: content for name, content in small.items() if VALIDATION not in name}
    name = sorted(old)[len(old) // 2]
    new = old | {name: marked(name, old[name], "newer")}
    make(old, data_dir)
    assert contents(load(data_dir, **options)["train"]) == old
    assert contents(load(data_dir, **options)["train"]) == old

    extracted_path = {"extracted": f"train/{name[:9]}/{name}", "kaggle tree": f"{DATA}/train/{name[:9]}/{name}"}

    def change(images):
        if layout in extracted_path:  # in place, by as many bytes; no folder changes
            (data_dir / extracted_path[layout]).write_bytes(images[name])
        else:
            make(images, data_dir)

    change(new)
    assert contents(load(data_dir, **options)["train"]) == new
    if layout != "kaggle tar.gz":  # of which the wanted images were copied
        options.pop("cache_dir")
        rows = stream(data_dir, **options)["train"]
        change(old)
        with pytest.raises(ArchiveError, match="changed"):
            contents(rows)
        assert contents(stream(data_dir, **options)["train"]) == old


def test_a_tar_gz_that_is_replaced(small, lists, kept, at_member, tmp_path):
    data_dir, options = tmp_path / "data", {"image_bytes": "archive", **lists}
    new = {name: marked(name, content, "newer") for name, content in small.items()}
    kaggle_tar_gz(small, data_dir)
    kaggle_tar_gz(new, tmp_path / "new")
    at_member(5, lambda: os.replace(tmp_path / "new" / KAGGLE_TAR_GZ, data_dir / KAGGLE_TAR_GZ))  # while it is read
    assert "changed" in message_of(data_dir, "custom", kind=ArchiveError, **options)
    assert kept() == []
    tars = []
    for images in (new, small):
        if images is small:
            kaggle_tar_gz(small, data_dir)
        for _ in range(2):
            rows = stream(data_dir, **options)
            assert contents(rows["train"]) | contents(rows["validation"]) == images
        tars.append([name for name in kept() if name.endswith(".tar")])
    assert len(tars[0]) == len(tars[1]) == 1 and tars[0] != tars[1]  # what was kept of the older one is gone


def test_a_process_that_is_killed_while_it_reads_a_tar_gz(small, lists, kept, at_member, tmp_path):
    data_dir, options = tmp_path / "data", {"image_bytes": "archive", **lists}
    kaggle_tar_gz(small, data_dir)

    def killed():
        at_member(len(small) - 5, lambda: os.kill(os.getpid(), signal.SIGKILL))
        load(data_dir, cache_dir=tmp_path / "killed", **options)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [name.rpartition(".")[2] for name in kept()] == ["tmp"]
    rows = load(data_dir, cache_dir=tmp_path / "killed", **options)
    assert contents(rows["train"]) | contents(rows["validation"]) == small
    assert {name.rpartition(".")[2] for name in kept()} == {"tar", "index"}


# ----------------------------------------------------------------------- what is almost a layout


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG"])
def test_files_of_another_suffix(suffix, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    extracted(small, data_dir, suffix=suffix)
    for split in ("train", "validation"):
        message = message_of(data_dir, "custom", splits=[split], **lists)
        assert re.search(rf"{re.escape(suffix)}\b", message)
        assert "rename" in message.lower() and ".JPEG" in message


@pytest.mark.parametrize("make", [extracted, class_tars, official_tars, kaggle_tree, kaggle_zip, kaggle_tar_gz])
def test_one_folder_too_high(make, small, tmp_path):
    make(small, tmp_path / "data" / "x")
    message = message_of(tmp_path / "data", splits=["train"])
    assert re.search(rf"data_dir='{re.escape(str(tmp_path / 'data' / 'x'))}/?'", message)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("train/train/{wnid}", "train/train|data_dir='.*/train/?'"),
        ("train/{wnid}/{wnid}", r"train/(n\d{8}|<wnid>)/\1"),
        ("train/{wnid}/images", r"train/(n\d{8}|<wnid>)/images"),
    ],
)
def test_one_folder_too_many(form, told, small, lists, tmp_path):
    extracted(small, tmp_path / "data", train=form)
    message = message_of(tmp_path / "data", "custom", splits=["train"], **lists)
    assert re.search(told, message)


def test_a_training_image_in_the_folder_of_a_wrong_class(small, lists, tmp_path):
    extracted(small, tmp_path)
    name = next(name for name in small if name.startswith(WNIDS[150]))
    os.rename(tmp_path / "train" / WNIDS[150] / name, tmp_path / "train" / WNIDS[300] / name)
    message = message_of(tmp_path, "custom", kind=ArchiveError, **lists)
    assert re.search(rf"{name} is in {WNIDS[300]}\b.* {WNIDS[150]}\b", message)


def test_a_file_in_place_of_the_folder_of_a_class(small, lists, tmp_path, monkeypatch):
    extracted(small, tmp_path)
    shutil.rmtree(tmp_path / "train" / WNIDS[0])
    (tmp_path / "train" / WNIDS[0]).touch()
    assert re.search(rf"{WNIDS[0]}(?!_)", message_of(tmp_path, "custom", kind=ArchiveError, **lists))
    assert re.search(rf"{WNIDS[0]}(?!_)", message_of(tmp_path, "full", kind=ArchiveError, splits=["train"]))
    with pytest.warns(UserWarning, match="left out"):
        rows = stream(tmp_path, on_missing="skip", image_bytes="archive", **lists)
    assert contents(rows["train"]) | contents(rows["validation"]) == {
        name: content for name, content in small.items() if not name.startswith(WNIDS[0])
    }


@pytest.mark.parametrize("stray", [".DS_Store", "Thumbs.db", "._x"])
def test_a_class_folder_of_validation_with_a_stray_file_alone(stray, small, lists, tmp_path):
    wanted = [name for name in small if VALIDATION in name and label_of(name)]
    extracted(
        {name: small[name] for name in wanted}, tmp_path / "data", by_class=True, more={f"val/{TENCH}/{stray}": b"x"}
    )
    (tmp_path / "few.txt").write_text("\n".join(wanted))
    lists["validation_list"] = str(tmp_path / "few.txt")
    rows = stream(tmp_path / "data", splits=["validation"], image_bytes="archive", **lists)["validation"]
    assert contents(rows) == {name: small[name] for name in wanted}


def test_nothing_is_found(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "pictures").mkdir()
    for folder, found in ((tmp_path, ["notes.txt", "pictures"]), (tmp_path / "pictures", [])):
        message = message_of(folder, kind=FileNotFoundError)
        known = ["ILSVRC2012_img_train.tar", "n01440764.tar", "train/", KAGGLE_ZIP, KAGGLE_TAR_GZ]
        assert [part for part in [str(folder), *found, *known] if part not in message] == []


def test_only_what_the_splits_need_has_to_be_there(small, lists, tmp_path):
    data_dir = tmp_path / "data"
    extracted({name: content for name, content in small.items() if VALIDATION not in name}, data_dir)
    assert list(stream(data_dir, splits=["train"], **lists)) == ["train"]
    message = message_of(data_dir, "custom", **lists)
    assert "ILSVRC2012_img_val.tar" in message and "splits=[" in message


# ---------------------------------------------------------------------------------------- damage


def test_files_that_are_empty_or_cut_off(small, lists, tmp_path):
    data_dir = tmp_path / "data"
    extracted(small, data_dir)
    options = {"train_list": lists["train_list"], "splits": ["train"]}
    rows = [name for name in small if VALIDATION not in name]
    empty, half = rows[3], rows[-3]
    path = data_dir / "train" / half[:9] / half
    cut(path, 0.5)
    message = message_of_reading(data_dir, cache_dir=tmp_path / "half", **options)
    assert half in message and str(path.parent) in message and "damaged" in message
    (data_dir / "train" / empty[:9] / empty).write_bytes(b"")
    message = message_of_reading(data_dir, cache_dir=tmp_path / "empty", **options)
    assert empty in message and "empty" in message
    with pytest.warns(UserWarning, match=f"left out: 2 of {len(rows)} in train"):
        kept = load(data_dir, cache_dir=tmp_path / "skip", on_missing="skip", **options)["train"]
    assert set(kept["file_name"][:]) == set(rows) - {empty, half}


@pytest.mark.parametrize("on_missing", ["error", "skip"])
def test_a_file_that_is_read_in_part(on_missing, small, lists, tmp_path, monkeypatch):
    extracted(small, tmp_path / "data")
    options = {"train_list": lists["train_list"], "splits": ["train"], "on_missing": on_missing}
    stream(tmp_path / "data", **options)  # at the first, datasets gives the script its own copy of the module os
    preadv, name = os.preadv, next(iter(small))
    status = os.stat(tmp_path / "data" / "train" / name[:9] / name)

    def short(fd, buffers, position):  # as network storage may
        part = os.path.samestat(os.fstat(fd), status)
        return preadv(fd, [buffers[0][:-9]] if part else buffers, position)

    monkeypatch.setattr(os, "preadv", short)
    message = message_of_reading(tmp_path / "data", cache_dir=tmp_path / "cache", **options)
    size = len(small[name])
    assert name in message and f"{size - 9:,} of its {size:,} bytes" in message


@pytest.mark.parametrize("form", ["bzip2", "lzma", "locked"])
def test_a_zip_that_is_packed_in_another_way(form, small, lists, tmp_path):
    method = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(form, zipfile.ZIP_STORED)
    kaggle_zip(small, tmp_path, method=method)
    if form == "locked":
        name = next(iter(small))
        lock(tmp_path / KAGGLE_ZIP, f"{DATA}/train/{name[:9]}/{name}")
    for on_missing in ("error", "skip"):  # once, and not of each image
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            message = message_of(tmp_path, "custom", kind=ArchiveError, on_missing=on_missing, **lists)
        assert str(tmp_path / KAGGLE_ZIP) in message and "locked" in message


@pytest.mark.parametrize("form", [{}, {"deflated": True}, {"streamed": True}], ids=str)
def test_a_damaged_zip(form, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    path = data_dir / KAGGLE_ZIP
    name = next(name for name in small if name.startswith(WNIDS[150]))
    kaggle_zip(small, data_dir, **form)
    start, size = zip_data(path, f"{DATA}/train/{name[:9]}/{name}")
    flip(path, start + (size // 2 if "deflated" in form else 10))  # 10: in the comment, so that the JPEG decodes
    message = message_of_reading(data_dir, cache_dir=tmp_path / "cache", **lists)
    assert str(path) in message and name in message

    kaggle_zip(small, data_dir, **form)
    assert contents(stream(data_dir, **lists)["train"])
    cut(path, 0.7)
    assert str(path) in message_of(data_dir, "custom", kind=ArchiveError, **lists)


@pytest.mark.parametrize("damage", ["cut off", "not gzip", "another byte"])
def test_a_damaged_tar_gz(damage, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    path = data_dir / KAGGLE_TAR_GZ
    kaggle_tar_gz(small, data_dir)
    if damage == "cut off":
        cut(path, 0.6)
    elif damage == "another byte":  # in the comment of an image, so that the JPEG decodes
        content = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0)
        path.write_bytes(content)
        flip(path, content.rindex(next(iter(small)).encode()))
    else:
        path.write_bytes(b"<!DOCTYPE html><html><title>Log in</title>" + b" " * 1000)
    for _ in range(2):  # what was kept before the damage was met is not taken for whole
        assert str(path) in message_of(data_dir, "custom", kind=ArchiveError, **lists)
    kaggle_tar_gz(small, data_dir)
    rows = stream(data_dir, image_bytes="archive", **lists)
    assert contents(rows["train"]) | contents(rows["validation"]) == small


# ----------------------------------------------------------------------------------------- check


def test_check_passes_where_every_config_can_be_given(standins_all, tmp_path, capsys):
    class_tars(train_images(standins_all), tmp_path)
    (tmp_path / "ILSVRC2012_img_val.tar").symlink_to(standins_all / "ILSVRC2012_img_val.tar")
    assert main(["check", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f'imagenet_subsets.load_dataset("1pct", data_dir="{tmp_path}")' in told
    assert re.search(r"lt +train +115,846 of 115,846", told)


def test_check_of_files_without_an_archive(small, tmp_path, capsys):
    name = [name for name in small if VALIDATION in name][70]
    class_tars(small, tmp_path)
    extracted({name: content for name, content in small.items() if VALIDATION in name}, tmp_path)
    cut(tmp_path / "val" / name, 0.5)
    report = check.check_archives(tmp_path, full=True, decode=True, num_proc=1)
    told = check.format_report(report)
    count = len(small) - 150
    assert re.search(rf"^train +- +- +{count} +7 +- +ok$", told, re.MULTILINE)
    assert re.search(r"^val +- +- +150 +- +- +ok$", told, re.MULTILINE)
    assert f"{tmp_path / 'val' / name} is damaged" in told
    [damaged] = [image for archive in report["archives"] for image in archive["damaged"]]
    assert (damaged["name"], damaged["offset"]) == (name, None)
