"""A tar is untrusted input: any bytes are read like CPython's ``tarfile``, or refused."""

import io
import itertools
import os
import re
import tarfile

import hypothesis
import hypothesis.configuration
import hypothesis.strategies as st
import pytest
from makers.tars import BLOCK, END, base_256, header, member, padded, pax, signed

from imagenet_subsets import ArchiveError, read_index

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("time_limit")]


hypothesis.configuration.set_hypothesis_home_dir(os.path.join(os.environ["HF_HOME"], "hypothesis"))
FUZZ = {"derandomize": True, "database": None, "deadline": None}


class Refused(Exception):
    """CPython's ``tarfile`` refuses a tar, or stops silently at garbage."""


class StrictInfo(tarfile.TarInfo):
    """``TarFile`` stops silently where it finds no header, except at the first; this records it."""

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
    """A member whose header is correct, or nearly so."""
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
def changed(draw, content):
    """Bytes changed, removed or inserted; often the checksum of the header is then corrected."""
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
    st.lists(handmade(), min_size=1, max_size=6),
    st.sampled_from([b"", END, bytes(BLOCK), END + b"rubbish"]),
).flatmap(changed)


@pytest.fixture(scope="module")
def index_of(tmp_path_factory):
    """``index_of(content)``: {name: (offset, size)} of an archive, by the reader under test; each is a new file."""
    folder, count = tmp_path_factory.mktemp("fuzz"), itertools.count()

    def index_of(content):
        path = folder / f"{next(count)}.tar"
        path.write_bytes(content)
        return {row["name"]: (row["offset"], row["size"]) for row in read_index(path).to_pylist()}

    return index_of


@hypothesis.settings(max_examples=300, **FUZZ)
@hypothesis.given(content=TARS)
def test_tars_are_refused_or_read_like_tarfile(content, index_of):
    try:
        index = index_of(content)
    except ArchiveError:
        return
    try:
        entries = strictly_by_tarfile(content)
    except Refused:
        return
    assert index == entries


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


@hypothesis.settings(max_examples=200, **FUZZ)
@hypothesis.given(content=nested())
def test_tars_of_class_tars_are_refused_or_read_like_tarfile(content, index_of):
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
