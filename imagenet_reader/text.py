"""Text of messages: shortened lists, sizes in words, what files are, URLs without secrets."""

import re
from collections.abc import Sequence

KINDS = {  # of files without images, by a regular expression of their first bytes
    rb"\Z": "empty: download it again",
    rb"\0+\Z": "filled with zeros: download it again",
    rb"\x1f\x8b\x08": "gzip data: rename it to .tar.gz, and unpack it with gunzip",
    rb"BZh\d": "bzip2 data: rename it to .tar.bz2, and unpack it with bunzip2",
    rb"\xfd7zXZ": "xz data: rename it to .tar.xz, and unpack it with unxz",
    rb"PK\x03\x04": "a zip archive",
    rb"version https://git-lfs": "a Git LFS pointer: run git lfs pull",
    rb"\s*<[^\0]*\Z": "a web page, such as a log-in page saved under the file's name: log in, and download it again",
    rb"[\s -~]+\Z": "a text, such as an error message saved under the file's name: download it again",
}


def shorten(names: Sequence[object], most: int = 20, longest: int = 80) -> str:
    """Names in a row: up to ``most`` of them, each of up to ``longest`` characters, and how many more there are."""
    texts = [str(name) for name in names[:most]]
    shown = ", ".join(text if len(text) <= longest else f"{text[:longest]}..." for text in texts)
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def format_bytes(size: float) -> str:
    """Format a number of bytes, as in ``"8.2 GB"`` or ``"31.0 MB"``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def what_is(start: bytes) -> str:
    """What a file without images is, by its first bytes, and what to do; empty if they do not tell."""
    return next((what for pattern, what in KINDS.items() if re.match(pattern, start)), "")


def redact(text: str) -> str:
    """A URL, or a message with URLs, without user names, passwords, query strings and fragments."""
    without_users = re.sub(r"://[^/\s?#'\"]*@", "://", text)
    return re.sub(r"(://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", without_users)
