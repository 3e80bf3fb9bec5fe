"""Text of messages: shortened lists, sizes in words, URLs without secrets."""

import re
from collections.abc import Sequence


def shorten(names: Sequence[object], most: int = 20, longest: int = 80) -> str:
    """Names in a row: up to ``most`` of them, each of up to ``longest`` characters, and how many more there are."""
    texts = [str(name) for name in names[:most]]
    shown = ", ".join(text if len(text) <= longest else f"{text[:longest]}..." for text in texts)
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def format_bytes(size: float) -> str:
    """Format a number of bytes, as in ``"8.2 GB"`` or ``"31.0 MB"``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def redact(text: str) -> str:
    """A URL, or a message with URLs, without user names, passwords, query strings and fragments."""
    without_users = re.sub(r"://[^/\s?#'\"]*@", "://", text)
    return re.sub(r"(://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", without_users)
