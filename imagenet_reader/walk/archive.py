"""Listing the members of tars by walking over all their headers."""

import functools
import operator
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from imagenet_reader.formats.tar_header import BLOCK
from imagenet_reader.index.members import MEMBERS
from imagenet_reader.official import CLASS_TAR
from imagenet_reader.sources import File
from imagenet_reader.sources.forwards import Forwards
from imagenet_reader.sources.pool import FilePool
from imagenet_reader.walk.race import finish
from imagenet_reader.walk.tar_walk import TarWalk

APPLE_DOUBLE = b"._"  # macOS's tar stores attributes in such a member before each member (RFC 1740)


def first_member(file: File) -> bytes:
    """The name of the first regular member of a tar, without folders; empty if the tar has none.

    AppleDouble members are skipped.

    Raises:
        ArchiveError: the file is not a tar.
        OSError: it cannot be read.
    """
    walk = TarWalk(file.path, 0, file.stamp().size)
    while not walk.done and walk.error is None:
        walk.advance(file.read, functools.partial(operator.eq, walk.position))  # by one header
        for name in walk.take_names():
            if not name.startswith(APPLE_DOUBLE):
                return name
    if walk.error is not None:
        raise walk.error
    return b""


def walk_archive(path: str) -> pa.Table:
    """The images in a tar of images or in a tar of class tars, ``pa.Table`` of ``MEMBERS``, each name once.

    Raises:
        ArchiveError: the archive is damaged or truncated, or has members that no ImageNet archive has.
        OSError: it cannot be read.
    """
    files = FilePool()
    file = files.get(path)
    walks = [TarWalk(path, 0, file.stamp().size)]
    if CLASS_TAR.fullmatch(first_member(file)):
        walks = _class_tar_walks(file)
    finish(walks, files, os.path.basename(path))
    return pa.concat_tables([MEMBERS.empty_table(), *(walk.take_members() for walk in walks)])


def walk_tars(paths: Sequence[str], prefixes: Sequence[bytes] | None = None) -> pa.Table:
    """The regular members of several tars in one folder.

    Args:
        paths: the tars.
        prefixes: per tar, the name prefix of the members to list, such as ``b"n01440764_"`` for a class tar; by
            default, all members are listed.

    Returns:
        ``pa.Table`` with the columns of ``MEMBERS``, and ``file``, ``int64``, the tar's number in ``paths``; each name
        once per tar.

    Raises:
        ArchiveError: a tar is damaged or truncated, has members that no ImageNet archive has, or has images of a class
            other than that of its prefix.
        OSError: a tar cannot be read.
    """
    files = FilePool()
    sizes = [files.get(path).stamp().size for path in paths]
    walks = [TarWalk(path, 0, size, prefix) for path, size, prefix in zip(paths, sizes, prefixes or [b""] * len(paths))]
    if walks:
        finish(walks, files, os.path.dirname(paths[0]))
    tables = [MEMBERS.append(pa.field("file", pa.int64())).empty_table()]
    for number, walk in enumerate(walks):
        table = walk.take_members()
        tables.append(table.append_column("file", pa.array([number] * len(table), pa.int64())))
    return pa.concat_tables(tables)


def walk_forwards(file: Forwards) -> Iterator[pa.Table]:
    """The images in a tar of images or of class tars that is read forwards: tables of ``MEMBERS``, piece by piece.

    Raises:
        ArchiveError, OSError: as ``walk_archive``.
    """
    nested = CLASS_TAR.fullmatch(first_member(file))
    walk = TarWalk(file.path, 0, file.stamp().size)
    if not nested:
        yield from _in_pieces(walk, file)
        return
    while not walk.done and walk.error is None:
        walk.advance(file.read, functools.partial(operator.eq, walk.position))  # by one header
        for class_tar in _class_tars(file.path, walk.take_members()):
            yield from _in_pieces(class_tar, file)
    if walk.error is not None:
        raise walk.error


def _in_pieces(walk: TarWalk, file: Forwards) -> Iterator[pa.Table]:
    while not walk.done and walk.error is None:
        walk.advance(file.read, functools.partial(operator.gt, file.end_of_piece(walk.position)))
        yield walk.take_members()
    if walk.error is not None:
        raise walk.error


def walk_tar(file: File, prefix: bytes = b"") -> pa.Table:
    """The regular members of an open tar, ``pa.Table`` of ``MEMBERS``, each name once; errors as in ``walk_tars``.

    With a ``prefix``, only members whose name has it are listed.
    """
    walk = TarWalk(file.path, 0, file.stamp().size, prefix)
    walk.advance(file.read, lambda _: True)
    if walk.error is not None:
        raise walk.error
    return walk.take_members()


def _class_tar_walks(file: File) -> list[TarWalk]:
    """The walks over the class tars in an archive."""
    return list(_class_tars(file.path, walk_tar(file)))


def _class_tars(path: str, members: pa.Table) -> Iterator[TarWalk]:
    """The walks over those members of an archive that are class tars."""
    for member in members.to_pylist():
        if CLASS_TAR.fullmatch(member["name"]):
            start = member["offset"] + BLOCK
            yield TarWalk(path, start, start + member["size"], member["name"].removesuffix(b".tar") + b"_")
