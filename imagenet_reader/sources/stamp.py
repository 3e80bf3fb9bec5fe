"""What distinguishes the versions of a file."""

from typing import NamedTuple


class Stamp(NamedTuple):
    """What changes when a file is replaced: its size in bytes, and its modification time in ns (remote: an ETag)."""

    size: int
    version: int | str
