"""Rows in place with the interface of torchvision's ``ImageFolder``; the only module that imports torchvision."""

import io
import os
from typing import Any

import datasets
import numpy as np
import PIL.Image
from torchvision.datasets import ImageFolder

from imagenet_reader.reading.in_place import read_image


class ImageLoader:
    """Opens the images of rows in place, in RGB as torchvision does, by the base name of any path."""

    def __init__(self, rows: datasets.Dataset):
        names = np.array(rows["file_name"][:], bytes)
        self._rows, self._order = rows.cast_column("image", datasets.Image(decode=False)), np.argsort(names)
        self._names = names[self._order]  # not a dict, which each worker would copy, object by object

    def __call__(self, path: str | os.PathLike[str]) -> PIL.Image.Image:
        name = os.path.basename(path)
        place = int(np.searchsorted(self._names, name.encode()))
        if place == len(self._names) or self._names[place] != name.encode():
            raise FileNotFoundError(f"{path}: none of the {len(self._names):,} images of this split is named {name!r}.")
        address = self._rows[int(self._order[place])]["image"]["path"]
        return PIL.Image.open(io.BytesIO(read_image(address))).convert("RGB")


class InPlaceFolder(ImageFolder):  # type: ignore[misc]  # torchvision is not typed
    """Rows in place as an ``ImageFolder``, whose paths are ``<root>/<wnid>/<name>``; there need not be such files."""

    def __init__(self, rows: datasets.Dataset, root: str, transform: Any, target_transform: Any):
        self._rows = rows
        super().__init__(root, transform, target_transform, loader=ImageLoader(rows))

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        wnids = self._rows.features["label"].names
        return wnids, {wnid: label for label, wnid in enumerate(wnids)}

    def make_dataset(self, directory: str, *arguments: Any, **options: Any) -> list[tuple[str, int]]:
        wnids, rows = self._rows.features["label"].names, zip(self._rows["file_name"][:], self._rows["label"][:])
        folders = [(wnids[label] if label >= 0 else name.partition("_")[0], name, label) for name, label in rows]
        return [(os.path.join(directory, folder, name), label) for folder, name, label in folders]
