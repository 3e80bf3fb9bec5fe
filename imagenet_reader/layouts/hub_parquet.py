"""The Parquet files of ``ILSVRC/imagenet-1k`` on the Hub, also as links in a snapshot of the Hub's cache."""

import functools
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.formats.parquet_images import find_pieces, read_images
from imagenet_reader.layouts.base import Wanted
from imagenet_reader.layouts.kept import Kept, Names, Stream
from imagenet_reader.layouts.sharded import Sharded


class HubParquet(Sharded, Kept):
    """Parquet files, of which only the row groups that hold wanted images are read."""

    remote: ClassVar = True
    name: ClassVar = "Hub Parquet"
    obstacle: ClassVar = "cannot be read image by image"
    way_out: ClassVar = ""
    folders: ClassVar = ("", "data", "snapshots/*", "snapshots/*/data")
    patterns: ClassVar = {name: f"{name}-*-of-*.parquet" for name in ("train", "validation", "test")}

    def list_images(self, wanted: Wanted) -> pa.Table:
        """All images, of which only the names are read; sizes are estimates."""
        pieces = find_pieces(self.files(), None)
        sizes = [max(1, piece.wanted_size // len(piece.names)) for piece in pieces for _ in piece.names]
        names = pa.chunked_array([piece.names.cast(pa.binary()) for piece in pieces], pa.binary())
        return pa.table({"name": names, "size": pa.array(sizes, pa.int64())})

    def stream(self, names: Names | None) -> Stream:
        """The images in the order of the files; names are read first."""
        pieces = find_pieces(self.files(), names)
        needed = sum(piece.wanted_size for piece in pieces)
        return Stream(sum(piece.size for piece in pieces), needed, functools.partial(read_images, pieces))
