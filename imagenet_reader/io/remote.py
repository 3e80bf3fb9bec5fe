"""Files behind URLs, read by ranges through ``fsspec``."""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import itertools
import math
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import fsspec
import fsspec.asyn
from fsspec.spec import AbstractBufferedFile

from imagenet_reader.io.local import File, Stamp
from imagenet_reader.io.paths import is_http, join
from imagenet_reader.log import warn
from imagenet_reader.text import redact

AT_ONCE = 64  # requests in flight
GAP = 64 << 10  # fewer bytes than this between two ranges cost less than another request
MOST = 8 << 20  # bytes per request, so that a long run is still fetched by several
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before a request is tried again
LONGEST_PAUSE = 60.0  # seconds, if the server asks for more in its header Retry-After
PATIENCE = 2.0  # seconds, after which a first connection that fails is reported
POLL = 0.1  # seconds between two looks at whether to stop
INTERRUPTED = "the transfer was interrupted"
FEW = 4  # files; of more, the stamps are taken from a listing of their folder
_FINAL = FileNotFoundError, PermissionError, NotImplementedError, ImportError, ValueError, TypeError
_VERSIONS = "etag", "blobid", "versionid", "md5"
_DATES = "lastmodified", "mtime", "modified", "modify", "updated", "created"  # of which file systems report one
_T = TypeVar("_T")
_System = Any  # an fsspec.AbstractFileSystem, which is not typed
_options: dict[str, dict[str, Any]] = {}  # by server
_answer_ranges: set[str] = set()  # servers
_reached: set[str] = set()  # servers
# The clients of file systems that are not asynchronous are not made for threads: each server has one, which gets one
# request at a time. That of the Hub is made for them.
_clients: dict[str, _System] = {}
_turn = threading.RLock()
# In a fork, fsspec drops the file systems of the parent. If they were closed there, the parent would miss the answers
# on its open connections, because both processes share the epoll instance of the event loop.
_used: set[_System] = set()


def _forget_connections() -> None:
    global _turn
    _turn = threading.RLock()
    _clients.clear()
    fsspec.asyn.reset_lock()  # else some versions (2025.3 is one) wait for ever for an event loop of the parent


os.register_at_fork(after_in_child=_forget_connections)


class RemoteError(OSError):
    """A file behind a URL cannot be read; nothing is wrong with its content."""


class WebPageError(RemoteError):
    """There is a web page in place of a file."""


class _PassingError(RemoteError):
    """A file cannot be read, for a reason that may pass."""

    pause = 0.0  # seconds that the server asks to wait


ABSENT = FileNotFoundError, IsADirectoryError, PermissionError, WebPageError  # of what may be absent, all the same


# -------------------------------------------------------------------------------------------- file systems


def set_storage_options(url: str, options: dict[str, Any]) -> None:
    """Use ``options``, if any, for all URLs of the server or bucket of ``url``, in this process and its forks."""
    if options:
        _options[_server(url)] = dict(options)


def _server(url: str) -> str:
    """The protocol and the server or bucket of a URL: no other gets its options, which may be secrets."""
    return "/".join(redact(url).split("/")[:3]).lower()


def _file_system(url: str) -> tuple[_System, str]:
    """The file system of a URL and the path in it; ``fsspec`` keeps one per process, so that forks get their own."""
    server = _server(url)
    options = dict(_options.get(server, {}))
    try:
        protocol = fsspec.utils.get_protocol(url)
        if is_http(url):
            import aiohttp  # only once an HTTP server is asked; datasets 5 no longer requires it

            # No limit for the transfer, as long as bytes arrive.
            client: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)}
            client |= fsspec.config.conf.get(protocol, {}).get("client_kwargs", {}) | options.get("client_kwargs", {})
            client["headers"] = {"Accept-Encoding": "identity"} | client.get("headers", {})  # else there are no ranges
            options["client_kwargs"] = client
        if protocol == "hf" or fsspec.get_filesystem_class(protocol).async_impl:
            system, path = fsspec.core.url_to_fs(url, **options)
        else:
            with _turn:
                if server not in _clients:
                    _clients[server], _ = fsspec.core.url_to_fs(url, **options, skip_instance_cache=True)
                system = _clients[server]
                path = system._strip_protocol(url)
    except (ImportError, ValueError) as error:  # which may say what to install
        kind = ValueError if isinstance(error, ValueError) else ModuleNotFoundError
        raise kind(f"{redact(url)} cannot be opened: {redact(str(error))}") from None
    _used.add(system)
    return system, path


# ------------------------------------------------------------------------------------------------- retries


def _with_retries(url: str, attempt: Callable[[], _T], stop: threading.Event | None = None) -> _T:
    """What ``attempt()`` returns; it is called again, with growing pauses, after failures that may pass."""
    stop, server, began = stop or threading.Event(), _server(url), time.monotonic()
    for tries in itertools.count(1):
        try:
            result = attempt()
            _reached.add(server)
            return result
        except ImportError:
            raise
        except Exception as error:
            failure = _explained(error, url)
            if not isinstance(failure, _PassingError):
                raise failure from None
            if tries > len(PAUSES) or stop.is_set():
                raise RemoteError(f"{failure} ({tries} tries)") from None
        _clients.pop(server, None)  # a broken connection
        pause = max(PAUSES[tries - 1], failure.pause)
        if server not in _reached and time.monotonic() + pause - began >= PATIENCE:
            _reached.add(server)
            warn(f"{failure}. It is tried again for up to {sum(PAUSES[tries - 1 :]):.0f} s and more.")
        stop.wait(pause)
    raise AssertionError


def _explained(error: BaseException, url: str) -> OSError:
    """The error with the URL; its kind says whether the file is missing or forbidden, or whether to try again."""
    if isinstance(error, RemoteError):
        return error
    cause = error.__cause__
    if is_http(url) and isinstance(error, FileNotFoundError) and cause is not None and _status(cause) not in (404, 410):
        error = cause  # fsspec says that a file does not exist whenever a web server does not answer
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{redact(url)} does not exist")
    status = _status(error)
    kind: type[OSError] = RemoteError
    if isinstance(error, PermissionError) or status in (401, 403):
        kind = PermissionError
    elif status >= 500 or status in (408, 429) or (status == 0 and not isinstance(error, _FINAL)):
        kind = _PassingError  # a server in trouble, a reset, a timeout, a short answer
    text = redact(str(error)).replace(url, redact(url))[:500]
    failure = kind(f"reading {redact(url)} failed: {type(error).__name__}: {text}")
    if isinstance(failure, _PassingError):
        headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
        asked = str(headers.get("Retry-After", ""))
        failure.pause = min(LONGEST_PAUSE, float(asked)) if asked.isdigit() else 0.0
    return failure


def _status(error: BaseException | None) -> int:
    """The HTTP status of an error; 0 if it has none."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


# -------------------------------------------------------------------------------------- stamps and folders


def remote_stamp(url: str) -> Stamp:
    """The size and version of what a URL has now."""
    info = _ask(url, lambda system, path: system.info(path))
    if info.get("type") == "directory":
        raise IsADirectoryError(f"{redact(url)} is a folder")
    if info.get("size") is None:
        raise RemoteError(f"{redact(url)}: the server does not say its size, so it cannot be read by ranges")
    if info.get("mimetype") == "text/html":
        raise WebPageError(
            f"{redact(url)} is a web page, such as a log-in page: pass credentials in storage_options=..."
        )
    return _stamp_in(url, info)


def remote_stamps(urls: Sequence[str]) -> tuple[Stamp, ...]:
    """The stamps of files; ``OSError`` if one does not exist."""
    listed: dict[str, Stamp] = {}
    if len(urls) > FEW:
        for folder in dict.fromkeys(url.rpartition("/")[0] for url in urls if not is_http(url)):
            for info in _infos(folder):
                if info.get("type") != "directory" and info.get("size") is not None:
                    url = join(folder, info["name"].rsplit("/", 1)[-1])
                    listed[url] = _stamp_in(url, info)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(pool.map(lambda url: listed.get(url) or remote_stamp(url), urls))


def _stamp_in(url: str, info: dict[str, Any]) -> Stamp:
    """The stamp in what a file system says of a file: its ETag, or else its date, or else a digest of some bytes."""
    said = {re.sub("[-_]", "", key.lower()): str(value) for key, value in info.items() if value}
    version = next((said[key] for key in (*_VERSIONS, *_DATES) if key in said), "")
    if "etag" in said:
        version = re.sub('^"?([^"]*)"?$', r'"\1"', version)  # Azure's list has no quotes
    if not version:
        version = hashlib.sha256(RemoteFile(url, Stamp(info["size"], "")).samples(info["size"])).hexdigest()
    return Stamp(info["size"], version)


def remote_names(folder: str) -> list[str]:
    """The names in a folder, sorted; none if it does not exist, or is on a web server that lists nothing."""
    url = folder.rstrip("/") + "/" if is_http(folder) else folder  # servers redirect to it; lists are relative to it
    try:
        return sorted(info["name"].rstrip("/").rsplit("/", 1)[-1] for info in _infos(url))
    except OSError as error:
        if is_http(url) or isinstance(error, ABSENT):
            return []
        raise


def _infos(folder: str) -> list[dict[str, Any]]:
    return _ask(folder, lambda system, path: list(system.ls(path, detail=True)))


def _ask(url: str, question: Callable[[_System, str], _T]) -> _T:
    """What ``question(file system, path)`` returns of a URL now."""

    def attempt() -> _T:
        system, path = _file_system(url)
        with _turn if _server(url) in _clients else contextlib.nullcontext():
            system.invalidate_cache()
            return question(system, path)

    return _with_retries(url, attempt)


# -------------------------------------------------------------------------------------------------- ranges


class RemoteFile(File):
    """An open file behind a URL, which has the stamp ``known``; setting ``stop`` ends waiting, with an ``OSError``."""

    def __init__(self, url: str, known: Stamp | None = None, stop: threading.Event | None = None):
        self.path, self.known = url, known or remote_stamp(url)
        self.stop = stop or threading.Event()

    def read(self, offset: int, size: int) -> bytes:
        starts = range(offset, offset + size, MOST)
        return b"".join(self.read_many([(start, min(MOST, offset + size - start)) for start in starts]))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
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
    for _, of_server in itertools.groupby(pieces, lambda piece: _server(piece.file.path)):
        together = list(of_server)
        for piece, content in zip(together, _fetch(together)):
            for k in piece.members:
                found[k] = content[begins[k] - piece.start : ends[k] - piece.start]
    return found


def _fetch(pieces: list[_Piece]) -> list[bytes]:
    """The bytes of pieces on one server; what fails is requested again."""
    url, stop, found, at_once = pieces[0].file.path, pieces[0].file.stop, dict[int, bytes](), AT_ONCE
    _expect_ranges(pieces[0].file)

    def attempt() -> None:
        nonlocal at_once
        rest = [k for k in range(len(pieces)) if k not in found]
        failures = []
        for k, result in zip(rest, _request([pieces[k] for k in rest], stop, at_once)):
            size = pieces[k].end - pieces[k].start
            if isinstance(result, bytes) and len(result) == size:
                found[k] = result
                continue
            if isinstance(result, bytes):
                result = EOFError(f"the answer has {len(result):,} bytes, expected {size:,}: was the file replaced?")
            failures.append(_explained(result, pieces[k].file.path))
        at_once = max(1, at_once // 4)  # from the second time on: the server may have too many requests
        if failures:  # one that cannot pass comes first, then the longest pause
            raise max(failures, key=lambda failure: failure.pause if isinstance(failure, _PassingError) else math.inf)

    _with_retries(url, attempt, stop)
    return [found[k] for k in range(len(pieces))]


def _request(pieces: list[_Piece], stop: threading.Event, at_once: int) -> list[bytes | BaseException]:
    """The bytes of each piece, or the error; an ``OSError`` once ``stop`` is set."""
    system, _ = _file_system(pieces[0].file.path)
    places = [(system._strip_protocol(piece.file.path), piece.start, piece.end) for piece in pieces]
    if system.async_impl:
        call = system._cat_ranges(*map(list, zip(*places)), on_error="return", batch_size=at_once)
        future = asyncio.run_coroutine_threadsafe(call, system.loop)
        try:
            while not stop.is_set():
                if concurrent.futures.wait([future], POLL).done:
                    return list(future.result())
        finally:
            future.cancel()  # also if Ctrl-C interrupts the waiting
        raise RemoteError(INTERRUPTED)
    buffered = type(system).cat_file is fsspec.AbstractFileSystem.cat_file  # which reads megabytes ahead
    options = {"cache_type": "none"} if buffered else {}

    def read(place: tuple[str, int, int]) -> bytes | BaseException:
        try:
            return RemoteError(INTERRUPTED) if stop.is_set() else bytes(system.cat_file(*place, **options))
        except Exception as error:
            return error

    if system in _clients.values():
        with _turn:
            return list(map(read, places))
    with ThreadPoolExecutor(min(at_once, len(places))) as pool:
        return list(pool.map(read, places))


def _expect_ranges(file: RemoteFile) -> None:
    """Raise ``OSError`` if an HTTP server ignores ranges: it would send all of a file again and again."""

    def answers(system: _System, path: str) -> bool:
        with system.open(path, cache_type="none", size=file.known.size) as opened:
            opened.seek(1)
            try:
                return bool(opened.read(1))
            except ValueError:  # fsspec has read nothing of the answer
                return False

    server = _server(file.path)
    if is_http(file.path) and server not in _answer_ranges:
        if not _ask(file.path, answers):
            raise RemoteError(
                f"{redact(file.path)}: the server ignores ranges: it sends all of a file instead of the bytes that "
                "are asked for. Use a server that answers requests for ranges, or download the file"
            )
        _answer_ranges.add(server)


class PythonFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file of Python that reads a remote one, of which ``buffer`` bytes are fetched together."""

    def __init__(self, file: RemoteFile, buffer: int):
        self._remote = file
        super().__init__(None, file.path, block_size=buffer, size=file.known.size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._remote.read(start, end - start)
