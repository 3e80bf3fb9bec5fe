"""Folders of images on a server of loopback."""

import contextlib

from makers.hub_parquet import hub_parquet
from makers.hub_tar_gz import hub_tar_gz
from makers.layouts import class_tars, official_tars
from makers.server import running_server
from makers.tfds import tfds
from makers.webdataset import webdataset

from imagenet_subsets_tools.cli import main


def archives_and_class_tars(images, target):
    """Class tars for training, the official archive for validation."""
    class_tars({name: content for name, content in images.items() if name.startswith("n")}, target)
    official_tars({name: content for name, content in images.items() if not name.startswith("n")}, target)


RANGED = {
    "archives": official_tars,
    "class tars": archives_and_class_tars,
    "webdataset": webdataset,
    "tfds": tfds,
}
REMOTE = {**RANGED, "hub parquet": hub_parquet, "hub tar.gz": hub_tar_gz}


def files_of(folder):
    """{relative path: bytes} of all files in a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def indexes_of(folder, output):
    """{relative path: bytes} of the indexes of what is in a folder, which the command line writes."""
    assert main(["index", str(folder), "--output", str(output)]) == 0
    beside = {path.name: path.read_bytes() for path in output.iterdir()}
    where = {}
    for name, content in beside.items():
        stem = name.removesuffix(".index")
        inside = next((path.parent for path in folder.rglob(f"{stem}*")), folder)
        where[(inside.relative_to(folder) / name).as_posix()] = content
    return where


@contextlib.contextmanager
def served(layout, images, tmp_path, indexed=True, **settings):
    """A server that has images in a layout, with the indexes beside them if ``indexed``."""
    folder = tmp_path / "served"
    REMOTE[layout](images, folder)
    files = files_of(folder)
    if indexed and layout in RANGED:
        files |= indexes_of(folder, tmp_path / "indexes")
    with running_server(files=files, **settings) as server:
        yield server
