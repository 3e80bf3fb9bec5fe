"""The Parquet files of ``ILSVRC/imagenet-1k`` on the Hub, also as links in a snapshot of the Hub's cache."""

import functools
from typing import ClassVar

from imagenet_reader.formats.parquet_images import find_pieces, read_images
from imagenet_reader.layouts.kept import Kept, Names, Stream
from imagenet_reader.layouts.sharded import Sharded


class HubParquet(Sharded, Kept):
    """Parquet files, of which only the row groups that hold wanted images are read."""

    name: ClassVar = "Hub Parquet"
    obstacle: ClassVar = "cannot be read image by image"
    way_out: ClassVar = ""
    folders: ClassVar = ("", "data", "snapshots/*", "snapshots/*/data")
    patterns: ClassVar = {name: f"{name}-*-of-*.parquet" for name in ("train", "validation", "test")}

    def stream(self, names: Names | None) -> Stream:
        """The images in the order of the files; names are read first."""
        pieces = find_pieces(self.files(), names)
        needed = sum(piece.wanted_size for piece in pieces)
        return Stream(sum(piece.size for piece in pieces), needed, functools.partial(read_images, pieces))
