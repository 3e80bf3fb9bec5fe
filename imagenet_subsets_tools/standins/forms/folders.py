"""Images as files in folders: extracted from the official archives or those on the Hub."""

from collections.abc import Mapping
from pathlib import Path

from imagenet_subsets_tools.standins.forms.names import Images, hub_name, split_of, wnid_of

FOLDERS = {"train": "train", "validation": "val", "test": "test"}


def write_folders(images: Images, target: Path, by_class: bool = False) -> None:
    """Write ``train/<wnid>/*.JPEG``, ``val/*.JPEG`` (``by_class``: ``val/<wnid>/*.JPEG``) and ``test/*.JPEG``."""
    classes = {"train", "validation"} if by_class else {"train"}
    write_files(images, target, {name: f"{_folder(name, classes)}/{name}" for name in images})


def write_hub_folders(images: Images, target: Path, by_class: bool = False) -> None:
    """Write the extracted ``tar.gz`` files of the Hub, flat or by class, with the file names used there."""
    classes = {"train", "validation"} if by_class else set()
    write_files(images, target, {name: f"{_folder(name, classes)}/{hub_name(name)}" for name in images})


def write_files(images: Images, target: Path, paths: Mapping[str, str]) -> None:
    """Write images to files; ``paths`` maps their names to paths below ``target``."""
    for folder in {path.rpartition("/")[0] for path in paths.values()}:
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        with open(f"{target}/{path}", "wb", buffering=0) as file:
            file.write(images[name])


def _folder(name: str, classes: set[str]) -> str:
    split = split_of(name)
    return f"{FOLDERS[split]}/{wnid_of(name)}" if split in classes else FOLDERS[split]
