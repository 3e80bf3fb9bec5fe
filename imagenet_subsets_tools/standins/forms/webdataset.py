"""Tars in WebDataset format, like those of ``timm/imagenet-1k-wds`` on the Hub."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from imagenet_subsets_tools.standins.forms.names import Images, by_split, label_of, shuffled_shards, wnid_of
from imagenet_subsets_tools.standins.tars import write_tar

SHARDS = {"train": 1024, "validation": 64, "test": 128}
DIGITS = {"train": 4, "validation": 2, "test": 3}  # of the shard number


def write_webdataset(
    images: Images,
    target: Path,
    shards: Mapping[str, int] = SHARDS,
    by_name: bool = True,
    folders: bool = False,
) -> None:
    """Write ``imagenet1k-train-0000.tar`` and so on.

    Args:
        images: official file name -> bytes.
        target: the folder to write into.
        shards: files per split.
        by_name: use the names of the images as stems; otherwise numbers, and only the JSON has the names.
        folders: write the shards of a split into a folder named after it.
    """
    for split, names in by_split(images).items():
        folder = target / split if folders else target
        folder.mkdir(parents=True, exist_ok=True)
        first = 0
        for number, shard in enumerate(shuffled_shards(names, shards[split])):
            stems = [name.removesuffix(".JPEG") if by_name else f"{first + k:08d}" for k, name in enumerate(shard)]
            path = folder / f"imagenet1k-{split}-{number:0{DIGITS[split]}d}.tar"
            write_tar(path, _members(images, stems, shard))
            first += len(shard)


def _members(images: Images, stems: list[str], names: list[str]) -> Iterator[tuple[str, bytes]]:
    for stem, name in zip(stems, names):
        label, wnid = label_of(name), wnid_of(name)
        filename = name if wnid is None else f"{wnid}/{name}"
        yield f"{stem}.cls", str(label).encode()
        yield f"{stem}.jpg", images[name]
        yield f"{stem}.json", json.dumps({"filename": filename, "label": label}).encode()
