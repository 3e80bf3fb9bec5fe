"""Other ways to get the same images: a script that walks with tarfile, ratarmountcore, TFDS."""

import os
import tarfile
from pathlib import Path

import datasets

from benchmarks.common import archive_of, images_of, measured, wanted_mb
from imagenet_reader.lists import read_wnids


def walking_script(folder):
    """Walk the archives and their class tars with tarfile, and keep the images that 1pct lists."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=read_wnids()),
            "file_name": datasets.Value("string"),
        }
    )
    with measured() as result:
        for split, images in images_of("1pct").items():
            arguments = {"path": str(archive_of(folder, split)), "labels": dict(images)}
            datasets.Dataset.from_generator(_walk, features=features, gen_kwargs=arguments, split=split)
    return result | {"wanted_mb": wanted_mb(folder, "1pct")}


def _walk(path, labels):
    with tarfile.open(path) as archive:
        yield from _walk_members(archive, labels)


def _walk_members(archive, labels):
    for member in archive:
        if member.name.endswith(".tar"):
            with tarfile.open(fileobj=archive.extractfile(member)) as class_tar:
                yield from _walk_members(class_tar, labels)
        elif member.name in labels:
            image = {"path": member.name, "bytes": archive.extractfile(member).read()}
            yield {"image": image, "label": labels[member.name], "file_name": member.name}


def ratarmountcore(folder):
    """Build the index of the training archive with ratarmountcore."""
    from ratarmountcore.mountsource.factory import open_mount_source

    index = os.path.join(os.environ["HF_HOME"], "index.sqlite")
    with measured() as result:
        open_mount_source(archive_of(folder, "train"), recursive=True, writeIndex=True, indexFilePath=index)
    return result


def tfds(folder):
    """Build 1pct with TFDS; its list is written here instead of downloaded."""
    import tensorflow_datasets

    home = Path(os.environ["HF_HOME"])
    names = home / "1percent.txt"
    names.write_text("".join(f"{name}\n" for name, _ in images_of("1pct")["train"]))
    tensorflow_datasets.download.DownloadManager.download = lambda self, url: str(names)
    settings = tensorflow_datasets.download.DownloadConfig(manual_dir=folder)
    with measured() as result:
        builder = tensorflow_datasets.builder("imagenet2012_subset/1pct", data_dir=home / "tfds")
        builder.download_and_prepare(download_config=settings)
    return result | {"wanted_mb": wanted_mb(folder, "1pct")}
