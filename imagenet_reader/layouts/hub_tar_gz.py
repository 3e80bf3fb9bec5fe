"""The .tar.gz files that ``ILSVRC/imagenet-1k`` had on the Hub: ``train_images_0.tar.gz`` and so on."""

import functools
from collections.abc import Callable, Iterator
from typing import ClassVar

from imagenet_reader.formats.hub_names import official_name
from imagenet_reader.layouts.kaggle_tar_gz import stream_tar_gz
from imagenet_reader.layouts.kept import Kept, Member, Names, Stream
from imagenet_reader.layouts.sharded import Sharded


class HubTarGz(Sharded, Kept):
    """Flat .tar.gz files, read to their end."""

    remote: ClassVar = True
    name: ClassVar = "Hub .tar.gz"
    way_out: ClassVar = "To avoid this, unpack them on a disk."
    folders: ClassVar = ("", "data", "snapshots/*", "snapshots/*/data")
    patterns: ClassVar = {
        "train": "train_images_*.tar.gz",
        "validation": "val_images.tar.gz",
        "test": "test_images.tar.gz",
    }
    counts: ClassVar = {"train": 5}

    def stream(self, names: Names | None) -> Stream:
        """The images in the order of the files."""
        return Stream.of_files(self.files(), names, functools.partial(_members, self.files(), names))


def _members(files: list[str], names: Names | None, advance: Callable[[int], object]) -> Iterator[Member]:
    def name_of(member: str) -> str | None:
        name = official_name(member.rpartition("/")[2])
        return name if name is not None and (names is None or name in names) else None

    for file in files:
        yield from stream_tar_gz(file, name_of, advance)
