"""URLs: which they are, and how they are shown and joined; without ``fsspec``, which local files do not need."""

import os
import re


def is_url(path: str) -> bool:
    """Whether ``path`` is a URL to be read through ``fsspec``, and not a path of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)", path) is not None


def shown(text: str) -> str:
    """A URL, or a message with URLs, without user names, passwords, query strings and fragments."""
    without_users = re.sub(r"://[^/\s?#'\"]*@", "://", text)
    return re.sub(r"(://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", without_users)


def join(url: str, name: str) -> str:
    """The URL or path of a file in a folder."""
    return f"{url.rstrip('/')}/{name}" if is_url(url) else os.path.join(url, name)
