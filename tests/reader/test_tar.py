"""A tar is untrusted input: read like ``tarfile``, or refused at the wrong byte, on fast and on slow storage.

``read_index`` takes archives of any name; the official names are used where rows matter.
"""

import itertools
import os
import random
import re
import tarfile
import threading
import time

import pytest
from helpers.faults import NAMES, VAL_OPTIONS, images_of, load
from helpers.layout_rows import stream
from makers.images import jpeg
from makers.layouts import WNIDS
from makers.tars import BLOCK, END, GNU, PAX, base_256, header, member, padded, pax

from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError, read_index

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("time_limit")]
LAST = member(b"last", b"abc")
IMAGES = NAMES[:3]


def found(path):
    """[(name, offset of the header, size)], by the reader under test."""
    return [(row["name"].decode("latin-1"), row["offset"], row["size"]) for row in read_index(path).to_pylist()]


def by_tarfile(path):
    """The same by CPython."""
    with tarfile.open(path, encoding="latin-1") as tar:
        return [(os.path.basename(entry.name), entry.offset_data - BLOCK, entry.size) for entry in tar if entry.isreg()]


def refusal(path, at):
    """The error of an archive; asserts that it names the archive, the byte and what to do."""
    with pytest.raises(ArchiveError, match=rf"^{re.escape(path)}, byte {at:,}: found .*download it again") as raised:
        read_index(path)
    with pytest.raises(ArchiveError):  # no index was kept of what had been found before the error
        read_index(path)
    return str(raised.value)


def rows(folder, **options):
    """{file name: bytes} of the validation split, streamed."""
    return dict(images_of(load(folder / VALIDATION_ARCHIVE, **{"streaming": True, **VAL_OPTIONS, **options})))


def test_each_name_kind_and_form_of_a_size_is_read(write_archive):
    names = b"d/a", b"./b", b"/c", b"e\0f", b"\xc3\xa4", b"\xe4", b"g" * 100
    forms = "%011o\0", "%011o ", "%012o", "%o", "%11o ", " %o\0", "%o\0rubbish", "base 256"
    members = [member(name, b"x") for name in names]
    for form, size, kind in itertools.product(forms, (0, 1, 511, 512, 1500), b"102030405\x007V"):
        field = base_256(size) if form == "base 256" else (form % size).encode().ljust(12, b"\0")[:12]
        payload = padded(b"x" * size) if kind in b"0\x007V" else b""
        members += [header(b"%d" % len(members), field, bytes([kind])), payload]
    path = write_archive(*members, END)
    assert found(path) == by_tarfile(path)


READ = {  # what test_tar_fuzz.py does not make
    "folders in the prefix": member(b"b", b"abc", prefix=b"a/folder"),
    "a member of an unknown type": member(b"odd", member(b"inside", b"x"), kind=b"D"),
    "PAX records that change nothing": pax(b"mtime=1325376000.123", b"comment=my path is the size")
    + pax(b"uid=1", kind=b"g"),
    "members after a zero block": bytes(BLOCK) + member(b"b"),
}


@pytest.mark.parametrize("case", READ)
def test_valid_members_are_read_like_tarfile(case, write_archive):
    path = write_archive(member(b"a", b"abc"), READ[case], LAST, END)
    assert found(path) == by_tarfile(path)
    assert found(path)[0] == ("a", 0, 3) and (found(path)[-1][0] == "last") == ("zero block" not in case)


def long_name(form):
    return tarfile.TarInfo("x" * 101).tobuf(form)


NO_HEADER, LONG = "found no tar header", "a header for long names or sparse files"
REFUSED = {
    "a negative size": (header(b"b", b"-0000000001\0"), "a header that says that 'b' has -1 bytes"),
    "a checksum that is no number": (header(b"b")[:148] + b"checksum" + header(b"b")[156:], NO_HEADER),
    "a wrong checksum of the name": (b"c" + header(b"b")[1:], NO_HEADER),
    "a long name of GNU tar": (long_name(GNU), LONG),
    "a long name of PAX": (long_name(PAX), LONG),
    "a size in global PAX": (pax(b"mtime=1.5", b"size=512", kind=b"g"), LONG),
    "a sparse file": (member(b"b", b"x" * BLOCK, kind=b"S"), "sparse files"),
    "random bytes": (random.Random(1).randbytes(BLOCK), NO_HEADER),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_members_are_refused_where_they_begin(case, write_archive):
    wrong, words = REFUSED[case]
    for before in (1, 5000):  # few, and more than are checked at once
        good = member(b"a", b"abc") * before
        assert words in refusal(write_archive(good, wrong, LAST, END), len(good))


@pytest.mark.parametrize("cut", [1, BLOCK, 600])
def test_truncation_within_an_image_is_refused(cut, write_archive):
    good, last = member(b"a", b"abc"), member(b"b", b"x" * 2 * BLOCK)
    message = refusal(write_archive(good, last[:-cut]), len(good))
    assert f"that 'b' has 1,024 bytes, but its tar ends at byte {len(good + last) - cut:,}" in message


@pytest.mark.filterwarnings("ignore:.*left out")
def test_huge_image_is_left_out(write_archive, tmp_path):
    image = member(IMAGES[0].encode(), jpeg("red"))
    write_archive(image, header(IMAGES[1].encode(), 3 << 30), name=VALIDATION_ARCHIVE)
    os.truncate(tmp_path / VALIDATION_ARCHIVE, len(image) + BLOCK + (3 << 30))  # a hole
    assert rows(tmp_path) == {IMAGES[0]: jpeg("red")}
    with pytest.raises(ArchiveError, match=rf"missing or empty.*{IMAGES[1]}"):
        rows(tmp_path, on_missing="error")


@pytest.mark.filterwarnings("ignore:.*left out")
def test_last_duplicate_member_wins_with_one_warning(write_archive, tmp_path):
    names, colours = [IMAGES[0], IMAGES[1], "folder/" + IMAGES[0], IMAGES[0]], ["red", "blue", "green", "white"]
    parts = [member(name.encode(), jpeg(colour)) for name, colour in zip(names, colours)]
    path = write_archive(*parts, END, name=VALIDATION_ARCHIVE)
    with pytest.warns(UserWarning, match="has 2 duplicate member names; the last one wins") as warned:
        assert found(path) == by_tarfile(path)[1:2] + by_tarfile(path)[3:]
    assert len(warned) == 1 and path in str(warned[0].message)
    assert rows(tmp_path) == {IMAGES[0]: jpeg("white"), IMAGES[1]: jpeg("blue")}


CLASSES = [b"n01440764", b"n01443537", b"n01484850", b"n01491361"]


def class_tar(wnid, count=500, damaged_at=None):
    """The members of a class tar, of which one has no header."""
    images = [member(b"%b_%d.JPEG" % (wnid, k), b"x") for k in range(count)]
    if damaged_at is not None:
        images[damaged_at] = b"x" * len(images[damaged_at])
    return b"".join(images) + END


@pytest.fixture(params=["fast", "slow"])
def storage(request, before_reads):
    """Storage that answers at once, or after 2 ms, so that the walk goes either way."""
    if request.param == "slow":
        before_reads(lambda position, size: time.sleep(0.002))


@pytest.mark.usefixtures("storage")
def test_images_of_all_class_tars_are_found_in_order(write_archive):
    path = write_archive(*(member(wnid + b".tar", class_tar(wnid)) for wnid in CLASSES), END)
    table = read_index(path)
    assert table["name"].to_pylist() == [b"%b_%d.JPEG" % (wnid, k) for wnid in CLASSES for k in range(500)]
    offsets = [BLOCK + at * (501 * 2 * BLOCK + BLOCK) for at in range(4)]
    assert table["offset"].to_pylist() == [start + 2 * BLOCK * k for start in offsets for k in range(500)]


@pytest.mark.usefixtures("storage")
def test_first_error_in_the_archive_is_reported(write_archive):
    damaged = {CLASSES[1]: 450, CLASSES[2]: 0, CLASSES[3]: 3}
    parts = [member(wnid + b".tar", class_tar(wnid, damaged_at=damaged.get(wnid))) for wnid in CLASSES]
    refusal(write_archive(*parts, END), len(parts[0]) + BLOCK + 450 * 2 * BLOCK)


def test_slow_storage_is_read_in_large_pieces_or_by_threads(write_archive, before_reads):
    path = write_archive(*(member(wnid + b".tar", class_tar(wnid)) for wnid in CLASSES), END)
    reads = []

    def slow(position, size):
        reads.append((threading.get_ident(), size))
        time.sleep(0.01)

    before_reads(slow)
    assert read_index(path).num_rows == 2000
    assert len({thread for thread, _ in reads}) > 4 or max(size for _, size in reads) > 1 << 20


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


def test_swapped_class_tars_are_named(tmp_path):
    for wnid, named in zip(WNIDS[:3], [WNIDS[0], WNIDS[2], WNIDS[1]]):
        (tmp_path / f"{named}.tar").write_bytes(member(f"{wnid}_1.JPEG".encode(), jpeg("red")) + END)
    message = rf"{tmp_path}/{WNIDS[1]}\.tar, byte 0: found {WNIDS[2]}_1.JPEG in the class tar of {WNIDS[1]}"
    with pytest.raises(ArchiveError, match=message):
        stream(tmp_path, train_list=[f"{wnid}_1.JPEG" for wnid in WNIDS[:3]], splits=["train"])


def apple_double(*members):
    """The members as macOS writes them, each after one with its attributes, in both existing forms."""
    parts = []
    for name, content in members:
        parts += [pax(b"mtime=1.5"), member(b"./._" + name, b"\0\5\x16\7" + bytes(200)), member(b"./" + name, content)]
    return b"".join(parts) + END


def test_archives_packed_by_macos(tmp_path):
    image, validation = b"n01440764_10026.JPEG", IMAGES[0].encode()
    tar = apple_double((image, jpeg("red")))
    (tmp_path / TRAIN_ARCHIVE).write_bytes(apple_double((CLASSES[0] + b".tar", tar)))
    (tmp_path / VALIDATION_ARCHIVE).write_bytes(apple_double((validation, jpeg("blue"))))
    loaded = stream(tmp_path, train_list=[image.decode()], validation_list=[IMAGES[0]], image_bytes="archive")
    assert [row["image"]["bytes"] for rows in loaded.values() for row in rows] == [jpeg("red"), jpeg("blue")]


@pytest.mark.parametrize(
    ("changed", "at", "message"),
    [
        (member(b"n01484850_1.JPEG", b"x") + b"x" * BLOCK, 2 * BLOCK, "found no tar header"),
        (member(b"n01443537_7.JPEG", b"x"), 0, "found n01443537_7.JPEG in the class tar of n01484850"),
    ],
)
def test_error_in_a_class_tar_names_its_file(changed, at, message, tmp_path):
    options = {"train_list": [f"{wnid}_1.JPEG" for wnid in WNIDS[:4]], "splits": ["train"]}
    for wnid in WNIDS[:4]:
        images = b"".join(member(f"{wnid}_{k}.JPEG".encode(), jpeg("red")) for k in (1, 2))
        (tmp_path / f"{wnid}.tar").write_bytes(images + END)
    (tmp_path / f"{WNIDS[2]}.tar").write_bytes(changed + END)
    with pytest.raises(ArchiveError, match=f"{tmp_path / WNIDS[2]}.tar, byte {at:,}: {message}"):
        stream(tmp_path, **options)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_nothing_is_written_outside_the_caches(write_archive, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "work"))
    names = ["../../../" + IMAGES[0], "/" + IMAGES[1], "~/" + IMAGES[2]]
    write_archive(*(member(name.encode(), jpeg("red")) for name in names), END, name=VALIDATION_ARCHIVE)
    before = {*tmp_path.rglob("*")}
    assert list(rows(tmp_path, streaming=False, cache_dir=str(tmp_path / "cache"))) == IMAGES
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before
    assert not os.path.exists("/" + IMAGES[1])
