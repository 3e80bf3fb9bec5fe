"""Batches of remote images: fetched at once, before ``datasets`` decodes them.

``datasets`` opens one path after the other, and has no hook for a batch; so two methods of ``datasets.Features`` are
wrapped, through which all formats of rows decode. Batches without addresses of remote images pass unchanged.
"""

import functools
from typing import Any

import datasets
import fsspec

from imagenet_reader.reading.addresses import SCHEME, is_remote


def fetch_batches_at_once() -> None:
    """Wrap ``datasets.Features``, once per process."""
    if not hasattr(datasets.Features.decode_batch, "__wrapped__"):
        datasets.Features.decode_batch = _wrapped_batch(datasets.Features.decode_batch)
        datasets.Features.decode_column = _wrapped_column(datasets.Features.decode_column)


def _wrapped_batch(decode_batch):
    @functools.wraps(decode_batch)
    def decode_fetched(self, batch: dict[str, list], *args, **kwargs):
        fetched = {name: _fetched(self[name], column) for name, column in batch.items()}
        return decode_batch(self, fetched, *args, **kwargs)

    return decode_fetched


def _wrapped_column(decode_column):
    @functools.wraps(decode_column)
    def decode_fetched(self, column: list, column_name: str, *args, **kwargs):
        return decode_column(self, _fetched(self[column_name], column), column_name, *args, **kwargs)

    return decode_fetched


def _fetched(feature: Any, column: list) -> list:
    """A column with the bytes of its remote images."""
    if not isinstance(feature, datasets.Image) or not feature.decode:
        return column
    paths = [value["path"] for value in column if value and value["bytes"] is None and is_remote(value["path"] or "")]
    if len(paths) < 2:
        return column
    images = fsspec.filesystem(SCHEME).cat(list(dict.fromkeys(paths)))
    return [
        {"path": value["path"], "bytes": images[value["path"]]} if value and value["path"] in images else value
        for value in column
    ]
