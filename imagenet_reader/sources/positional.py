"""Files that are read by position: what follows from that."""

from abc import ABC, abstractmethod
from collections.abc import Sequence


class PositionalFile(ABC):
    """A file whose other reads follow from ``read``; see ``sources.File``."""

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on."""

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other; return how many bytes were read."""
        content = memoryview(self.read(offset, sum(map(len, buffers))))
        done = 0
        for buffer in buffers:
            part = content[done : done + len(buffer)]
            buffer[: len(part)] = part
            done += len(part)
        return done

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``, in their order."""
        return [self.read(offset, size) for offset, size in ranges]

    def close(self) -> None:  # noqa: B027 (most keep nothing open)
        """Nothing is kept open."""
