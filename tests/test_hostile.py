"""A tar is untrusted input: every archive here is read as CPython's ``tarfile`` does, or refused at the byte at fault.

``read_index`` takes archives of any name; the official names are used where rows matter.
"""

import io
import itertools
import os
import random
import re
import signal
import tarfile
import tracemalloc

import datasets
import hypothesis
import hypothesis.configuration
import hypothesis.strategies as st
import PIL.Image
import pyarrow as pa
import pytest

import imagenet_subsets
from imagenet_reader import official
from imagenet_subsets import ArchiveError, read_index

BLOCK = 512
END = bytes(2 * BLOCK)
GNU, USTAR, PAX = tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT
IMAGES = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 8)]

hypothesis.configuration.set_hypothesis_home_dir(os.path.join(os.environ["HF_HOME"], "hypothesis"))
FUZZ = {"derandomize": True, "database": None, "deadline": None}


@pytest.fixture(autouse=True)
def _ends():
    """No archive keeps the reader busy for ever: 100 s are far more than any test here needs."""

    def fail(*_):
        pytest.fail("the reader does not come to an end")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def write(tmp_path):
    """``write(*parts)`` makes an archive of bytes, and gives its path."""
    count = itertools.count()

    def write(*parts, name=None):
        path = tmp_path / (name or f"{next(count)}.tar")
        path.write_bytes(b"".join(parts))
        return str(path)

    return write


def octal(number, digits=11):
    return b"%0*o\0" % (digits, number)


def base_256(number, width=12):
    return (number + (number < 0) * 256**width + (number >= 0) * 0x80 * 256 ** (width - 1)).to_bytes(width, "big")


def header(name, size=0, kind=b"0", prefix=b""):
    """A header, made by hand: ``size`` is a number, or the 12 bytes of its field."""
    block = bytearray(tarfile.TarInfo().tobuf(USTAR))
    block[:100] = name.ljust(100, b"\0")
    block[124:136] = octal(size) if isinstance(size, int) else size
    block[156:157] = kind
    block[345:500] = prefix.ljust(155, b"\0")
    return signed(block)


def signed(block):
    """The header with the checksum of its bytes."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content):
    return content + bytes(-len(content) % BLOCK)


def member(name, content=b"", kind=b"0", **fields):
    return header(name, fields.pop("size", len(content)), kind, **fields) + padded(content)


def pax(*records, kind=b"x"):
    """A PAX header of records such as ``b"path=x"``."""
    content = b""
    for record in records:
        digits = next(n for n in itertools.count(1) if len(str(n + 2 + len(record))) == n)
        content += b"%d %b\n" % (digits + 2 + len(record), record)
    return member(b"PaxHeaders/x", content, kind)


def jpeg(colour):
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), colour).save(file, "JPEG")
    return file.getvalue()


def found(path):
    """[(name, offset of the header, size)], by the reader under test."""
    return [(row["name"].decode("latin-1"), row["offset"], row["size"]) for row in read_index(path).to_pylist()]


def by_tarfile(path):
    """The same by CPython."""
    with tarfile.open(path, encoding="latin-1") as tar:
        return [
            (entry.name.rpartition("/")[2], entry.offset_data - BLOCK, entry.size) for entry in tar if entry.isreg()
        ]


def refusal(path, at):
    """What an archive is refused with: it names the archive and the byte, and tells what to do."""
    with pytest.raises(ArchiveError) as raised:
        read_index(path)
    message = str(raised.value)
    assert message.startswith(f"{path}, byte {at:,}: found ")
    assert "download it again" in message
    with pytest.raises(ArchiveError):  # no index was kept of what had been found till then
        read_index(path)
    return message


def rows(folder, **options):
    """{file name: bytes} of the validation split, streamed."""
    options = {"splits": ["validation"], "on_missing": "skip", "streaming": True, "split": "validation", **options}
    loaded = imagenet_subsets.load_dataset("1pct", data_dir=folder, **options)
    return {
        row["file_name"]: row["image"]["bytes"] for row in loaded.cast_column("image", datasets.Image(decode=False))
    }


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
def test_a_size_that_cannot_be_is_refused(size, before, write):
    good = member(b"a", b"abc") * before
    field, number = ABSURD[size]
    path = write(good, header(b"b", field), b"x" * 3 * BLOCK, END)
    assert f"'b' is said to have {number:,} bytes" in refusal(path, len(good))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("size", NO_NUMBERS)
def test_a_size_that_is_no_number_is_refused(size, before, write):
    good = member(b"a", b"abc") * before
    path = write(good, header(b"b", NO_NUMBERS[size].ljust(12, b"\0")), END)
    assert "no tar header, where one is due" in refusal(path, len(good))


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
def test_every_way_to_write_a_size_is_read_as_tarfile_does(written, size, write):
    block = header(b"b", written(size).ljust(12, b"\0")[:12])
    path = write(member(b"a", b"abc"), block, padded(b"x" * size), member(b"c", b"c"), END)
    assert found(path) == by_tarfile(path)
    assert [entry[2] for entry in found(path)] == [3, size, 1]


@pytest.mark.parametrize("form", [b"%06o\0 ", b"%07o\0", b"%08o", b"%6o\0 ", b"%6o \0", b" %o", b"%o\0", "base 256"])
def test_every_way_to_write_a_checksum_is_read_as_tarfile_does(form, write):
    block = bytearray(header(b"b", 1))
    total = int(block[148:154], 8)
    block[148:156] = base_256(total, 8) if form == "base 256" else (form % total).ljust(8, b"\0")
    path = write(member(b"a", b"abc"), block, padded(b"x"), END)
    assert found(path) == by_tarfile(path) == [("a", 0, 3), ("b", 1024, 1)]


def test_a_checksum_that_does_not_fit_is_refused(write):
    good = member(b"a", b"abc")
    for at in (0, 99, 120, 130, 150, 156, 300, 511):
        block = bytearray(header(b"b"))
        block[at] ^= 1
        assert "no tar header" in refusal(write(good, bytes(block), END), len(good))


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_huge_image_is_refused_in_little_memory(write, tmp_path):
    image = member(IMAGES[0].encode(), jpeg("red"))
    write(image, header(IMAGES[1].encode(), 3 << 30), name=official.VALIDATION_ARCHIVE)
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
def test_names_lose_their_folders_and_nothing_else(name, base, write):
    path = write(member(name, b"abc"), member(b"last", prefix=b"a/folder"), END)
    assert found(path) == by_tarfile(path)
    assert read_index(path)["name"].to_pylist() == [base, b"last"]


@pytest.mark.parametrize("name", [b"", b"/", b"folder/"])
def test_a_file_without_a_name_is_nothing(name, write):
    path = write(member(name, b"x" * 600), member(b"last", b"x"), END)
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
def test_names_and_sizes_that_a_header_cannot_hold_are_refused(case, write):
    entry, form = EXTENDED[case]()
    good = member(b"a", b"abc")
    for end in (b"", END):
        told = refusal(write(good, entry.tobuf(form, "utf-8"), end), len(good))
        assert "a header for long names or sparse files" in told


@pytest.mark.parametrize("kind", [b"x", b"g", b"X"])
@pytest.mark.parametrize("overruling", [b"path=b", b"size=512", b"GNU.sparse.major=1", b"GNU.sparse.map=0,1"])
@pytest.mark.parametrize("before", [b"mtime=1.5", b"comment=\n", b"comment=" + b"x" * 70_000])
def test_pax_records_that_overrule_a_header_are_refused(kind, overruling, before, write):
    good = member(b"a", b"abc")
    path = write(good, pax(before, overruling, kind=kind), member(b"c", b"x"), END)
    assert "a header for long names or sparse files" in refusal(path, len(good))


def test_pax_records_behind_the_stated_size_are_seen_as_tarfile_does(write):
    good, extended = member(b"a", b"abc"), pax(b"path=b")
    path = write(good, header(b"PaxHeaders/x", 1, b"x"), extended[BLOCK:], member(b"c", b"x"), END)
    assert by_tarfile(path)[-1][0] == "b"
    assert "a header for long names or sparse files" in refusal(path, len(good))


def test_pax_records_that_overrule_nothing_are_passed_over(write):
    harmless = pax(b"mtime=1325376000.123", b"SCHILY.dev=16", b"comment=my path is the size"), pax(b"uid=1", kind=b"g")
    path = write(*harmless, member(b"a", b"abc"), harmless[0], member(b"b", b"x"), END)
    assert found(path) == by_tarfile(path)
    assert [entry[0] for entry in found(path)] == ["a", "b"]


# --------------------------------------------------------------------------------------- duplicates


def test_of_members_of_one_name_the_last_counts_and_it_is_said_once(write, tmp_path):
    colours = ["red", "blue", "green", "white"]
    names = [IMAGES[0], IMAGES[1], "folder/" + IMAGES[0], IMAGES[0]]
    parts = [member(name.encode(), jpeg(colour)) for name, colour in zip(names, colours)]
    path = write(*parts, END, name=official.VALIDATION_ARCHIVE)
    with pytest.warns(UserWarning, match="holds 2 members twice; the later one counts") as told:
        assert found(path) == by_tarfile(path)[1:2] + by_tarfile(path)[3:]
    assert len(told) == 1
    assert path in str(told[0].message)
    with pytest.warns(UserWarning, match="left out: 49,998 of 50,000") as told:
        assert rows(tmp_path) == {IMAGES[0]: jpeg("white"), IMAGES[1]: jpeg("blue")}
    assert not [warning for warning in told if "twice" in str(warning.message)]


def test_of_two_class_tars_of_one_name_the_last_counts(write):
    def class_tar(*names):
        return member(b"n01440764.tar", b"".join(member(b"n01440764_%d.JPEG" % k, b"x") for k in names) + END)

    path = write(class_tar(1, 2), class_tar(2, 3), END)
    with pytest.warns(UserWarning, match="holds 1 members twice; the later one counts"):
        assert [entry[:2] for entry in found(path)] == [
            ("n01440764_2.JPEG", len(class_tar(1, 2)) + BLOCK),
            ("n01440764_3.JPEG", len(class_tar(1, 2)) + 3 * BLOCK),
        ]


# ------------------------------------------------------------------------------------ other members


@pytest.mark.parametrize("size", [0, 1, 512, 100_000])
@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_folders_devices_and_pipes_are_passed_over(kind, size, write):
    """They have no payload, whatever their header says, and are no images, whatever their name is."""
    names = [IMAGES[0].encode(), b"folder/", b"n01440764.tar"]
    path = write(*(member(name, kind=kind, size=size) for name in names), member(b"a", b"abc"), END)
    assert found(path) == by_tarfile(path) == [("a", 3 * BLOCK, 3)]


@pytest.mark.parametrize("kind", [b"D", b"K", b"M", b"N", b"V", b"A", b"Z", b"8", b"\x80", b" "])
def test_members_of_other_kinds_are_passed_over_with_their_payload(kind, write):
    disguised = member(b"inside", b"x")
    path = write(member(b"a", b"abc"), member(b"odd", disguised, kind=kind), member(b"b", b"x"), END)
    assert [entry[0] for entry in found(path)] == ["a", "b"]
    assert found(path) == by_tarfile(path)


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_the_three_kinds_of_files_are_files(kind, write):
    path = write(member(b"a", b"abc", kind), END)
    assert found(path) == by_tarfile(path) == [("a", 0, 3)]


def test_a_folder_of_the_oldest_tars_is_no_file(write):
    path = write(member(b"folder/", kind=b"\0", size=1024), member(b"a", b"abc"), END)
    assert found(path) == by_tarfile(path) == [("a", BLOCK, 3)]


def test_a_sparse_file_is_refused(write):
    good = member(b"a", b"abc")
    for at, parts in ((0, []), (len(good), [good])):
        path = write(*parts, member(b"b", b"x" * BLOCK, kind=b"S"), END)
        assert "sparse files" in refusal(path, at)


# ---------------------------------------------------------------------------------- ends and rubbish


@pytest.mark.parametrize("end", [b"", bytes(100), bytes(BLOCK), END, END + b"rubbish" * 1000, bytes(BLOCK) + b"x" * 99])
def test_the_end_may_lack_its_blocks_or_be_followed_by_anything(end, write):
    path = write(member(b"a", b"abc"), member(b"b"), end)
    assert found(path) == by_tarfile(path) == [("a", 0, 3), ("b", 1024, 0)]


@pytest.mark.parametrize("before", [1, 4096, 5000])
@pytest.mark.parametrize(
    "rubbish", [b"x" * BLOCK, random.Random(1).randbytes(BLOCK), b"\0" * 511 + b"x", header(b"b")[256:] * 2]
)
def test_rubbish_between_members_is_refused(rubbish, before, write):
    good = b"".join(member(b"%d" % k) for k in range(before))
    assert "no tar header" in refusal(write(good, rubbish, member(b"b"), END), len(good))


def test_what_stands_after_a_zero_block_is_not_in_the_tar(write):
    path = write(member(b"a", b"abc"), bytes(BLOCK), member(b"b"), END)
    assert found(path) == by_tarfile(path) == [("a", 0, 3)]


@pytest.mark.parametrize("cut", [1, 100, BLOCK - 1, BLOCK, 600])
def test_a_cut_within_an_image_is_refused(cut, write):
    good, last = member(b"a", b"abc"), member(b"b", b"x" * 2 * BLOCK)
    told = refusal(write(good, last[:-cut]), len(good))
    assert f"'b' is said to have 1,024 bytes, but its tar ends at byte {len(good + last) - cut:,}" in told


@pytest.mark.parametrize("left", [0, 1, 130, 140, 157, 200, 511])
@pytest.mark.parametrize("kind", [b"0", b"5", b"\0"])
def test_a_file_cut_off_while_it_is_walked_is_refused(kind, left, write, monkeypatch):
    good = member(b"a", b"abc") + member(b"b", b"x")
    path = write(good, member(b"folder/", kind=kind), member(b"c"), END)

    def pread(fd, size, at, pread=os.pread):
        content = pread(fd, size, at)
        return content[: len(good) + left - at] if at in (len(good), len(good) + BLOCK) else content

    monkeypatch.setattr(os, "pread", pread)  # streaming makes datasets give the module its own os
    with pytest.raises(ArchiveError, match=rf"{re.escape(path)}, byte {len(good):,}: found "):
        read_index(path)


# --------------------------------------------------------------------------------------- class tars


def test_a_class_tar_is_read_within_its_bounds_only(write):
    inner = member(b"n01440764_1.JPEG", b"x") + header(b"n01440764_2.JPEG", 1)  # its payload would be the next header
    path = write(member(b"n01440764.tar", inner), member(b"n01443537.tar", END), END)
    assert f"its tar ends at byte {BLOCK + len(inner):,}" in refusal(path, 3 * BLOCK)


def test_what_is_no_image_of_its_class_is_passed_over_in_a_class_tar(write):
    strangers = [
        member(b"ILSVRC2012_val_00000001.JPEG", b"x"),
        member(b"n01440764_9.tar", member(b"n01440764_8.JPEG", b"x") + END),
        member(b"n01443537.tar", member(b"n01443537_1.JPEG", b"x") + END),
        member(b"n01440764_7.JPEG", kind=b"1"),
    ]
    inner = b"".join([*strangers, member(b"n01440764_1.JPEG", b"x"), END])
    no_class = member(b"n01440764.tar.old", member(b"n01440764_2.JPEG", b"x") + END)
    path = write(member(b"n01440764.tar", inner), no_class, member(b"notes.txt", b"no tar" * 200), END)
    assert [name for name, *_ in found(path) if name.endswith("JPEG")] == ["n01440764_1.JPEG"]


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08" + b"x" * 700, b"<html>" * 100, b"x" * 511])
def test_a_class_tar_that_is_none_is_refused(content, write):
    good = member(b"n01440764.tar", member(b"n01440764_1.JPEG", b"x") + END)
    path = write(good, member(b"n01443537.tar", content), END)
    if len(content) < BLOCK:  # too short for any member: an empty class, whose images are absent
        assert len(found(path)) == 1
    else:
        assert "no tar header" in refusal(path, len(good) + BLOCK)


# ------------------------------------------------------------------------------- bounds and writing


class in_memory:
    """A context in which Python and Arrow together may hold so many bytes more at once."""

    def __init__(self, allowed):
        self.allowed = allowed

    def __enter__(self):
        self.arrow = pa.default_memory_pool().max_memory()
        tracemalloc.start()

    def __exit__(self, *_):
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak + pa.default_memory_pool().max_memory() - self.arrow < self.allowed


def test_many_empty_members_take_little_memory(write):
    """A header has 512 bytes; what is kept of it is a tenth of that."""
    count = 50_000
    path = write(b"".join(member(b"%d" % k) for k in range(count)))
    with in_memory(count * BLOCK * 2 // 3):
        assert read_index(path).num_rows == count


@pytest.mark.parametrize("kind", [b"5", b"g"])
def test_the_first_image_may_stand_after_very_many_other_members(kind, write):
    """Reading on must not take longer with each: 200,000 would take hours."""
    path = write(member(b"folder", kind=kind) * 200_000, member(b"a", b"abc"), END)
    assert found(path) == [("a", 200_000 * BLOCK, 3)]


@pytest.mark.filterwarnings("ignore:.*left out")
def test_nothing_is_written_outside_the_caches(write, tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for variable in ("TMPDIR", "HOME"):
        monkeypatch.setenv(variable, str(work))
    names = ["../../../" + IMAGES[0], "/" + IMAGES[1], "~/" + IMAGES[2], "../link", "../folder"]
    kinds = [b"0", b"0", b"0", b"2", b"5"]
    parts = [member(name.encode(), jpeg("red") * (kind == b"0"), kind) for name, kind in zip(names, kinds)]
    write(*parts, END, name=official.VALIDATION_ARCHIVE)
    before = sorted(tmp_path.rglob("*"))
    assert list(rows(tmp_path)) == IMAGES[:3]
    assert list(rows(tmp_path, streaming=False, cache_dir=str(tmp_path / "cache"))) == IMAGES[:3]
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == before
    assert not os.path.exists("/" + IMAGES[1])
    indexes = os.listdir(os.path.dirname(imagenet_subsets.index_path(tmp_path)))
    assert not [name for name in indexes if not re.fullmatch(r"[0-9a-f]{16}\.index(\.lock)?", name)]


# ------------------------------------------------------------------------------------- any archive


class Refused(Exception):
    """CPython's ``tarfile`` does not take a tar, or ends at rubbish without a word."""


class StrictInfo(tarfile.TarInfo):
    """``TarFile`` ends without a word where no header is, except at the first; this tells."""

    @classmethod
    def fromtarfile(cls, tar):
        try:
            entry = super().fromtarfile(tar)
        except tarfile.InvalidHeaderError as error:
            raise Refused from error
        if entry.size < 0 or tar.offset < entry.offset + BLOCK:  # old versions go round in circles
            raise Refused
        return entry


def strictly_by_tarfile(content, start=0):
    """{base name: (offset of the header, size)} of the regular members; ``Refused``."""
    entries = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:", tarinfo=StrictInfo) as tar:
            for entry in tar:
                name = entry.name.encode("utf-8", "surrogateescape").rpartition(b"/")[2]
                if entry.isreg() and name:
                    entries[name] = (start + entry.offset_data - BLOCK, entry.size)
    except (tarfile.TarError, ValueError, OverflowError, Refused) as error:
        raise Refused from error
    return entries


SIZES = st.sampled_from([0, 1, 3, 511, 512, 513, 1024, 1500])
NAMES = st.sampled_from(
    [b"a", b"b", b"c", b"d/a", b"./b", b"/c", b"d/", b"", b"e\0f", b"\xc3\xa4", b"\xe4", b"g" * 100, b"h h", b"7" * 99]
)
KINDS = st.sampled_from([bytes([code]) for code in b"0" * 30 + b"\0" * 8 + b"7712345655LKSxxgXVDMA\xff"])
RECORDS = st.lists(
    st.sampled_from(
        [b"mtime=1.25", b"comment=hello", b"path=p", b"size=3", b"size=600", b"GNU.sparse.major=1", b"uid=5", b"path="]
    ),
    max_size=3,
)
FIELDS = st.sampled_from([b"%011o\0", b"%011o ", b"%012o", b"%o", b"%11o ", b" %o\0", b"%o\0rubbish", "base 256"])
SPECIAL = st.sampled_from([b"", b"-1", b"-1000", b"8", b"0o17", b"1_0", b"+17", b"\x1f1", b"1\x0b"]) | st.builds(
    base_256, st.integers(-(2**80), 2**80) | st.integers(-2000, 2000)
)


@st.composite
def handmade(draw):
    """A member whose header is right, or very nearly."""
    name, size, kind, field = draw(NAMES), draw(SIZES), draw(KINDS), draw(FIELDS)
    content = draw(st.sampled_from([b"x", header(b"inside")])) * size
    if kind in b"xgX" and draw(st.integers(0, 5)):
        content = pax(*draw(RECORDS))[BLOCK:]
        size = len(content.rstrip(b"\0"))
    elif kind in b"LK" and draw(st.booleans()):
        content = b"long name\0"
        size = len(content)
    number = base_256(size) if field == "base 256" else field % size
    if not draw(st.integers(0, 15)):
        number = draw(SPECIAL)
    prefix = draw(st.sampled_from([b"", b"", b"folder"]))
    return header(name, number.ljust(12, b"\0")[:12], kind, prefix) + padded(content[:size])


@st.composite
def by_the_library(draw):
    """A member as ``tarfile`` writes it, in one of its three formats."""
    entry = tarfile.TarInfo(draw(st.sampled_from(["a", "b/c", "ä", "l" * 120, "m/" * 60 + "n"])))
    entry.size, entry.mtime = draw(SIZES), draw(st.sampled_from([0, 1.5, 2**34]))
    entry.type = draw(st.sampled_from([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]))
    entry.linkname = draw(st.sampled_from(["", "a", "k" * 150]))
    try:
        head = entry.tobuf(draw(st.sampled_from([GNU, USTAR, PAX])), "utf-8", "surrogateescape")
    except ValueError:  # too long for USTAR
        head = entry.tobuf(GNU, "utf-8", "surrogateescape")
    return head + padded(b"x" * entry.size) * (entry.type == tarfile.REGTYPE)


@st.composite
def changed(draw, content):
    """Bytes changed, cut or put in; often the header around them gets a fitting checksum afterwards."""
    content = bytearray(content)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["flip", "field", "field", "field", "cut", "put in", "take out", "block"]))
        if how == "cut":
            del content[at:]
        elif how == "put in":
            content[at:at] = draw(st.binary(max_size=8) | st.just(bytes(BLOCK)) | st.just(header(b"put in")))
        elif how == "take out":
            del content[at : at + draw(st.sampled_from([1, 8, BLOCK]))]
        elif how == "block":
            at -= at % BLOCK
            content[at : at + BLOCK] = draw(st.sampled_from([bytes(BLOCK), b"x" * BLOCK]))
        elif how == "field":  # within the fields that matter, of a block that then has the checksum of a header
            at -= at % BLOCK
            place = draw(st.sampled_from([0, 50, 99, 124, 125, 134, 135, 156, 257, 345]))
            block = content[at : at + BLOCK].ljust(BLOCK, b"\0")
            block[place] = draw(st.sampled_from([*b"\0 /-78x1L5", 0x80, 0xFF]))
            content[at : at + BLOCK] = signed(block)
        elif content:
            content[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


TARS = st.builds(
    lambda members, end: b"".join(members) + end,
    st.lists(handmade() | handmade() | handmade() | by_the_library(), min_size=1, max_size=6),
    st.sampled_from([b"", END, bytes(BLOCK), END + b"rubbish"]),
).flatmap(changed)


@pytest.fixture(scope="module")
def index_of(tmp_path_factory):
    """``index_of(content)``: {name: (offset, size)} of an archive, by the reader under test; each is a new file."""
    folder, count = tmp_path_factory.mktemp("fuzz"), itertools.count()

    def index_of(content):
        path = folder / f"{next(count)}.tar"
        path.write_bytes(content)
        try:
            return {row["name"]: (row["offset"], row["size"]) for row in read_index(str(path)).to_pylist()}
        finally:
            path.unlink()
            for left in (imagenet_subsets.index_path(path), imagenet_subsets.index_path(path) + ".lock"):
                if os.path.exists(left):
                    os.unlink(left)

    return index_of


@pytest.mark.filterwarnings("ignore:.*twice")
@hypothesis.settings(max_examples=300, **FUZZ)
@hypothesis.given(content=TARS)
def test_any_tar_is_refused_or_read_as_tarfile_does(content, index_of):
    try:
        index = index_of(content)
    except ArchiveError:
        return
    try:
        entries = strictly_by_tarfile(content)
    except Refused:
        return
    assert index == entries


@pytest.mark.filterwarnings("ignore:.*twice")
@hypothesis.settings(max_examples=100, **FUZZ)
@hypothesis.given(
    members=st.lists(
        st.builds(
            lambda name, size, kind, field: (
                header(name, (base_256(size) if field == "base 256" else field % size).ljust(12, b"\0")[:12], kind)
                + padded(b"x" * (size * (kind in b"0\x007V")))
            ),
            NAMES.filter(lambda name: not name.endswith(b"/")),
            SIZES,
            st.sampled_from([bytes([code]) for code in b"00000\x00712345V"]),
            FIELDS,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_sound_tar_of_plain_members_is_read(members, index_of):
    content = b"".join(members) + END
    assert index_of(content) == strictly_by_tarfile(content)


@st.composite
def nested(draw):
    """Class tars in a tar, with images of their class, of others, duplicates, and changed bytes."""
    wnids = [b"n01440764", b"n01443537", b"n01484850"]
    images = st.lists(st.tuples(st.sampled_from([0] * 9 + [1]), st.integers(1, 4), SIZES), max_size=4)
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        own = draw(st.integers(0, 2))
        inner = b"".join(
            member(b"%b_%d.JPEG" % (wnids[(own + other) % 3], number), b"x" * size)
            for other, number, size in draw(images)
        )
        parts.append(member(wnids[own] + b".tar", inner + draw(st.sampled_from([END, END, b""]))))
    return draw(changed(b"".join(parts) + END))


@pytest.mark.filterwarnings("ignore:.*twice")
@hypothesis.settings(max_examples=200, **FUZZ)
@hypothesis.given(content=nested())
def test_any_tar_of_class_tars_is_refused_or_read_as_tarfile_does(content, index_of):
    try:
        index = index_of(content)
    except ArchiveError:
        return
    try:
        outer = strictly_by_tarfile(content)
        if not re.fullmatch(rb"n\d{8}\.tar", min(outer, key=outer.get, default=b"")):
            return  # another kind of archive now, which is another test's
        entries = {}
        for name, (offset, size) in outer.items():
            start = offset + BLOCK
            if re.fullmatch(rb"n\d{8}\.tar", name) and content[start : start + size].strip(b"\0"):
                inner = strictly_by_tarfile(content[start : start + size], start)
                entries.update({image: at for image, at in inner.items() if image.startswith(name[:9] + b"_")})
    except Refused:
        return
    assert index == entries


@hypothesis.settings(max_examples=100, **FUZZ)
@hypothesis.given(data=st.data())
def test_a_damaged_index_is_never_believed(data, sound):
    path, table, content = sound
    index = imagenet_subsets.index_path(path)
    damaged = bytearray(content)
    at = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["flip", "flip", "flip", "cut", "put in", "zeros", "empty"]))
    if how == "flip":
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "put in":
        damaged[at:at] = data.draw(st.binary(max_size=20))
    elif how == "zeros":
        damaged[at:] = bytes(len(damaged) - at)
    else:
        del damaged[at * (how == "cut") :]
    with open(index, "wb") as file:
        file.write(damaged)
    assert read_index(path).equals(table)
    with open(index, "rb") as file:  # and made anew
        assert file.read() == content


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """(path, its table, the bytes of its index) of a sound archive."""
    path = str(tmp_path_factory.mktemp("sound") / "a.tar")
    with open(path, "wb") as file:
        file.write(b"".join(member(name.encode(), b"x" * len(name)) for name in IMAGES) + END)
    table = read_index(path)
    with open(imagenet_subsets.index_path(path), "rb") as file:
        return path, table, file.read()
