"""The zip and tar.gz of Kaggle's imagenet-object-localization-challenge, and the folders extracted from both."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from imagenet_subsets_tools.standins.forms.folders import write_folders
from imagenet_subsets_tools.standins.forms.names import Images, by_class, by_split
from imagenet_subsets_tools.standins.tars import write_tar_gz

ZIP, TAR_GZ = "imagenet-object-localization-challenge.zip", "imagenet_object_localization_patched2019.tar.gz"
DATA = "ILSVRC/Data/CLS-LOC"
EXTRAS = {
    "ILSVRC/Annotations/CLS-LOC/train/n01440764/n01440764_10040.xml": b"<annotation></annotation>\n",
    "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": b"<annotation></annotation>\n",
    "ILSVRC/ImageSets/CLS-LOC/train_cls.txt": b"n01440764/n01440764_10026 1\n",
    "LOC_val_solution.csv": b"ImageId,PredictionString\nILSVRC2012_val_00048981,n03995372 85 1 499 272\n",
    "LOC_synset_mapping.txt": b"n01440764 tench, Tinca tinca\n",
}


def write_kaggle_folders(images: Images, target: Path) -> None:
    """Write the extracted folders below ``ILSVRC/Data/CLS-LOC``, and the other files of the competition."""
    for path, content in EXTRAS.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
    write_folders(images, target / DATA)


def write_kaggle_zip(images: Images, target: Path) -> None:
    """Write ``imagenet-object-localization-challenge.zip``, whose members are compressed."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target / ZIP, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in kaggle_members(images):
            archive.writestr(path, content)


def write_kaggle_tar_gz(images: Images, target: Path) -> None:
    """Write ``imagenet_object_localization_patched2019.tar.gz``."""
    target.mkdir(parents=True, exist_ok=True)
    write_tar_gz(target / TAR_GZ, kaggle_members(images))


def kaggle_members(images: Images) -> Iterator[tuple[str, bytes]]:
    """The members of both archives, (path, content), in their order."""
    splits = by_split(images)
    yield from EXTRAS.items()
    for name in splits.get("test", ()):
        yield f"{DATA}/test/{name}", images[name]
    for wnid, names in by_class(images).items():
        for name in names:
            yield f"{DATA}/train/{wnid}/{name}", images[name]
    for name in splits.get("validation", ()):
        yield f"{DATA}/val/{name}", images[name]
