"""Changed files of a layout never give old rows."""

import multiprocessing
import os
import signal

import pytest
from helpers.layout_rows import TRAIN_LAYOUTS, contents, load, message_of, stream
from makers.layouts import (
    DATA,
    KAGGLE_TAR_GZ,
    VALIDATION,
    kaggle_tar_gz,
    kaggle_tree,
    marked,
)

from imagenet_subsets import ArchiveError

pytestmark = [
    pytest.mark.oldest_and_newest,
    pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end"),
]


@pytest.mark.parametrize("layout", ["class tars", "extracted", "kaggle tree", "kaggle zip", "kaggle tar.gz"])
def test_changed_files_are_never_read_from_the_cache(layout, small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    make = kaggle_tree if layout == "kaggle tree" else TRAIN_LAYOUTS[layout]
    options = {"cache_dir": tmp_path / "cache", "train_list": list_options["train_list"], "splits": ["train"]}
    options["image_bytes"] = "archive"
    old = {name: content for name, content in small_images.items() if VALIDATION not in name}
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


def test_replaced_tar_gz(small_images, list_options, cached_files, at_member, tmp_path):
    data_dir, options = tmp_path / "data", {"image_bytes": "archive", **list_options}
    new = {name: marked(name, content, "newer") for name, content in small_images.items()}
    kaggle_tar_gz(small_images, data_dir)
    kaggle_tar_gz(new, tmp_path / "new")
    at_member(5, lambda: os.replace(tmp_path / "new" / KAGGLE_TAR_GZ, data_dir / KAGGLE_TAR_GZ))  # while it is read
    assert "changed" in message_of(data_dir, "custom", kind=ArchiveError, **options)
    assert cached_files() == []
    tars = []
    for images in (new, small_images):
        if images is small_images:
            kaggle_tar_gz(small_images, data_dir)
        for _ in range(2):
            rows = stream(data_dir, **options)
            assert contents(rows["train"]) | contents(rows["validation"]) == images
        tars.append([name for name in cached_files() if name.endswith(".tar")])
    assert len(tars[0]) == len(tars[1]) == 1 and tars[0] != tars[1]  # what was kept of the older one is gone


def test_process_killed_while_reading_a_tar_gz(small_images, list_options, cached_files, at_member, tmp_path):
    data_dir, options = tmp_path / "data", {"image_bytes": "archive", **list_options}
    kaggle_tar_gz(small_images, data_dir)

    def killed():
        at_member(len(small_images) - 5, lambda: os.kill(os.getpid(), signal.SIGKILL))
        load(data_dir, cache_dir=tmp_path / "killed", **options)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [name.rpartition(".")[2] for name in cached_files()] == ["tmp"]
    rows = load(data_dir, cache_dir=tmp_path / "killed", **options)
    assert contents(rows["train"]) | contents(rows["validation"]) == small_images
    assert {name.rpartition(".")[2] for name in cached_files()} == {"tar", "index"}
