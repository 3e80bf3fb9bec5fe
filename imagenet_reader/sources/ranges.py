"""Ranges of bytes: those that nearly touch are fetched as one."""

from collections.abc import Sequence
from typing import NamedTuple

GAP = 64 << 10  # fewer bytes than this between two ranges cost less than another request
MOST = 8 << 20  # bytes per merged request, so that a long run is still fetched by several


class Piece(NamedTuple):
    """One request: bytes from ``start`` to ``end``, and the numbers of the ranges in it."""

    start: int
    end: int
    members: tuple[int, ...]


def merged(ranges: Sequence[tuple[int, int]]) -> list[Piece]:
    """The requests for ranges ``(offset, size)`` in any order; ranges without bytes are left out."""
    pieces: list[Piece] = []
    for number in sorted(range(len(ranges)), key=lambda k: ranges[k][0]):
        start, size = ranges[number]
        end = start + size
        if size <= 0:
            continue
        last = pieces[-1] if pieces else None
        if last and start - last.end <= GAP and max(end, last.end) - last.start <= MOST:
            pieces[-1] = Piece(last.start, max(end, last.end), (*last.members, number))
        else:
            pieces.append(Piece(start, end, (number,)))
    return pieces
