"""Changed files of a layout never give old rows."""

import multiprocessing
import os
import signal

import pytest
from helpers.layout_rows import LAYOUTS, contents, load, message_of, stream
from makers.layouts import KAGGLE_TAR_GZ, class_tars, extracted, kaggle_tar_gz, marked

from imagenet_subsets import ArchiveError, ImagenetSubsets

pytestmark = [
    pytest.mark.oldest_and_newest,
    pytest.mark.filterwarnings("ignore:.*read only from beginning to end", "ignore:.*read once", "ignore:.*left out"),
]


@pytest.fixture
def old(small_images):
    """{name: bytes} of training images."""
    return {name: content for name, content in small_images.items() if name.startswith("n")}


@pytest.fixture
def new(old):
    """The same, of which one image has other bytes of the same size."""
    name = sorted(old)[len(old) // 2]
    return old | {name: marked(name, old[name], "newer")}


@pytest.fixture
def options(old, tmp_path):
    """The options of a load of these images."""
    return {"cache_dir": tmp_path / "cache", "train_list": [*old], "splits": ["train"], "image_bytes": "archive"}


def rows_of(data_dir, **options):
    return contents(load(data_dir, **options)["train"])


@pytest.mark.parametrize("layout", ["archives", "class tars", "kaggle zip", "kaggle tar.gz", "hub parquet", "tfds"])
def test_replaced_files_are_never_read_from_the_cache(layout, old, new, options, tmp_path, hf_home):
    data_dir, make = tmp_path / "data", LAYOUTS[layout]
    make(old, data_dir)
    assert rows_of(data_dir, **options) == old
    builder = ImagenetSubsets(config_name="custom", data_dir=str(data_dir), **(options | {"cache_dir": str(tmp_path)}))
    rows = stream(data_dir, **options)["train"]
    make(new, data_dir)
    for path in data_dir.rglob("*"):
        os.utime(path, (1e9, 1e9))
    with pytest.raises(ArchiveError, match="changed since this builder was made"):
        builder.download_and_prepare()
    if layout not in ("kaggle tar.gz", "hub parquet"):  # whose images were copied
        with pytest.raises(ArchiveError, match="changed"):
            contents(rows)
    assert rows_of(data_dir, **options) == new


def test_replaced_tar_gz(small_images, list_options, cached_files, at_member, tmp_path):
    data_dir, options = tmp_path / "data", {"image_bytes": "archive", **list_options}
    new = {name: marked(name, content, "newer") for name, content in small_images.items()}
    kaggle_tar_gz(small_images, data_dir)
    kaggle_tar_gz(new, tmp_path / "new")
    at_member(5, lambda: os.replace(tmp_path / "new" / KAGGLE_TAR_GZ, data_dir / KAGGLE_TAR_GZ))  # while it is read
    assert "changed" in message_of(data_dir, "custom", kind=ArchiveError, **options)
    assert cached_files() == []
    for images in (new, small_images):
        kaggle_tar_gz(images, data_dir)
        for _ in range(2):
            rows = stream(data_dir, **options)
            assert contents(rows) == images
        assert sum(name.endswith(".tar") for name in cached_files()) == 1  # what was kept of the older one was deleted


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
    assert contents(rows) == small_images
    assert {name.rpartition(".")[2] for name in cached_files()} == {"tar", "index"}


@pytest.fixture(params=["extracted", "hub folders"])
def data(request, old, tmp_path, hf_home):
    """A folder of extracted images."""
    LAYOUTS[request.param](old, tmp_path / "data")
    return tmp_path / "data"


def path_of(data, name):
    """The path of an image, whose name may be that of the Hub."""
    return next(data.rglob(f"{name.removesuffix('.JPEG')}*.JPEG"))


def overwrite(path, content):
    """Write over an image in place, as ``cp`` does: its folder does not change."""
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))


def test_images_replaced_added_or_removed_give_new_rows(data, old, new, options, tmp_path):
    [changed] = [name for name in old if old[name] != new[name]]
    path = path_of(data, changed)
    options["on_missing"] = "skip"
    assert rows_of(data, **options) == old
    (tmp_path / "new").write_bytes(new[changed])
    os.replace(tmp_path / "new", path)
    assert rows_of(data, **options) == new
    path.unlink()
    assert rows_of(data, **options) == {name: content for name, content in old.items() if name != changed}
    assert changed in message_of(data, "custom", **(options | {"on_missing": "error"}))
    path.write_bytes(old[changed])
    assert rows_of(data, **options) == old


def test_an_image_overwritten_in_place_is_noticed_when_it_is_read(data, old, options):
    first, second = sorted(old)[3:5]
    newer = {name: marked(name, old[name], "newer") for name in (first, second)}
    message = r"{}.*changed since.*oad the dataset again"
    in_place = load(data, in_place=True, **options)["train"]
    row = in_place["file_name"][:].index(first)
    overwrite(path_of(data, first), newer[first])
    with pytest.raises(ArchiveError, match=message.format(first.removesuffix(".JPEG"))):
        in_place[row]
    assert in_place[(row + 1) % len(old)]["image"]
    assert load(data, in_place=True, **options)["train"][row]["image"]
    assert rows_of(data, **options) == old | {first: newer[first]}
    overwrite(path_of(data, second), newer[second])
    with pytest.raises(ArchiveError, match=message.format(second.removesuffix(".JPEG"))):
        contents(stream(data, **options)["train"])
    assert contents(stream(data, **options)["train"]) == old | newer


@pytest.mark.parametrize("read", [rows_of, lambda data, **options: contents(stream(data, **options)["train"])])
def test_a_mended_image_is_in_the_next_load(read, data, old, options):
    cut, empty = damaged = sorted(old)[3:5]
    options["on_missing"] = "skip"
    overwrite(path_of(data, cut), old[cut][: len(old[cut]) // 2])
    overwrite(path_of(data, empty), b"")
    for _ in range(2):
        assert read(data, **options).keys() == old.keys() - {cut, empty}
    for name, left_out in zip(damaged, ({empty}, set())):
        path_of(data, name).write_bytes(old[name])
        assert read(data, **options) == {other: old[other] for other in old if other not in left_out}


def test_class_tars_of_which_some_are_unpacked_are_an_error(old, options, tmp_path):
    class_tars(old, tmp_path / "data")
    wnids = sorted({name[:9] for name in old})
    unpacked = {name: content for name, content in old.items() if name[:9] in wnids[:2]}
    for wnid in wnids[:2]:
        (tmp_path / "data" / "train" / f"{wnid}.tar").unlink()
    extracted(unpacked, tmp_path / "data")
    message = message_of(tmp_path / "data", "custom", kind=ArchiveError, **options)
    assert str(tmp_path / "data" / "train") in message and "unpack" in message
    assert all(wnid in message for wnid in wnids[:3])  # of folders, all; of tars, the first


def test_a_mended_image_beside_another_set_of_images(small_images, list_options, tmp_path, hf_home):
    """Class folders of training images, and validation images side by side, in one folder."""
    options = {"cache_dir": tmp_path / "cache", "on_missing": "skip", "image_bytes": "archive", **list_options}
    for name, content in small_images.items():
        path = tmp_path / "data" / (name[:9] if name.startswith("n") else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    mended = sorted(small_images)[-1]
    overwrite(path_of(tmp_path / "data", mended), b"\xff\xd8\xff damaged")
    assert len(contents(load(tmp_path / "data", **options))) == len(small_images) - 1
    overwrite(path_of(tmp_path / "data", mended), small_images[mended])
    assert contents(load(tmp_path / "data", **options)) == small_images
