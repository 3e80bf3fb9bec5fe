"""The central directory of a zip is untrusted, too: read like CPython's ``zipfile``, or refused."""

import io
import zipfile

import hypothesis
import hypothesis.strategies as st
import pytest

from imagenet_reader.formats import zip_directory
from imagenet_reader.sources import open_file

pytestmark = pytest.mark.once

FUZZ = {"derandomize": True, "database": None, "deadline": None}


def by_zipfile(content):
    """[(name, flags, method, packed size, size, offset)] by CPython; ``None`` if it does not take the zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [
                (info.filename, info.flag_bits, info.compress_type, info.compress_size, info.file_size,
                 info.header_offset)
                for info in archive.infolist()
            ]  # fmt: skip
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError):
        return None


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """``found(content)``: the same by the reader under test."""
    path = tmp_path_factory.mktemp("zip") / "a.zip"

    def found(content):
        path.write_bytes(content)
        try:
            with open_file(str(path)) as file:
                entries = [(entry.name, *entry[1:]) for entry in zip_directory.entries(file)]
        except zipfile.BadZipFile:
            return None
        return [(name.decode("utf-8" if flags & 0x800 else "cp437"), flags, *rest) for name, flags, *rest in entries]

    return found


@st.composite
def zips(draw):
    """A zip with members stored and deflated, with extra fields, comments, numbers of 64 bits, and bytes before it."""
    file = io.BytesIO(draw(st.sampled_from([b"", b"", b"#!/bin/sh\n", b"PK\5\6" * 9])))
    file.seek(0, 2)
    with zipfile.ZipFile(file, "a" if file.tell() else "w") as archive:
        for name in draw(st.lists(st.sampled_from(["a.JPEG", "b/c.JPEG", "ä", "d/", "long" * 80]), max_size=5)):
            info = zipfile.ZipInfo(name)
            info.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            info.comment = draw(st.sampled_from([b"", b"a comment", b"PK\5\6"]))
            info.extra = draw(st.sampled_from([b"", b"\x99\x99\x04\x00abcd"]))
            if draw(st.booleans()):  # as if it were larger than 4 GiB
                archive.start_dir = file.seek(0, 2)
                info.file_size = info.compress_size = draw(st.sampled_from([0, 5 << 30]))
                info.header_offset = draw(st.sampled_from([0, 6 << 30]))
                info.CRC = 0
                archive.filelist.append(info)
                archive._didModify = True
            else:
                archive.writestr(info, b"x" * draw(st.integers(0, 100)))
        archive.comment = draw(st.sampled_from([b"", b"", b"a comment", b"x" * 0xFFFF]))
    return file.getvalue()


@st.composite
def damaged_zips(draw):
    content = bytearray(draw(zips()))
    for _ in range(draw(st.integers(0, 3))):
        tail = min(len(content), draw(st.sampled_from([22, 42, 98, 200, 400])))
        at = len(content) - draw(st.integers(1, max(tail, 1)))
        how = draw(st.sampled_from(["flip", "set", "cut", "put in"]))
        if how == "flip":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "set":
            content[at] = draw(st.sampled_from([0, 1, 0xFF]))
        elif how == "cut":
            del content[at : at + draw(st.integers(1, 30))]
        else:
            content[at:at] = draw(st.binary(max_size=8))
        if not content:
            break
    return bytes(content)


@hypothesis.settings(max_examples=200, suppress_health_check=list(hypothesis.HealthCheck), **FUZZ)
@hypothesis.given(content=zips())
def test_zips_of_zipfile_are_read(content, found):
    assert by_zipfile(content) is not None
    assert found(content) == by_zipfile(content)


@hypothesis.settings(max_examples=500, suppress_health_check=list(hypothesis.HealthCheck), **FUZZ)
@hypothesis.given(content=damaged_zips())
def test_zips_are_refused_or_read_like_zipfile(content, found):
    entries, expected = found(content), by_zipfile(content)
    assert entries is None or expected is None or entries == expected


def test_a_directory_is_read_in_pieces(found, monkeypatch):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for k in range(5_000):
            archive.writestr(f"{k}.JPEG", b"x" * (k % 7))
    monkeypatch.setattr(zip_directory, "PIECE_BYTES", 1000)
    assert found(file.getvalue()) == by_zipfile(file.getvalue())
    assert found(file.getvalue()[:-100]) is None
