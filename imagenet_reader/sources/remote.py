"""Files behind URLs, read by ranges through ``fsspec``."""

import asyncio
import concurrent.futures
import functools
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import fsspec

from imagenet_reader.sources.positional import PositionalFile
from imagenet_reader.sources.ranges import MOST, Piece, merged
from imagenet_reader.sources.stamp import Stamp
from imagenet_reader.sources.systems import file_system
from imagenet_reader.sources.urls import is_http, shown

AT_ONCE = 64  # requests in flight
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before a request is tried again
POLL = 0.1  # seconds between two looks at whether to stop
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
_T = TypeVar("_T")
_Place = tuple[str, int, int]  # a path in a file system, and where a range begins and ends
_answers_ranges: dict[str, bool] = {}  # by server


class RemoteError(OSError):
    """A file behind a URL cannot be read; nothing is wrong with its content."""


class RemoteFile(PositionalFile):
    """An open file behind a URL; see ``sources.File``.

    Args:
        url: the URL.
        known: the stamp that the file had when it was indexed; by default, the server is asked.
        stop: ends waiting for the server once it is set, with an ``OSError``.
    """

    def __init__(self, url: str, known: Stamp | None = None, stop: threading.Event | None = None):
        self.path, self.known, self.stop = url, remote_stamp(url) if known is None else known, stop

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on; many bytes are fetched by several requests at once."""
        starts = range(offset, offset + size, MOST)
        return b"".join(self.read_many([(start, min(MOST, offset + size - start)) for start in starts]))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``, fetched at once; fewer bytes only at the end of the file.

        Raises:
            OSError: it failed for good, or the object was replaced by one of another size or version.
        """
        return read_ranges([(self, offset, size) for offset, size in ranges])

    def stamp(self) -> Stamp:
        """The stamp of what the server has now: it differs from an earlier one if the object was replaced."""
        return remote_stamp(self.path)


def read_ranges(wanted: Sequence[tuple[RemoteFile, int, int]]) -> list[bytes]:
    """The bytes of ranges (file, offset, size) of any files, fetched at once; those that nearly touch as one.

    Raises:
        OSError: it failed for good, or an object was replaced by one of another size or version.
    """
    ranges_of: dict[RemoteFile, list[int]] = {}
    clipped = [(offset, max(0, min(size, file.known.size - offset))) for file, offset, size in wanted]
    for number, (file, _, _) in enumerate(wanted):
        ranges_of.setdefault(file, []).append(number)
    requests, members = [], []
    for file, numbers in ranges_of.items():
        for piece in merged([clipped[number] for number in numbers]):
            requests.append((file, piece))
            members.append([numbers[k] for k in piece.members])
    found = [b""] * len(wanted)
    for (_, piece), content, numbers in zip(requests, _fetch(requests), members):
        for number in numbers:
            start = clipped[number][0] - piece.start
            found[number] = content[start : start + clipped[number][1]]
    return found


def _fetch(requests: list[tuple[RemoteFile, Piece]]) -> list[bytes]:
    """The bytes of each request; what fails is tried again with growing pauses."""
    for file in dict.fromkeys(file for file, _ in requests):
        _expect_ranges(file.path)
    found: dict[int, bytes] = {}
    for tries, pause in enumerate((*PAUSES, None), 1):
        rest = [k for k in range(len(requests)) if k not in found]
        failed: tuple[RemoteFile, BaseException] | None = None
        for k, result in zip(rest, _request([requests[k] for k in rest])):
            file, piece = requests[k]
            error = _wrong(result, piece)
            if error is None:
                found[k] = result  # type: ignore[assignment]  # an exception is wrong
            elif not _may_pass(error):
                raise _failure(file, error)
            else:
                failed = file, error
        if failed is None:
            break
        if pause is None or _stop_of(requests).wait(pause):
            raise _failure(*failed, tries)
    return [found[k] for k in range(len(requests))]


def _failure(file: RemoteFile, error: BaseException, tries: int = 1) -> OSError:
    if not isinstance(error, PermissionError) and not (file.stop and file.stop.is_set()):
        now = remote_stamp(file.path)
        if now != file.known:
            return RemoteError(
                f"{shown(file.path)} has been replaced since it was opened: it had {file.known.size:,} bytes and "
                f"version {file.known.version!r}, and now has {now.size:,} and {now.version!r}. Load again"
            )
    return _explained(error, file.path, tries)


def remote_stamp(url: str) -> Stamp:
    """The size and version of what a URL has now.

    Raises:
        OSError: there is no such file, or the server does not say its size.
    """

    def info(system: fsspec.AbstractFileSystem, path: str) -> dict[str, Any]:
        system.invalidate_cache()
        return system.info(path)

    stamp = stamp_in(asked(url, info))
    if stamp is None:
        raise RemoteError(
            f"{shown(url)}: the server does not say the size of this file, so it cannot be read by ranges"
        )
    return stamp


def stamp_in(info: dict[str, Any]) -> Stamp | None:
    """The stamp in what ``fsspec`` says of a file; ``None`` if it does not say a size.

    Raises:
        IsADirectoryError: it is a folder.
    """
    if info.get("type") == "directory":
        raise IsADirectoryError(f"{shown(info['name'])} is a folder")
    if info.get("size") is None:
        return None
    return Stamp(info["size"], next((str(info[key]) for key in _VERSIONS if info.get(key)), ""))


def asked(url: str, ask: Callable[[fsspec.AbstractFileSystem, str], _T]) -> _T:
    """What ``ask(file system, path)`` returns of a URL; it is called again after failures that may pass.

    Raises:
        OSError: it failed for good.
        ImportError: the package for this protocol is missing.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return ask(*file_system(url))
        except Exception as failure:
            if isinstance(failure, ImportError):
                raise
            error = _cause(failure)
            if tries > len(PAUSES) or not _may_pass(error):
                raise _explained(error, url, tries) from None
        time.sleep(PAUSES[tries - 1])


def _request(requests: list[tuple[RemoteFile, Piece]]) -> Iterable[bytes | BaseException]:
    """The bytes of each request, or the error."""
    of_systems: dict[int, tuple[fsspec.AbstractFileSystem, dict[int, _Place]]] = {}
    for number, (file, piece) in enumerate(requests):
        system, path = file_system(file.path)
        of_systems.setdefault(id(system), (system, {}))[1][number] = path, piece.start, piece.end
    found: dict[int, bytes | BaseException] = {}
    for system, places in of_systems.values():  # several only if a batch mixes datasets
        found |= zip(places, _read_places(system, list(places.values()), _stop_of(requests)))
    return [found[number] for number in range(len(requests))]


def _read_places(
    system: fsspec.AbstractFileSystem, places: list[_Place], stop: threading.Event
) -> list[bytes | BaseException]:
    if system.async_impl:
        call = system._cat_ranges(*map(list, zip(*places)), on_error="return", batch_size=AT_ONCE)
        return _finished(asyncio.run_coroutine_threadsafe(call, system.loop), stop)
    with ThreadPoolExecutor(min(AT_ONCE, len(places))) as pool:
        return list(pool.map(functools.partial(_read_or_error, system, stop), places))


def _stop_of(requests: list[tuple[RemoteFile, Piece]]) -> threading.Event:
    return requests[0][0].stop or threading.Event()


def _finished(future: concurrent.futures.Future, stop: threading.Event) -> list[bytes | BaseException]:
    """The result of a future, which is cancelled if ``stop`` is set, or when Ctrl-C interrupts the waiting."""
    try:
        while not stop.is_set():
            if concurrent.futures.wait([future], POLL).done:
                return future.result()
    finally:
        future.cancel()
    raise _stopped()


def _stopped() -> OSError:
    return OSError("the transfer was interrupted")


def _read_or_error(system: fsspec.AbstractFileSystem, stop: threading.Event, place: _Place) -> bytes | BaseException:
    path, start, end = place
    try:
        if stop.is_set():
            return _stopped()
        if type(system).cat_file is not fsspec.AbstractFileSystem.cat_file:
            return system.cat_file(path, start, end)
        with system.open(path, "rb", cache_type="none") as file:  # else it reads megabytes ahead
            file.seek(start)
            return file.read(end - start)
    except Exception as error:
        return error


def _expect_ranges(url: str) -> None:
    """Raise ``OSError`` if an HTTP server ignores ranges: it would send all of a file again and again."""
    server = urllib.parse.urlsplit(url).netloc
    if is_http(url) and server not in _answers_ranges:
        _answers_ranges[server] = asked(url, _status_of_range) != 200
    if is_http(url) and not _answers_ranges[server]:
        raise RemoteError(
            f"{shown(url)}: the server ignores ranges: it sends all of a file instead of the bytes that are asked for. "
            "Use a server that answers requests for ranges, or download the file"
        )


def _status_of_range(system: fsspec.AbstractFileSystem, path: str) -> int:
    """The HTTP status of a request for the first byte; nothing more is read."""

    async def status() -> int:
        session = await system.set_session()
        options = {**system.kwargs, "headers": {**system.kwargs.get("headers", {}), "Range": "bytes=0-0"}}
        async with session.get(system.encode_url(path), **options) as answer:
            if answer.status != 416:  # of an empty file
                answer.raise_for_status()
            return answer.status

    return fsspec.asyn.sync(system.loop, status)


def _wrong(result: bytes | BaseException, piece: Piece) -> BaseException | None:
    """What is wrong with an answer, ``None`` if nothing is."""
    if isinstance(result, BaseException):
        return result
    expected = piece.end - piece.start
    if len(result) < expected:
        return EOFError(f"the answer has {len(result):,} bytes, expected {expected:,}")
    if len(result) > expected:
        return ValueError(f"the answer has {len(result):,} bytes, expected {expected:,}: the server ignores ranges")
    return None


def _cause(error: Exception) -> BaseException:
    """What led to an error: ``fsspec`` says that a file does not exist whenever a web server does not answer."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None and getattr(cause, "status", 0) not in (404, 410):
        return cause
    return error


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
    kind = PermissionError if isinstance(error, PermissionError) or status in (401, 403) else RemoteError
    after = f" after {tries} tries" if tries > 1 else ""
    text = shown(str(error)).replace(url, shown(url))[:500]
    return kind(f"reading {shown(url)} failed{after}: {type(error).__name__}: {text}")
