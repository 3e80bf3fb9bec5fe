"""Paths and URLs as text: what they are, and how they are written and joined."""

import os
import re

from imagenet_reader.text import redact


def is_url(path: str) -> bool:
    """Whether ``path`` is a URL to be read through ``fsspec``, and not a path of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)", path) is not None


def is_http(url: str) -> bool:
    """Whether a URL is that of a web server."""
    return url.lower().startswith(("http://", "https://"))


def normalize_data_dir(path: str | os.PathLike[str]) -> str:
    """A folder, however it is written, as an absolute path or a URL without a slash at its end."""
    path = os.path.expanduser(os.fspath(path))
    path = path.removeprefix("file://").removeprefix("local://")
    if "::" in path:
        raise ValueError(f"data_dir={redact(path)!r}: in '::', datasets sees two paths. Pass a link to the folder.")
    if not is_url(path):
        return os.path.abspath(path)
    plain = re.sub(r"^(abfss?://)[\w-]+@", r"\1", path)  # without Azure's container, which is not a user
    if redact(plain) != plain:
        raise ValueError(
            f"data_dir={redact(path)!r} has a user name, a password or a query, which would be written into paths and "
            "caches. Pass them in storage_options=..., or set them in the environment."
        )
    return path.rstrip("/")


def join(folder: str, name: str) -> str:
    """The URL or path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else os.path.join(folder, name)
