"""Class tars, as unpacked from the official training archive."""

from pathlib import Path

from imagenet_subsets_tools.standins.forms.folders import write_files
from imagenet_subsets_tools.standins.forms.names import Images, by_class, by_split
from imagenet_subsets_tools.standins.tars import write_tar


def write_class_tars(images: Images, target: Path, train: str = "train") -> None:
    """Write ``train/n01440764.tar`` and so on, and the other images as files, in ``val/`` and ``test/``."""
    (target / train).mkdir(parents=True, exist_ok=True)
    for wnid, names in by_class(images).items():
        write_tar(target / train / f"{wnid}.tar", ((name, images[name]) for name in names))
    splits = by_split(images)
    write_files(images, target, {name: f"val/{name}" for name in splits.get("validation", ())})
    write_files(images, target, {name: f"test/{name}" for name in splits.get("test", ())})
