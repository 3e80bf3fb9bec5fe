"""Files behind URLs, read by ranges through ``fsspec``."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from imagenet_reader.sources.ranges import Piece, merged
from imagenet_reader.sources.stamp import Stamp
from imagenet_reader.sources.systems import file_system
from imagenet_reader.sources.urls import shown

AT_ONCE = 64  # requests in flight
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before a request is tried again
_FINAL = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotImplementedError,
    ImportError,
    ValueError,
    TypeError,
)
_VERSIONS = (
    "ETag",
    "etag",
    "blob_id",
    "version_id",
    "md5",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "created",
)


class RemoteFile:
    """An open file behind a URL; see ``sources.File``."""

    def __init__(self, url: str):
        self.path = url
        self._stamp = remote_stamp(url)

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on."""
        return self.read_many([(offset, size)])[0]

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other; return how many bytes were read."""
        content = memoryview(self.read(offset, sum(len(buffer) for buffer in buffers)))
        done = 0
        for buffer in buffers:
            part = content[done : done + len(buffer)]
            buffer[: len(part)] = part
            done += len(part)
        return done

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``, fetched at once; fewer bytes only at the end of the file.

        Raises:
            OSError: it failed for good, or the object was replaced by one of another size or version.
        """
        size = self._stamp.size
        clipped = [(offset, max(0, min(length, size - offset))) for offset, length in ranges]
        pieces = merged(clipped)
        found = [b""] * len(ranges)
        for piece, content in zip(pieces, self._fetch(pieces)):
            for number in piece.members:
                start = clipped[number][0] - piece.start
                found[number] = content[start : start + clipped[number][1]]
        return found

    def stamp(self) -> Stamp:
        """The stamp of what the server has now: it differs from an earlier one if the object was replaced."""
        return remote_stamp(self.path)

    def close(self) -> None:
        """Nothing is kept open."""

    def _fetch(self, pieces: list[Piece]) -> list[bytes]:
        found: dict[int, bytes] = {}
        for pause in (*PAUSES, None):
            rest = [k for k in range(len(pieces)) if k not in found]
            failed: BaseException | None = None
            for k, result in zip(rest, _request(self.path, [pieces[k] for k in rest])):
                error = _wrong(result, pieces[k])
                if error is None:
                    found[k] = result  # type: ignore[assignment]  # an exception is wrong
                elif not _may_pass(error):
                    raise self._failure(error)
                else:
                    failed = error
            if failed is None:
                break
            if pause is None:
                raise self._failure(failed, len(PAUSES) + 1)
            time.sleep(pause)
        return [found[k] for k in range(len(pieces))]

    def _failure(self, error: BaseException, tries: int = 1) -> OSError:
        if not isinstance(error, PermissionError):
            now = remote_stamp(self.path)
            if now != self._stamp:
                return OSError(
                    f"{shown(self.path)} has been replaced since it was opened: it had {self._stamp.size:,} bytes and "
                    f"version {self._stamp.version!r}, and now has {now.size:,} and {now.version!r}. Load again"
                )
        return _explained(error, self.path, tries)


def remote_stamp(url: str) -> Stamp:
    """The size and version of what a URL has now.

    Raises:
        OSError: there is no such file, or the server does not say its size.
    """
    for tries, pause in enumerate((*PAUSES, None), 1):
        try:
            system, path = file_system(url)
            system.invalidate_cache()
            info = system.info(path)
            break
        except Exception as error:
            if isinstance(error, ImportError):
                raise
            if pause is None or not _may_pass(error):
                raise _explained(error, url, tries) from None
            time.sleep(pause)
    if info.get("size") is None:
        raise OSError(f"{shown(url)}: the server does not say the size of this file, so it cannot be read by ranges")
    return Stamp(info["size"], next((str(info[key]) for key in _VERSIONS if info.get(key)), ""))


def _request(url: str, pieces: list[Piece]) -> list[bytes | BaseException]:
    """The bytes of each piece, or the error."""
    system, path = file_system(url)
    if system.async_impl:
        starts, ends = [piece.start for piece in pieces], [piece.end for piece in pieces]
        return system.cat_ranges([path] * len(pieces), starts, ends, on_error="return", batch_size=AT_ONCE)

    def get(piece: Piece) -> bytes | BaseException:
        try:
            return system.cat_file(path, piece.start, piece.end)
        except Exception as error:
            return error

    if len(pieces) == 1:
        return [get(pieces[0])]
    with ThreadPoolExecutor(min(AT_ONCE, len(pieces) or 1)) as pool:
        return list(pool.map(get, pieces))


def _wrong(result: bytes | BaseException, piece: Piece) -> BaseException | None:
    """What is wrong with an answer, ``None`` if nothing is."""
    if isinstance(result, BaseException):
        return result
    expected = piece.end - piece.start
    if len(result) < expected:
        return EOFError(f"the answer has {len(result):,} bytes, expected {expected:,}")
    if len(result) > expected:
        return ValueError(
            f"the server ignores ranges: it sent {len(result):,} bytes instead of {expected:,}. Use a server that "
            "answers requests for ranges, or download the file"
        )
    return None


def _may_pass(error: BaseException) -> bool:
    """Whether another try may succeed: after a 5xx, 408 or 429, a reset, a timeout or a short body."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status >= 500 or status in (408, 429)
    return isinstance(error, Exception) and not isinstance(error, _FINAL)


def _explained(error: BaseException, url: str, tries: int) -> OSError:
    """The error with the URL; its kind says whether the file is missing or forbidden, as for a local file."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{shown(url)} does not exist")
    status = getattr(error, "status", None)
    kind = PermissionError if isinstance(error, PermissionError) or status in (401, 403) else OSError
    after = f" after {tries} tries" if tries > 1 else ""
    text = shown(str(error)).replace(url, shown(url))[:500]
    return kind(f"reading {shown(url)} failed{after}: {type(error).__name__}: {text}")
