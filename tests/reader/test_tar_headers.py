"""A tar is untrusted input. Numbers and names in headers: read like ``tarfile``, or refused at the wrong byte.

``read_index`` takes archives of any name; the official names are used where rows matter.
"""

import os
import tarfile

import pytest
from helpers.tar_reading import IMAGES, by_tarfile, found, in_memory, refusal, rows
from makers.images import jpeg
from makers.tars import BLOCK, END, GNU, PAX, base_256, header, member, octal, padded, pax

from imagenet_reader import official
from imagenet_subsets import ArchiveError, read_index

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("time_limit")]


# ------------------------------------------------------------------------------------------ numbers

ABSURD = {
    "negative": (b"-0000000001\0", -1),
    "negative, back to its own header": (b"-0000001000\0", -512),
    "negative base 256": (base_256(-1), -1),
    "negative base 256, back to its own header": (base_256(-512), -512),
    "back to the beginning": (base_256(-1024), -1024),
    "far back": (base_256(-(2**80)), -(2**80)),
    "past the end": (octal(5 * BLOCK + 1), 5 * BLOCK + 1),
    "8 GiB": (b"7" * 11 + b"\0", 2**33 - 1),
    "64 GiB": (b"7" * 12, 2**36 - 1),
    "2 ** 63": (base_256(2**63), 2**63),
    "2 ** 64 - 1024, which a 64-bit sum would take back": (base_256(2**64 - 1024), 2**64 - 1024),
    "2 ** 87": (base_256(2**87), 2**87),
}
NO_NUMBERS = {
    "decimal": b"00000000089\0",
    "hexadecimal": b"0x000000010\0",
    "a word": b"size\0",
    "high bytes": b"\xfe" * 12,
    "a fraction": b"0000000.001\0",
    "two numbers": b"00001 00001\0",
}


@pytest.mark.filterwarnings("ignore:.*twice")
@pytest.mark.parametrize("before", [0, 1, 5000])
@pytest.mark.parametrize("size", ABSURD)
def test_impossible_size_is_refused(size, before, write_archive):
    good = member(b"a", b"abc") * before
    field, number = ABSURD[size]
    path = write_archive(good, header(b"b", field), b"x" * 3 * BLOCK, END)
    assert f"a header that says that 'b' has {number:,} bytes" in refusal(path, len(good))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("size", NO_NUMBERS)
def test_size_that_is_not_a_number_is_refused(size, before, write_archive):
    good = member(b"a", b"abc") * before
    path = write_archive(good, header(b"b", NO_NUMBERS[size].ljust(12, b"\0")), END)
    assert "found no tar header" in refusal(path, len(good))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 512, 1000, 65536])
@pytest.mark.parametrize(
    "written",
    [
        octal,
        base_256,
        lambda size: b"%012o" % size,
        lambda size: b"%011o " % size,
        lambda size: b"%11o " % size,
        lambda size: b"%o" % size,
        lambda size: b" %o " % size,
        lambda size: b"%o" % size if size else b"",
        lambda size: b"%o\0other bytes"[:12] % size,
    ],
    ids=["octal", "base 256", "12 digits", "space", "spaces before", "short", "between spaces", "empty", "then others"],
)
def test_size_formats_are_read_like_tarfile(written, size, write_archive):
    block = header(b"b", written(size).ljust(12, b"\0")[:12])
    path = write_archive(member(b"a", b"abc"), block, padded(b"x" * size), member(b"c", b"c"), END)
    assert found(path) == by_tarfile(path)
    assert [entry[2] for entry in found(path)] == [3, size, 1]


@pytest.mark.parametrize("form", [b"%06o\0 ", b"%07o\0", b"%08o", b"%6o\0 ", b"%6o \0", b" %o", b"%o\0", "base 256"])
def test_checksum_formats_are_read_like_tarfile(form, write_archive):
    block = bytearray(header(b"b", 1))
    total = int(block[148:154], 8)
    block[148:156] = base_256(total, 8) if form == "base 256" else (form % total).ljust(8, b"\0")
    path = write_archive(member(b"a", b"abc"), block, padded(b"x"), END)
    assert found(path) == by_tarfile(path) == [("a", 0, 3), ("b", 1024, 1)]


def test_wrong_checksum_is_refused(write_archive):
    good = member(b"a", b"abc")
    for at in (0, 99, 120, 130, 150, 156, 300, 511):
        block = bytearray(header(b"b"))
        block[at] ^= 1
        assert "no tar header" in refusal(write_archive(good, bytes(block), END), len(good))


@pytest.mark.filterwarnings("ignore:.*left out")
def test_huge_image_is_refused_without_using_memory(write_archive, tmp_path):
    image = member(IMAGES[0].encode(), jpeg("red"))
    write_archive(image, header(IMAGES[1].encode(), 3 << 30), name=official.VALIDATION_ARCHIVE)
    os.truncate(tmp_path / official.VALIDATION_ARCHIVE, len(image) + BLOCK + (3 << 30))  # a hole
    with in_memory(64 << 20), pytest.raises(ArchiveError, match=rf"{IMAGES[1]}.*{3 << 30:,}"):
        rows(tmp_path)


# -------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "base"),
    [
        (b"x.JPEG", b"x.JPEG"),
        (b"train/n01440764/x.JPEG", b"x.JPEG"),
        (b"./x.JPEG", b"x.JPEG"),
        (b"/x.JPEG", b"x.JPEG"),
        (b"../../../../etc/passwd", b"passwd"),
        (b"x\\y.JPEG", b"x\\y.JPEG"),
        (b"x.JPEG\0y.JPEG", b"x.JPEG"),
        (b"x.JPEG\0/y.JPEG", b"x.JPEG"),
        ("größe.JPEG".encode(), "größe.JPEG".encode()),
        ("größe.JPEG".encode("latin-1"), "größe.JPEG".encode("latin-1")),
        (b"\xff\xfe\x01\x7f\n\x1b[31m", b"\xff\xfe\x01\x7f\n\x1b[31m"),
        (b"x" * 100, b"x" * 100),
        (b"y/" * 40 + b"x" * 20, b"x" * 20),
    ],
)
def test_only_folders_are_stripped_from_names(name, base, write_archive):
    path = write_archive(member(name, b"abc"), member(b"last", prefix=b"a/folder"), END)
    assert found(path) == by_tarfile(path)
    assert read_index(path)["name"].to_pylist() == [base, b"last"]


@pytest.mark.parametrize("name", [b"", b"/", b"folder/"])
def test_file_without_a_name_is_ignored(name, write_archive):
    path = write_archive(member(name, b"x" * 600), member(b"last", b"x"), END)
    assert found(path) == [("last", 3 * BLOCK, 1)]


LONG_NAME = "x" * 101 + ".JPEG"
EXTENDED = {
    "GNU long name": lambda: (tarfile.TarInfo(LONG_NAME), GNU),
    "PAX long name": lambda: (tarfile.TarInfo(LONG_NAME), PAX),
    "PAX non-ASCII name": lambda: (tarfile.TarInfo("größe.JPEG"), PAX),
    "PAX size of 8 GiB": lambda: (described(tarfile.TarInfo("x"), size=8 << 30), PAX),
}


def described(entry, **fields):
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry


@pytest.mark.parametrize("case", EXTENDED)
def test_names_and_sizes_too_large_for_a_header_are_refused(case, write_archive):
    entry, form = EXTENDED[case]()
    good = member(b"a", b"abc")
    for end in (b"", END):
        message = refusal(write_archive(good, entry.tobuf(form, "utf-8"), end), len(good))
        assert "a header for long names or sparse files" in message


@pytest.mark.parametrize("kind", [b"x", b"g", b"X"])
@pytest.mark.parametrize("overruling", [b"path=b", b"size=512", b"GNU.sparse.major=1", b"GNU.sparse.map=0,1"])
@pytest.mark.parametrize("before", [b"mtime=1.5", b"comment=\n", b"comment=" + b"x" * 70_000])
def test_pax_records_that_override_a_header_are_refused(kind, overruling, before, write_archive):
    good = member(b"a", b"abc")
    path = write_archive(good, pax(before, overruling, kind=kind), member(b"c", b"x"), END)
    assert "a header for long names or sparse files" in refusal(path, len(good))


def test_pax_records_beyond_the_recorded_size_are_read_like_tarfile(write_archive):
    good, extended = member(b"a", b"abc"), pax(b"path=b")
    path = write_archive(good, header(b"PaxHeaders/x", 1, b"x"), extended[BLOCK:], member(b"c", b"x"), END)
    assert by_tarfile(path)[-1][0] == "b"
    assert "a header for long names or sparse files" in refusal(path, len(good))


def test_other_pax_records_are_ignored(write_archive):
    harmless = pax(b"mtime=1325376000.123", b"SCHILY.dev=16", b"comment=my path is the size"), pax(b"uid=1", kind=b"g")
    path = write_archive(*harmless, member(b"a", b"abc"), harmless[0], member(b"b", b"x"), END)
    assert found(path) == by_tarfile(path)
    assert [entry[0] for entry in found(path)] == ["a", "b"]
