"""A tar is untrusted input. Members, ends and class tars: read like ``tarfile``, or refused at the wrong byte.

``read_index`` takes archives of any name; the official names are used where rows matter.
"""

import os
import random
import re

import pytest
from helpers.tar_reading import IMAGES, by_tarfile, found, in_memory, refusal, rows
from makers.images import jpeg
from makers.tars import BLOCK, END, header, member

import imagenet_subsets
from imagenet_reader import official
from imagenet_subsets import ArchiveError, read_index

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("time_limit")]


# --------------------------------------------------------------------------------------- duplicates


def test_last_duplicate_member_wins_with_one_warning(write_archive, tmp_path):
    colours = ["red", "blue", "green", "white"]
    names = [IMAGES[0], IMAGES[1], "folder/" + IMAGES[0], IMAGES[0]]
    parts = [member(name.encode(), jpeg(colour)) for name, colour in zip(names, colours)]
    path = write_archive(*parts, END, name=official.VALIDATION_ARCHIVE)
    with pytest.warns(UserWarning, match="has 2 duplicate member names; the last one wins") as message:
        assert found(path) == by_tarfile(path)[1:2] + by_tarfile(path)[3:]
    assert len(message) == 1
    assert path in str(message[0].message)
    with pytest.warns(UserWarning, match="left out: 49,998 of 50,000") as message:
        assert rows(tmp_path) == {IMAGES[0]: jpeg("white"), IMAGES[1]: jpeg("blue")}
    assert not [warning for warning in message if "twice" in str(warning.message)]


def test_last_duplicate_class_tar_wins(write_archive):
    def class_tar(*names):
        return member(b"n01440764.tar", b"".join(member(b"n01440764_%d.JPEG" % k, b"x") for k in names) + END)

    path = write_archive(class_tar(1, 2), class_tar(2, 3), END)
    with pytest.warns(UserWarning, match="has 1 duplicate member names; the last one wins"):
        assert [entry[:2] for entry in found(path)] == [
            ("n01440764_2.JPEG", len(class_tar(1, 2)) + BLOCK),
            ("n01440764_3.JPEG", len(class_tar(1, 2)) + 3 * BLOCK),
        ]


# ------------------------------------------------------------------------------------ other members


@pytest.mark.parametrize("size", [0, 1, 512, 100_000])
@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_folders_devices_and_pipes_are_skipped(kind, size, write_archive):
    """They have no payload, whatever their header says, and are not images, whatever their name is."""
    names = [IMAGES[0].encode(), b"folder/", b"n01440764.tar"]
    path = write_archive(*(member(name, kind=kind, size=size) for name in names), member(b"a", b"abc"), END)
    assert found(path) == by_tarfile(path) == [("a", 3 * BLOCK, 3)]


@pytest.mark.parametrize("kind", [b"D", b"K", b"M", b"N", b"V", b"A", b"Z", b"8", b"\x80", b" "])
def test_members_of_other_types_are_skipped_with_their_content(kind, write_archive):
    disguised = member(b"inside", b"x")
    path = write_archive(member(b"a", b"abc"), member(b"odd", disguised, kind=kind), member(b"b", b"x"), END)
    assert [entry[0] for entry in found(path)] == ["a", "b"]
    assert found(path) == by_tarfile(path)


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_all_three_types_of_regular_files_are_read(kind, write_archive):
    path = write_archive(member(b"a", b"abc", kind), END)
    assert found(path) == by_tarfile(path) == [("a", 0, 3)]


def test_folder_in_the_oldest_tar_format_is_not_a_file(write_archive):
    path = write_archive(member(b"folder/", kind=b"\0", size=1024), member(b"a", b"abc"), END)
    assert found(path) == by_tarfile(path) == [("a", BLOCK, 3)]


def test_a_sparse_file_is_refused(write_archive):
    good = member(b"a", b"abc")
    for at, parts in ((0, []), (len(good), [good])):
        path = write_archive(*parts, member(b"b", b"x" * BLOCK, kind=b"S"), END)
        assert "sparse files" in refusal(path, at)


# ---------------------------------------------------------------------------------- ends and rubbish


@pytest.mark.parametrize("end", [b"", bytes(100), bytes(BLOCK), END, END + b"rubbish" * 1000, bytes(BLOCK) + b"x" * 99])
def test_end_blocks_may_be_absent_or_followed_by_other_data(end, write_archive):
    path = write_archive(member(b"a", b"abc"), member(b"b"), end)
    assert found(path) == by_tarfile(path) == [("a", 0, 3), ("b", 1024, 0)]


@pytest.mark.parametrize("before", [1, 4096, 5000])
@pytest.mark.parametrize(
    "rubbish", [b"x" * BLOCK, random.Random(1).randbytes(BLOCK), b"\0" * 511 + b"x", header(b"b")[256:] * 2]
)
def test_garbage_between_members_is_refused(rubbish, before, write_archive):
    good = b"".join(member(b"%d" % k) for k in range(before))
    assert "no tar header" in refusal(write_archive(good, rubbish, member(b"b"), END), len(good))


def test_members_after_a_zero_block_are_ignored(write_archive):
    path = write_archive(member(b"a", b"abc"), bytes(BLOCK), member(b"b"), END)
    assert found(path) == by_tarfile(path) == [("a", 0, 3)]


@pytest.mark.parametrize("cut", [1, 100, BLOCK - 1, BLOCK, 600])
def test_truncation_within_an_image_is_refused(cut, write_archive):
    good, last = member(b"a", b"abc"), member(b"b", b"x" * 2 * BLOCK)
    message = refusal(write_archive(good, last[:-cut]), len(good))
    assert f"that 'b' has 1,024 bytes, but its tar ends at byte {len(good + last) - cut:,}" in message


@pytest.mark.parametrize("left", [0, 1, 130, 140, 157, 200, 511])
@pytest.mark.parametrize("kind", [b"0", b"5", b"\0"])
def test_file_truncated_while_walking_is_refused(kind, left, write_archive, monkeypatch):
    good = member(b"a", b"abc") + member(b"b", b"x")
    path = write_archive(good, member(b"folder/", kind=kind), member(b"c"), END)

    def pread(fd, size, at, pread=os.pread):
        content = pread(fd, size, at)
        return content[: len(good) + left - at] if at in (len(good), len(good) + BLOCK) else content

    monkeypatch.setattr(os, "pread", pread)  # streaming makes datasets give the module its own os
    with pytest.raises(ArchiveError, match=rf"{re.escape(path)}, byte {len(good):,}: found "):
        read_index(path)


# --------------------------------------------------------------------------------------- class tars


def test_class_tar_is_read_only_within_its_bounds(write_archive):
    inner = member(b"n01440764_1.JPEG", b"x") + header(b"n01440764_2.JPEG", 1)  # its payload would be the next header
    path = write_archive(member(b"n01440764.tar", inner), member(b"n01443537.tar", END), END)
    assert f"its tar ends at byte {BLOCK + len(inner):,}" in refusal(path, 3 * BLOCK)


def test_members_that_are_not_images_of_the_class_are_skipped(write_archive):
    strangers = [
        member(b"ILSVRC2012_val_00000001.JPEG", b"x"),
        member(b"n01440764_9.tar", member(b"n01440764_8.JPEG", b"x") + END),
        member(b"n01443537.tar", member(b"n01443537_1.JPEG", b"x") + END),
        member(b"n01440764_7.JPEG", kind=b"1"),
    ]
    inner = b"".join([*strangers, member(b"n01440764_1.JPEG", b"x"), END])
    no_class = member(b"n01440764.tar.old", member(b"n01440764_2.JPEG", b"x") + END)
    path = write_archive(member(b"n01440764.tar", inner), no_class, member(b"notes.txt", b"no tar" * 200), END)
    assert [name for name, *_ in found(path) if name.endswith("JPEG")] == ["n01440764_1.JPEG"]


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08" + b"x" * 700, b"<html>" * 100, b"x" * 511])
def test_invalid_class_tar_is_refused(content, write_archive):
    good = member(b"n01440764.tar", member(b"n01440764_1.JPEG", b"x") + END)
    path = write_archive(good, member(b"n01443537.tar", content), END)
    if len(content) < BLOCK:  # too short for any member: an empty class, whose images are absent
        assert len(found(path)) == 1
    else:
        assert "no tar header" in refusal(path, len(good) + BLOCK)


# ------------------------------------------------------------------------------- bounds and writing


def test_empty_members_use_little_memory(write_archive):
    """A header has 512 bytes, of which a tenth is kept."""
    count = 50_000
    path = write_archive(b"".join(member(b"%d" % k) for k in range(count)))
    with in_memory(count * BLOCK * 2 // 3):
        assert read_index(path).num_rows == count


@pytest.mark.parametrize("kind", [b"5", b"g"])
def test_first_image_may_follow_many_other_members(kind, write_archive):
    """The time per member must not grow: 200,000 members would take hours."""
    path = write_archive(member(b"folder", kind=kind) * 200_000, member(b"a", b"abc"), END)
    assert found(path) == [("a", 200_000 * BLOCK, 3)]


@pytest.mark.filterwarnings("ignore:.*left out")
def test_nothing_is_written_outside_the_caches(write_archive, tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for variable in ("TMPDIR", "HOME"):
        monkeypatch.setenv(variable, str(work))
    names = ["../../../" + IMAGES[0], "/" + IMAGES[1], "~/" + IMAGES[2], "../link", "../folder"]
    kinds = [b"0", b"0", b"0", b"2", b"5"]
    parts = [member(name.encode(), jpeg("red") * (kind == b"0"), kind) for name, kind in zip(names, kinds)]
    write_archive(*parts, END, name=official.VALIDATION_ARCHIVE)
    before = sorted(tmp_path.rglob("*"))
    index = imagenet_subsets.index_path(tmp_path / official.VALIDATION_ARCHIVE)
    kept_before = set(os.listdir(os.path.dirname(index)))
    assert list(rows(tmp_path)) == IMAGES[:3]
    assert list(rows(tmp_path, streaming=False, cache_dir=str(tmp_path / "cache"))) == IMAGES[:3]
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == before
    assert not os.path.exists("/" + IMAGES[1])
    kept = set(os.listdir(os.path.dirname(index))) - kept_before
    assert kept <= {os.path.basename(index), os.path.basename(index) + ".lock"}
