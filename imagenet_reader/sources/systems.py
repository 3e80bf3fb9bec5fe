"""The ``fsspec`` file system of each URL, and the options for it."""

import os
from typing import Any

import fsspec
import fsspec.asyn

from imagenet_reader.sources.urls import shown

_PACKAGES = {  # protocol -> what its file system needs; datasets 5 no longer requires aiohttp
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs"), "adlfs"),
}
_options: dict[str, dict[str, Any]] = {}
# In a fork, fsspec drops the file systems of the parent. If they were closed there, the parent would miss the answers
# on its open connections, because both processes share the epoll instance of the event loop.
_used: set[fsspec.AbstractFileSystem] = set()

if hasattr(os, "register_at_fork"):
    # Some versions of fsspec (2025.3 is one) wait forever in a fork, for an event loop that only the parent runs.
    os.register_at_fork(after_in_child=fsspec.asyn.reset_lock)


def set_storage_options(url: str, options: dict[str, Any]) -> None:
    """Use ``options`` for all URLs of the server or bucket of ``url``, in this process and in those forked from it."""
    _options[_server(url)] = dict(options)


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL and the path in it; ``fsspec`` keeps one per process, so that forks get their own.

    Raises:
        ImportError: the package for this protocol is missing; the message says which.
        ValueError: ``fsspec`` does not know the protocol.
    """
    options = _options.get(_server(url), {})
    try:
        if _protocol(url) in ("http", "https"):
            options = {"client_kwargs": {"timeout": _http_timeout()}} | options
        system, path = fsspec.core.url_to_fs(url, **options)
        _used.add(system)
        return system, path
    except ImportError as error:
        raise type(error)(f"{shown(url)} cannot be opened: {error}{_install(_protocol(url))}") from None
    except ValueError as error:
        raise ValueError(f"{shown(url)} cannot be opened: {shown(str(error))}") from None


def _server(url: str) -> str:
    """The protocol and the server or bucket of a URL: no other gets its options, which may be secrets."""
    return "/".join(shown(url).split("/")[:3]).lower()


def _protocol(url: str) -> str:
    return url.split("::")[-1].split("://")[0].lower()


def _install(protocol: str) -> str:
    package = _PACKAGES.get(protocol)
    return f". Install it: pip install {package}" if package else ""


def _http_timeout():
    import aiohttp  # only once an HTTP server is asked

    # No limit for the transfer, as long as bytes arrive.
    return aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)
