"""Files behind URLs, read by ranges through ``fsspec``."""

import asyncio
import concurrent.futures
import functools
import io
import itertools
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import fsspec
import fsspec.asyn

from imagenet_reader.io.local import File, Stamp
from imagenet_reader.io.paths import is_http, join
from imagenet_reader.text import redact

AT_ONCE = 64  # requests in flight
GAP = 64 << 10  # fewer bytes than this between two ranges cost less than another request
MOST = 8 << 20  # bytes per request, so that a long run is still fetched by several
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before a request is tried again
POLL = 0.1  # seconds between two looks at whether to stop
FEW = 4  # files; of more, the stamps are taken from a listing of their folder
_FINAL = (
    *(FileNotFoundError, PermissionError, IsADirectoryError),
    *(NotImplementedError, ImportError, ValueError, TypeError),
)
_VERSIONS = (
    *("ETag", "etag", "blob_id", "version_id", "md5"),
    *("LastModified", "last_modified", "mtime", "updated", "created"),
)
_PACKAGES = {  # protocol -> what its file system needs; datasets 5 no longer requires aiohttp
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs"), "adlfs"),
}
_T = TypeVar("_T")
_System = Any  # an fsspec.AbstractFileSystem, which is not typed
_options: dict[str, dict[str, Any]] = {}  # by server
_answers_ranges: dict[str, bool] = {}  # by server
# In a fork, fsspec drops the file systems of the parent. If they were closed there, the parent would miss the answers
# on its open connections, because both processes share the epoll instance of the event loop.
_used: set[_System] = set()

if hasattr(os, "register_at_fork"):
    # Some versions of fsspec (2025.3 is one) wait forever in a fork, for an event loop that only the parent runs.
    os.register_at_fork(after_in_child=fsspec.asyn.reset_lock)


class RemoteError(OSError):
    """A file behind a URL cannot be read; nothing is wrong with its content."""


# -------------------------------------------------------------------------------------------- file systems


def set_storage_options(url: str, options: dict[str, Any]) -> None:
    """Use ``options`` for all URLs of the server or bucket of ``url``, in this process and in those forked from it."""
    _options[_server(url)] = dict(options)


def _file_system(url: str) -> tuple[_System, str]:
    """The file system of a URL and the path in it; ``fsspec`` keeps one per process, so that forks get their own."""
    options, protocol = _options.get(_server(url), {}), url.split("::")[-1].split("://")[0].lower()
    try:
        if is_http(url):
            import aiohttp  # only once an HTTP server is asked

            # No limit for the transfer, as long as bytes arrive.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)
            options = {"client_kwargs": {"timeout": timeout}} | options
        system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        install = f". Install it: pip install {_PACKAGES[protocol]}" if protocol in _PACKAGES else ""
        raise type(error)(f"{redact(url)} cannot be opened: {error}{install}") from None
    except ValueError as error:
        raise ValueError(f"{redact(url)} cannot be opened: {redact(str(error))}") from None
    _used.add(system)
    return system, path


def _server(url: str) -> str:
    """The protocol and the server or bucket of a URL: no other gets its options, which may be secrets."""
    return "/".join(redact(url).split("/")[:3]).lower()


# ------------------------------------------------------------------------------------------------- retries


class _Failed(Exception):
    """A request to ``url`` failed for the reason ``cause``."""

    def __init__(self, url: str, cause: BaseException):
        self.url, self.cause = url, cause


def _with_retries(url: str, attempt: Callable[[], _T], stop: threading.Event | None = None) -> _T:
    """What ``attempt()`` returns; it is called again, with growing pauses, after failures that may pass."""
    for tries in itertools.count(1):
        try:
            return attempt()
        except ImportError:
            raise
        except Exception as failure:
            failed = failure if isinstance(failure, _Failed) else _Failed(url, failure)
            error = _cause(failed.cause)
            stopped = stop is not None and stop.is_set()
            if tries > len(PAUSES) or stopped or not _may_pass(error):
                raise _explained(error, failed.url, tries) from None
        (stop or threading.Event()).wait(PAUSES[tries - 1])
    raise AssertionError


def _cause(error: BaseException) -> BaseException:
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
    if isinstance(error, RemoteError):
        return error
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{redact(url)} does not exist")
    forbidden = isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403)
    after = f" after {tries} tries" if tries > 1 else ""
    text = redact(str(error)).replace(url, redact(url))[:500]
    kind = PermissionError if forbidden else RemoteError
    return kind(f"reading {redact(url)} failed{after}: {type(error).__name__}: {text}")


# -------------------------------------------------------------------------------------- stamps and folders


def remote_stamp(url: str) -> Stamp:
    """The size and version of what a URL has now."""
    stamp = _ask(url, lambda system, path: _stamp_in(system.info(path)))
    if stamp is None:
        message = "the server does not say the size of this file, so it cannot be read by ranges"
        raise RemoteError(f"{redact(url)}: {message}")
    return stamp


def remote_stamps(urls: Sequence[str]) -> tuple[Stamp, ...]:
    """The stamps of files; ``OSError`` if one does not exist."""
    listed: dict[str, Stamp | None] = {}
    if len(urls) > FEW:
        for folder in dict.fromkeys(url.rpartition("/")[0] for url in urls if not is_http(url)):
            files = [info for info in _infos(folder) if info.get("type") != "directory"]
            listed |= {join(folder, info["name"].rsplit("/", 1)[-1]): _stamp_in(info) for info in files}
    with ThreadPoolExecutor(min(AT_ONCE, len(urls))) as pool:
        return tuple(pool.map(lambda url: listed.get(url) or remote_stamp(url), urls))


def remote_names(folder: str) -> list[str]:
    """The names in a folder, sorted; none if it does not exist, or is on a web server that lists nothing."""
    url = folder.rstrip("/") + "/" if is_http(folder) else folder  # servers redirect to it; lists are relative to it
    try:
        return sorted(info["name"].rstrip("/").rsplit("/", 1)[-1] for info in _infos(url))
    except FileNotFoundError:
        return []
    except OSError:
        if is_http(url):
            return []
        raise


def _infos(folder: str) -> list[dict[str, Any]]:
    return _ask(folder, lambda system, path: list(system.ls(path, detail=True)))


def _ask(url: str, question: Callable[[_System, str], _T]) -> _T:
    """What ``question(file system, path)`` returns of a URL now."""

    def attempt() -> _T:
        system, path = _file_system(url)
        system.invalidate_cache()
        return question(system, path)

    return _with_retries(url, attempt)


def _stamp_in(info: dict[str, Any]) -> Stamp | None:
    """The stamp in what ``fsspec`` says of a file; ``None`` if it does not say a size."""
    if info.get("type") == "directory":
        raise IsADirectoryError(f"{redact(info['name'])} is a folder")
    if info.get("size") is None:
        return None
    return Stamp(info["size"], next((str(info[key]) for key in _VERSIONS if info.get(key)), ""))


# -------------------------------------------------------------------------------------------------- ranges


class RemoteFile(File):
    """An open file behind a URL.

    Args:
        url: the URL.
        known: the stamp that the file had when it was indexed; by default, the server is asked.
        stop: ends waiting for the server once it is set, with an ``OSError``.
    """

    def __init__(self, url: str, known: Stamp | None = None, stop: threading.Event | None = None):
        self.path, self.known = url, remote_stamp(url) if known is None else known
        self.stop = stop or threading.Event()

    def read(self, offset: int, size: int) -> bytes:
        """See ``File``; many bytes are fetched by several requests at once."""
        starts = range(offset, offset + size, MOST)
        return b"".join(self.read_many([(start, min(MOST, offset + size - start)) for start in starts]))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """See ``File``; raises ``OSError`` if the object was replaced by one of another size or version."""
        return _read_ranges([(self, offset, size) for offset, size in ranges])

    def stamp(self) -> Stamp:
        """The stamp of what the server has now: it differs from an earlier one if the object was replaced."""
        return remote_stamp(self.path)


class FetchedFile(File):
    """A part of a file, in memory, which begins at byte ``start``; its stamp was taken after it was fetched."""

    def __init__(self, path: str, start: int, content: bytes, stamp: Stamp):
        self.path, self._start, self._content, self._stamp = path, start, content, stamp

    def read(self, offset: int, size: int) -> bytes:
        return self._content[offset - self._start : offset - self._start + size]

    def stamp(self) -> Stamp:
        return self._stamp


def fetch(places: Sequence[tuple[str, Stamp, int, int]], stop: threading.Event | None = None) -> list[FetchedFile]:
    """Fetch parts of remote files, (URL, stamp, offset, size), at once."""
    files = {url: RemoteFile(url, stamp, stop) for url, stamp, _, _ in places}
    contents = _read_ranges([(files[url], offset, size) for url, _, offset, size in places])
    stamps = dict(zip(files, remote_stamps(list(files))))
    return [FetchedFile(url, offset, part, stamps[url]) for (url, _, offset, _), part in zip(places, contents)]


class _Piece(NamedTuple):
    """One request: bytes from ``start`` to ``end`` of a file, and the numbers of the ranges in it."""

    file: RemoteFile
    start: int
    end: int
    members: list[int]


def _read_ranges(wanted: Sequence[tuple[RemoteFile, int, int]]) -> list[bytes]:
    """The bytes of ranges (file, offset, size) of any files, fetched at once; those that nearly touch as one."""
    begins = [offset for _, offset, _ in wanted]
    ends = [min(offset + size, file.known.size) for file, offset, size in wanted]
    pieces: list[_Piece] = []
    for k in sorted(range(len(wanted)), key=lambda k: (wanted[k][0].path, begins[k])):
        if ends[k] <= begins[k]:
            continue
        last = pieces[-1] if pieces else None
        joins = last is not None and last.file is wanted[k][0] and begins[k] - last.end <= GAP
        if last is not None and joins and max(ends[k], last.end) - last.start <= MOST:
            pieces[-1] = last._replace(end=max(ends[k], last.end), members=[*last.members, k])
        else:
            pieces.append(_Piece(wanted[k][0], begins[k], ends[k], [k]))
    found = [b""] * len(wanted)
    for piece, content in zip(pieces, _fetch(pieces)):
        for k in piece.members:
            found[k] = content[begins[k] - piece.start : ends[k] - piece.start]
    return found


def _fetch(pieces: list[_Piece]) -> list[bytes]:
    """The bytes of each piece; what fails is requested again."""
    if not pieces:
        return []
    for url in dict.fromkeys(piece.file.path for piece in pieces):
        _expect_ranges(url)
    found: dict[int, bytes] = {}
    stop = pieces[0].file.stop

    def attempt() -> None:
        rest = [k for k in range(len(pieces)) if k not in found]
        failures = []
        for k, result in zip(rest, _request([pieces[k] for k in rest], stop)):
            if isinstance(result, bytes) and len(result) == pieces[k].end - pieces[k].start:
                found[k] = result
            else:
                failures.append(_Failed(pieces[k].file.path, _wrong(result, pieces[k])))
        if failures:  # one that cannot pass comes first
            raise min(failures, key=lambda failed: _may_pass(_cause(failed.cause)))

    try:
        _with_retries(pieces[0].file.path, attempt, stop)
    except OSError as error:
        if not isinstance(error, PermissionError) and not stop.is_set():
            _expect_unchanged(pieces)
        raise
    return [found[k] for k in range(len(pieces))]


def _wrong(result: bytes | BaseException, piece: _Piece) -> BaseException:
    """What is wrong with an answer."""
    if isinstance(result, BaseException):
        return result
    expected = piece.end - piece.start
    if len(result) < expected:
        return EOFError(f"the answer has {len(result):,} bytes, expected {expected:,}")
    return ValueError(f"the answer has {len(result):,} bytes, expected {expected:,}: the server ignores ranges")


def _expect_unchanged(pieces: list[_Piece]) -> None:
    for file in {piece.file.path: piece.file for piece in pieces}.values():
        now = file.stamp()
        if now != file.known:
            raise RemoteError(
                f"{redact(file.path)} has been replaced since it was opened: it had {file.known.size:,} bytes and "
                f"version {file.known.version!r}, and now has {now.size:,} and {now.version!r}. Load again"
            )


def _request(pieces: list[_Piece], stop: threading.Event) -> Iterator[bytes | BaseException]:
    """The bytes of each piece, or the error; of one file system, unless a batch mixes datasets."""
    of_systems: dict[int, tuple[_System, dict[int, tuple[str, int, int]]]] = {}
    for number, piece in enumerate(pieces):
        system, path = _file_system(piece.file.path)
        of_systems.setdefault(id(system), (system, {}))[1][number] = path, piece.start, piece.end
    found: dict[int, bytes | BaseException] = {}
    for system, places in of_systems.values():
        found |= zip(places, _read_places(system, list(places.values()), stop))
    return (found[number] for number in range(len(pieces)))


def _read_places(
    system: _System, places: list[tuple[str, int, int]], stop: threading.Event
) -> list[bytes | BaseException]:
    if system.async_impl:
        call = system._cat_ranges(*map(list, zip(*places)), on_error="return", batch_size=AT_ONCE)
        return _result(asyncio.run_coroutine_threadsafe(call, system.loop), stop)
    with ThreadPoolExecutor(min(AT_ONCE, len(places))) as pool:
        return list(pool.map(functools.partial(_read_or_error, system, stop), places))


def _result(future: "concurrent.futures.Future[Any]", stop: threading.Event) -> list[bytes | BaseException]:
    """The result of a future, which is cancelled if ``stop`` is set, or when Ctrl-C interrupts the waiting."""
    try:
        while not stop.is_set():
            if concurrent.futures.wait([future], POLL).done:
                results: list[bytes | BaseException] = future.result()
                return results
    finally:
        future.cancel()
    raise RemoteError("the transfer was interrupted")


def _read_or_error(system: _System, stop: threading.Event, place: tuple[str, int, int]) -> bytes | BaseException:
    path, start, end = place
    try:
        if stop.is_set():
            return RemoteError("the transfer was interrupted")
        if type(system).cat_file is not fsspec.AbstractFileSystem.cat_file:
            return bytes(system.cat_file(path, start, end))
        with system.open(path, "rb", cache_type="none") as file:  # else it reads megabytes ahead
            file.seek(start)
            return bytes(file.read(end - start))
    except Exception as error:
        return error


def _expect_ranges(url: str) -> None:
    """Raise ``OSError`` if an HTTP server ignores ranges: it would send all of a file again and again."""
    server = urllib.parse.urlsplit(url).netloc
    if is_http(url) and server not in _answers_ranges:
        _answers_ranges[server] = _with_retries(url, functools.partial(_status_of_range, url)) != 200
    if is_http(url) and not _answers_ranges[server]:
        raise RemoteError(
            f"{redact(url)}: the server ignores ranges: it sends all of a file instead of the bytes that are asked "
            "for. Use a server that answers requests for ranges, or download the file"
        )


def _status_of_range(url: str) -> int:
    """The HTTP status of a request for the first byte; nothing more is read."""
    system, path = _file_system(url)

    async def status() -> int:
        session = await system.set_session()
        options = {**system.kwargs, "headers": {**system.kwargs.get("headers", {}), "Range": "bytes=0-0"}}
        async with session.get(system.encode_url(path), **options) as answer:
            if answer.status != 416:  # of an empty file
                answer.raise_for_status()
            return int(answer.status)

    return int(fsspec.asyn.sync(system.loop, status))


class RawFile(io.RawIOBase):
    """A file of Python that reads a remote file."""

    def __init__(self, file: RemoteFile):
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.known.size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = self._file.read_into(self._at, memoryview(buffer).cast("B"))
        self._at += count
        return count
