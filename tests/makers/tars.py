"""Handmade tars, header by header, and tars of images made by CPython's ``tarfile``."""

import itertools
import tarfile

from imagenet_subsets_tools.standins import layouts

BLOCK = 512
END = bytes(2 * BLOCK)
GNU, USTAR, PAX = tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT


def base_256(number, width=12):
    return (number + (number < 0) * 256**width + (number >= 0) * 0x80 * 256 ** (width - 1)).to_bytes(width, "big")


def header(name, size=0, kind=b"0", prefix=b""):
    """A handmade header: ``size`` is a number, or the 12 bytes of its field."""
    block = bytearray(tarfile.TarInfo().tobuf(USTAR))
    block[:100] = name.ljust(100, b"\0")
    block[124:136] = b"%011o\0" % size if isinstance(size, int) else size
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


def write_tar(path, images):
    """Write a flat tar of images, ``dict`` of file name -> bytes."""
    layouts.write_tar(path, images.items())
