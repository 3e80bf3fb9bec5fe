"""The walk over many tars: all strategies find the same members, the first error is reported, interrupts end it."""

import errno
import multiprocessing
import os
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.programs import command, environment
from makers.images import jpeg
from makers.tars import BLOCK, END, member, pax

import imagenet_subsets
from imagenet_reader.official import TRAIN_ARCHIVE
from imagenet_reader.sources import open_file
from imagenet_reader.walk import race, ways
from imagenet_reader.walk.archive import first_member, walk_archive, walk_tar, walk_tars
from imagenet_subsets import ArchiveError, read_index

pytestmark = pytest.mark.once
CLASSES = [b"n01440764", b"n01443537", b"n01484850", b"n01491361"]


def class_tar(wnid, count=500, damaged_at=None):
    """The members of a class tar, of which one has no header."""
    images = [member(b"%b_%d.JPEG" % (wnid, k), b"x") for k in range(count)]
    if damaged_at is not None:
        images[damaged_at] = b"x" * len(images[damaged_at])
    return b"".join(images) + END


@pytest.fixture
def valid_tar(write_archive):
    """(path, names) of an archive of four class tars."""
    names = [b"%b_%d.JPEG" % (wnid, k) for wnid in CLASSES for k in range(500)]
    return write_archive(*(member(wnid + b".tar", class_tar(wnid)) for wnid in CLASSES), END), names


@pytest.fixture
def folder(tmp_path):
    """The paths of four class tars."""
    paths = [tmp_path / f"{wnid.decode()}.tar" for wnid in CLASSES]
    for path, wnid in zip(paths, CLASSES):
        path.write_bytes(class_tar(wnid))
    return [str(path) for path in paths]


PREFIXES = [wnid + b"_" for wnid in CLASSES]


@pytest.fixture(params=["alone", "threads", "stream"])
def strategy(request, monkeypatch):
    """The strategy used for several tars, as if it were by far the fastest."""
    monkeypatch.setattr(race, "ALONE", 0)
    chosen = {"alone": ways.Hop, "threads": ways.HopByThreads, "stream": ways.Stream}[request.param]
    advanced = []

    def advance(self, walks, seconds, advance=chosen.advance):
        if seconds:
            advanced.append(sum(walk.headers for walk in walks))
            advance(self, walks, seconds)

    for other in (ways.Hop, ways.HopByThreads, ways.Stream):
        monkeypatch.setattr(other, "advance", advance if other is chosen else lambda *_: None)
    monkeypatch.setattr(race, "RETRYING", float("inf"))
    yield request.param
    assert advanced


# ----------------------------------------------------------------------------------------- what is found


def test_each_strategy_finds_the_images_of_an_archive_in_order(strategy, valid_tar):
    path, names = valid_tar
    table = read_index(path)
    assert table["name"].to_pylist() == names
    offsets = [BLOCK + at * (501 * 2 * BLOCK + BLOCK) for at in range(4)]
    assert table["offset"].to_pylist() == [start + 2 * BLOCK * k for start in offsets for k in range(500)]


def test_each_strategy_finds_the_images_of_class_tars_in_a_folder(strategy, folder):
    table = walk_tars(folder, PREFIXES)
    assert table["name"].to_pylist() == [b"%b_%d.JPEG" % (wnid, k) for wnid in CLASSES for k in range(500)]
    assert table["offset"].to_pylist() == [2 * BLOCK * k for k in range(500)] * 4
    assert table["size"].to_pylist() == [1] * 2000
    assert table["file"].to_pylist() == [number for number in range(4) for _ in range(500)]


def test_all_members_are_found_without_a_prefix(write_archive):
    paths = [write_archive(member(b"a.jpg", b"x"), member(b"a.cls", b"1"), END), write_archive(member(b"b.jpg"), END)]
    rows = walk_tars(paths).to_pylist()
    assert [(row["name"], row["file"]) for row in rows] == [(b"a.jpg", 0), (b"a.cls", 0), (b"b.jpg", 1)]
    with open_file(paths[0]) as file:
        assert walk_tar(file).to_pylist() == [{key: row[key] for key in ("name", "offset", "size")} for row in rows[:2]]


def test_no_tars_give_no_members():
    table = walk_tars([])
    assert (table.num_rows, table.column_names) == (0, ["name", "offset", "size", "file"])


def test_open_files_stay_below_the_limit_of_the_system(tmp_path, monkeypatch):
    """There are 1,000 class tars, and macOS allows 256."""
    content = member(b"n01440764_1.JPEG", b"x") + END
    paths = [str(tmp_path / f"{number}.tar") for number in range(400)]
    for path in paths:
        Path(path).write_bytes(content)
    descriptors = set()

    def noted(path, flags, *args, open_=os.open, **options):
        descriptor = open_(path, flags, *args, **options)
        descriptors.add(descriptor)
        return descriptor

    monkeypatch.setattr(os, "open", noted)
    assert walk_tars(paths)["file"].to_pylist() == list(range(400))
    assert len(descriptors) < 100


def test_walk_in_a_daemonic_process(valid_tar):
    path, names = valid_tar
    queue = multiprocessing.get_context("fork").Queue()
    worker = multiprocessing.get_context("fork").Process(
        target=lambda: queue.put(read_index(path)["name"].to_pylist()), daemon=True
    )
    worker.start()
    assert queue.get(timeout=60) == names
    worker.join()


# ------------------------------------------------------------------------------------- AppleDouble members


def apple_double(*members):
    """The members as macOS writes them, each after one with its attributes, in both existing forms."""
    attributes = b"\0\5\x16\7" + bytes(200)
    parts = []
    for name, content in members:
        parts += [pax(b"mtime=1.5"), member(b"./._" + name, attributes), member(b"./" + name, content)]
    return b"".join(parts) + END


def test_apple_double_members_are_skipped(write_archive):
    images = {wnid: [(b"%b_%d.JPEG" % (wnid, k), b"x") for k in range(3)] for wnid in CLASSES}
    path = write_archive(apple_double(*((wnid + b".tar", apple_double(*images[wnid])) for wnid in CLASSES)))
    with open_file(path) as file:
        assert first_member(file) == CLASSES[0] + b".tar"
    assert walk_archive(path)["name"].to_pylist() == [name for wnid in CLASSES for name, _ in images[wnid]]


def test_an_archive_with_apple_double_members_is_the_official_one(tmp_path):
    """The first member says what an archive is."""
    image = b"n01440764_10026.JPEG"
    (tmp_path / TRAIN_ARCHIVE).write_bytes(apple_double((CLASSES[0] + b".tar", apple_double((image, jpeg("red"))))))
    (tmp_path / "list.txt").write_bytes(image)
    options = {"train_list": str(tmp_path / "list.txt"), "splits": ["train"], "streaming": True, "split": "train"}
    rows = imagenet_subsets.load_dataset("custom", data_dir=str(tmp_path), **options)
    assert [row["file_name"] for row in rows] == [image.decode()]


@pytest.mark.parametrize("parts", [[], [member(b"._a", b"x")] * 3])
def test_a_tar_of_apple_double_members_alone_has_no_first_member(parts, write_archive):
    with open_file(write_archive(*parts, END)) as file:
        assert first_member(file) == b""


# ----------------------------------------------------------------------------------------------- errors


def test_first_error_in_the_archive_is_reported(strategy, write_archive):
    damaged = {CLASSES[1]: 450, CLASSES[2]: 0, CLASSES[3]: 3}
    parts = [member(wnid + b".tar", class_tar(wnid, damaged_at=damaged.get(wnid))) for wnid in CLASSES]
    path = write_archive(*parts, END)
    at = len(parts[0]) + BLOCK + 450 * 2 * BLOCK
    for kind in (str, Path, str):
        with pytest.raises(ArchiveError, match=f"^{path}, byte {at:,}: found no tar header"):
            read_index(kind(path))


def test_wrong_checksum_is_reported_before_its_size_is_used(strategy, write_archive):
    """Headers are checked in groups, after the walk has passed them."""
    parts = [member(b"%d" % k, b"x") for k in range(10)]
    wrong = bytearray(member(b"a", b"x"))
    wrong[124:135] = b"00000000777"
    path = write_archive(*parts, wrong, *parts, END)
    with pytest.raises(ArchiveError, match=f"^{path}, byte {10 * 2 * BLOCK:,}: found no tar header"):
        walk_tars([path, write_archive(END)])


def test_an_image_of_another_class_is_refused(strategy, folder):
    stranger = member(b"n01443537_7.JPEG", b"x")
    Path(folder[2]).write_bytes(class_tar(CLASSES[2], 3).removesuffix(END) + stranger + END)
    with pytest.raises(
        ArchiveError, match=f"{folder[2]}, byte 3,072: found n01443537_7.JPEG in the class tar of n01484850"
    ):
        walk_tars(folder, PREFIXES)


def test_an_error_of_the_system_names_the_file(strategy, folder):
    os.unlink(folder[2])
    os.mkdir(folder[2])
    with pytest.raises(IsADirectoryError, match="while reading") as raised:
        walk_tars(folder, PREFIXES)
    assert raised.value.filename == folder[2]


def test_an_input_error_while_walking_names_the_first_file(strategy, folder, before_reads):
    def fail(position, size):
        if position > 100 * BLOCK or size > BLOCK:
            raise OSError(errno.EIO, "Input/output error")

    before_reads(fail)
    with pytest.raises(OSError, match="Input/output error") as raised:
        walk_tars(folder, PREFIXES)
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, folder[0])


# -------------------------------------------------------------------------------------------- interrupts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupt_ends_the_walk(number, valid_tar, hf_home):
    walking = subprocess.Popen(
        command("slow_walk", valid_tar[0]),
        env=environment(HF_HOME=str(hf_home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert walking.stdout.readline().startswith(b"thread")
    walking.send_signal(number)
    _, errors = walking.communicate(timeout=10)  # all reads together take half a minute
    assert walking.returncode == -number
    assert number == signal.SIGTERM or errors.rstrip().endswith(b"KeyboardInterrupt")
