"""Each message that docs/troubleshooting.md explains is really raised."""

import gzip
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings

import datasets
import huggingface_hub
import pytest
from helpers.pages import PAGES
from helpers.programs import command
from helpers.remote import files_of
from makers.layouts import KAGGLE_TAR_GZ
from makers.server import running_server

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.facts import TRAIN_ARCHIVE as TRAIN
from imagenet_reader.facts import VALIDATION_ARCHIVE as VALIDATION
from imagenet_reader.io import remote
from imagenet_subsets_tools.indexes import index_archives
from imagenet_subsets_tools.parquet import build_parquet

VERSION = tuple(int(part) for part in datasets.__version__.split(".")[:2])
IMAGE = "n01440764_10043.JPEG"


def load(data_dir, config="1pct", **options):
    return next(iter(imagenet_subsets.load_dataset(config, data_dir=data_dir, streaming=True, **options).values()))


def write(path, content=b"an image"):
    """Write a new file; never change one that is linked to the stand-ins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def content_of(path):
    return bytearray(path.read_bytes())


def no_folder(data_dir):
    load(None)


def empty(data_dir):
    (data_dir / "empty").mkdir()
    load(data_dir / "empty")


def no_such_folder(data_dir):
    load(data_dir / "nowhere")


def too_high(data_dir):
    load(data_dir.parent)


def class_folder(data_dir):
    write(data_dir / "train" / "n01440764" / IMAGE)
    load(data_dir / "train" / "n01440764", splits=["train"])


def built(data_dir):
    build_parquet(data_dir / "hub", data_dir, configs=["1pct"], splits=["train"], num_proc=1)
    load(data_dir / "hub")


def images_deeper(data_dir):
    write(data_dir / "val" / "all" / "ILSVRC2012_val_00000001.JPEG")
    (data_dir / VALIDATION).unlink()
    load(data_dir)


def images_spread(data_dir):
    for label in range(2):
        write(data_dir / "val" / f"{label}" / f"ILSVRC2012_val_0000000{label}.JPEG")
    (data_dir / VALIDATION).unlink()
    load(data_dir)


def other_archive(data_dir):
    (data_dir / VALIDATION).unlink()
    with tarfile.open(data_dir / "other.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("ILSVRC2012_val_00000001.JPEG"))
    load(data_dir)


def broken_link(data_dir):
    (data_dir / TRAIN).unlink()
    (data_dir / TRAIN).symlink_to("/nowhere")
    load(data_dir)


def other_name(data_dir):
    (data_dir / TRAIN).rename(data_dir / "train.tar")
    load(data_dir)


def not_a_folder(data_dir):
    load(data_dir / TRAIN)


def web_page(data_dir):
    write(data_dir / TRAIN, b"<!DOCTYPE html>" + bytes(1000))
    load(data_dir)


def gzipped(data_dir):
    write(data_dir / VALIDATION, b"\x1f\x8b" + bytes(1000))
    load(data_dir)


def swapped(data_dir):
    (data_dir / TRAIN).rename(data_dir / "other")
    (data_dir / VALIDATION).rename(data_dir / TRAIN)
    (data_dir / "other").rename(data_dir / VALIDATION)
    load(data_dir)


def cut_off(data_dir):
    write(data_dir / TRAIN, content_of(data_dir / TRAIN)[:1_000_000])
    load(data_dir)


def no_tar(data_dir):
    write(data_dir / TRAIN, b"These are not the images you are looking for. " * 100)
    load(data_dir)


def images_absent(data_dir):
    with tarfile.open(data_dir / VALIDATION) as old:
        write(data_dir / VALIDATION, content_of(data_dir / VALIDATION)[: old.getmembers()[40_000].offset])
    load(data_dir)


def not_all_images(data_dir):
    load(data_dir, "full")


def class_folder_absent(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / IMAGE)
    load(data_dir)


def class_tar_absent(data_dir):
    with tarfile.open(data_dir / TRAIN) as outer:
        content = outer.extractfile("n01440764.tar").read()
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764.tar", content)
    load(data_dir)


def load_one(data_dir, name=IMAGE, split="train", **options):
    lists = {}
    for kind, image in {"train": IMAGE, split: name}.items():
        lists[f"{kind}_list"] = str(data_dir / f"{kind}.txt")
        write(data_dir / f"{kind}.txt", image.encode())
    next(iter(load(data_dir, "custom", splits=[split], **lists)))


def renamed(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / IMAGE.replace("JPEG", "jpg"))
    load_one(data_dir)


def too_deep(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / "images" / IMAGE)
    load_one(data_dir)


def wrong_class(data_dir):
    (data_dir / VALIDATION).unlink()
    name = "ILSVRC2012_val_00000001.JPEG"  # of n01751748
    write(data_dir / "val" / "n01440764" / name)
    (data_dir / "val" / "n01751748").mkdir()
    load_one(data_dir, name, "validation")


def empty_file(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / IMAGE, b"")
    load_one(data_dir)


def broken_links(data_dir):
    (data_dir / TRAIN).unlink()
    (data_dir / "train" / "n01440764").mkdir(parents=True)
    (data_dir / "train" / "n01440764" / IMAGE).symlink_to("/nowhere")
    load_one(data_dir)


def no_image(data_dir):
    load_one(data_dir, "n00000000_1.JPEG")


def damaged(data_dir):
    content = content_of(data_dir / VALIDATION)
    content[512:600] = bytes(88)
    write(data_dir / VALIDATION, content)
    next(iter(load(data_dir, splits=["validation"])))


def disk_too_small(data_dir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 1 << 40, 0))
        patch.setattr("imagenet_reader.files.format_bytes", lambda size: "0.0 GB")  # stand-ins have few bytes
        imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=str(data_dir / "cache"))


def out_of_memory(data_dir):
    parent, read = os.getpid(), os.preadv

    def killed(*arguments):
        if os.getpid() != parent:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return read(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "preadv", killed)
        imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=str(data_dir / "cache"), num_proc=2)


def with_warnings_as_errors(act):
    """Call ``act``; raise the first warning of this project as an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        try:
            act()
        except UserWarning as warning:
            raise RuntimeError(str(warning)) from warning


def no_home(data_dir, act=load):
    write(data_dir / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HOME", str(data_dir / "home"))
        with_warnings_as_errors(lambda: act(data_dir))


def no_home_for_a_tar_gz(data_dir):
    (data_dir / VALIDATION).unlink()
    write(data_dir / KAGGLE_TAR_GZ, gzip.compress(bytes(10_240)))
    no_home(data_dir, lambda data_dir: load(data_dir, splits=["validation"]))


def remote(act):
    """``act(server, data_dir)``, while a server has the archives of ``data_dir`` and the index of the first."""

    def at_a_server(data_dir):
        (index,) = index_archives([str(data_dir / TRAIN)], data_dir / f"{TRAIN}.index")
        with running_server(files=files_of(data_dir)) as server, pytest.MonkeyPatch.context() as patch:
            patch.setattr(huggingface_hub.constants, "HF_HOME", str(data_dir / "home"))
            patch.setattr(remote_files, "PAUSES", (0,) * 6)
            act(server, index.path)

    return at_a_server


def load_train(url, **options):
    load(url, splits=["train"], **options)


def without_index(server, _):
    with_warnings_as_errors(lambda: load(server.url, splits=["validation"]))


def index_of_another(server, _):
    server.files[TRAIN] += bytes(512)
    load_train(server.url)


def replaced(server, _):
    rows = imagenet_subsets.load_dataset("1pct", data_dir=server.url, splits=["train"], in_place=True)["train"]
    server.versions[TRAIN] = "2"
    rows[0]


def without_ranges(server, _):
    server.ranges = False
    load_train(server.url)


def failing(server, _):
    server.fail = lambda number: 503
    load_train(server.url)


def without_package(data_dir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "aiohttp", None)
        patch.setitem(sys.modules, "s3fs", None)
        with pytest.raises(ImportError, match=r"https://server/.* cannot be opened: .*pip install aiohttp"):
            load("https://server/imagenet")
        try:
            load("s3://bucket/imagenet")
        except ImportError as error:
            raise RuntimeError(str(error)) from error


def secret_url(data_dir):
    load("https://user:password@server/imagenet")


def unpublished(data_dir):
    shutil.copytree(lists.SPLIT_FILES, data_dir / "split_files")
    shutil.copy(data_dir / "split_files" / "10pct.parquet", data_dir / "split_files" / "1pct.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "SPLIT_FILES", data_dir / "split_files")
        load(data_dir)


def in_place(data_dir):
    """An in-place dataset whose archive is then changed."""
    options = {"data_dir": data_dir, "splits": ["validation"], "cache_dir": str(data_dir / "cache")}
    return imagenet_subsets.load_dataset("1pct", in_place=True, **options)["validation"]


def moved_away(data_dir):
    rows = in_place(data_dir)
    (data_dir / VALIDATION).rename(data_dir / "elsewhere.tar")
    rows[0]


def rewritten(data_dir):
    rows = in_place(data_dir)
    write(data_dir / VALIDATION, content_of(data_dir / VALIDATION))
    rows[0]


def streamed_in_place(data_dir):
    load(data_dir, in_place=True)


def script_alone(data_dir):
    """The script alone in a folder, where the package cannot be imported."""
    script = data_dir / "imagenet_subsets.py"
    shutil.copy(imagenet_subsets.__file__, script)
    result = subprocess.run(command("script_alone", script), cwd=data_dir, capture_output=True, text=True)
    raise RuntimeError(result.stderr)


def cache_read_only(data_dir, read_only):
    (data_dir / "cache").mkdir()
    read_only(data_dir / "cache")
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=str(data_dir / "cache"))


def unknown_option(data_dir):
    load(data_dir, on_missing="ignore")


def unknown_key(data_dir):
    load(data_dir, label_name="words")


def unknown_split(data_dir):
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, splits=["train"], split="val")


def unknown_config(data_dir):
    load(data_dir, "5pct")


def script_too_new(data_dir):
    if VERSION < (4, 0):
        pytest.skip("datasets before 4 runs scripts")
    datasets.load_dataset(imagenet_subsets.__file__, data_dir=str(data_dir))


def script_asks(data_dir):
    if not (2, 20) <= VERSION < (4, 0):
        pytest.skip("datasets before 2.20 does not ask, and from 4 on runs no scripts")
    # A separate process, since datasets sets an alarm and keeps it; and a separate home, since datasets asks only once.
    home = {**os.environ, "HF_HOME": str(data_dir / "home")}
    call = command("script_asks", imagenet_subsets.__file__, data_dir)
    result = subprocess.run(call, env=home, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    raise RuntimeError(result.stderr)


MESSAGES = {  # of the page's table, and what gets each
    "data_dir is missing": no_folder,
    "... has no ... images in a known form (it holds: ...)": empty,
    "... there is no such folder": no_such_folder,
    "... has such images: pass data_dir=...": too_high,
    "... is the folder of one class": class_folder,
    "... is a dataset that is already built": built,
    "... has such images: move what is in it to ...": images_deeper,
    "... hold such images: move what is in these folders directly into ...": images_spread,
    "... begins like that archive, but has ... of its ... members": other_archive,
    "... looks like that archive; rename it to ...": other_name,
    "... is a broken link, to ...": broken_link,
    "... is a file: pass the folder that it is in": not_a_folder,
    "... is a web page": web_page,
    "... is gzip data": gzipped,
    "... begins with the member ...: found ...; expected ...": swapped,
    "... the archive is cut off or damaged": cut_off,
    "... found no tar header": no_tar,
    "... images that ... lists for ... are missing or empty": images_absent,
    "... has ... training images for ...; ILSVRC 2012 has ...": not_all_images,
    "... class folders are missing": class_folder_absent,
    "... class tars are missing": class_tar_absent,
    "... rename the files, so that they end in .JPEG": renamed,
    "... There is a folder ...: move what is in such folders one level up": too_deep,
    "... of them are empty files": empty_file,
    "... of them are broken links": broken_links,
    "... of them are in the folder of a wrong class": wrong_class,
    "... Lines that name no training or validation image": no_image,
    "... is damaged (...)": damaged,
    "... GB are free (to write none of them, pass in_place=True; ...)": disk_too_small,
    "A process that prepared the dataset was killed by ...": out_of_memory,
    "...: '....lock'": cache_read_only,
    "The indexes of archives cannot be kept in ...": no_home,
    "... are kept in a folder below HF_HOME, which cannot be written": no_home_for_a_tar_gz,
    "... has no index: ... are read once": remote(without_index),
    "... is the index of files with ...": remote(index_of_another),
    "... has changed since it was indexed": remote(replaced),
    "... the server ignores ranges": remote(without_ranges),
    "reading ... failed after 7 tries": remote(failing),
    "... cannot be opened: ... pip install s3fs": without_package,
    "data_dir=... has a user name, a password or a query": secret_url,
    "... is not the published list": unpublished,
    "... is not known; choose one of ...": unknown_option,
    "... doesn't have a '...' key": unknown_key,
    'Unknown split "..."': unknown_split,
    "BuilderConfig ... not found. Available: ...": unknown_config,
    "... no longer exists": moved_away,
    "... has changed since this in-place dataset was built": rewritten,
    "in_place=True cannot be combined with streaming=True": streamed_in_place,
    "This script needs the package that it is a part of": script_alone,
    "Dataset scripts are no longer supported": script_too_new,
    "... contains custom code which must be executed ...": script_asks,
}


def test_messages_in_the_table_are_tested():
    table = re.findall(r"^\| `(.+?)` \| .+ \|$", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    assert table == list(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_raised(message, data_dir, request):
    pattern = ".*".join(map(re.escape, message.split("...")))
    needs_it = "read_only" in inspect.signature(MESSAGES[message]).parameters
    arguments = [request.getfixturevalue("read_only")] if needs_it else []
    with pytest.raises((ValueError, OSError, RuntimeError), match=re.compile(pattern, re.DOTALL)):
        MESSAGES[message](data_dir, *arguments)
