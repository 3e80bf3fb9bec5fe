"""Folders of images on a server of loopback."""

import contextlib

from makers.server import running_server

from helpers.layout_rows import LAYOUTS
from imagenet_subsets_tools.cli import main

RANGED = ["archives", "class tars", "webdataset", "tfds"]  # read by ranges of bytes, with an index
REMOTE = {layout: LAYOUTS[layout] for layout in [*RANGED, "hub parquet", "hub tar.gz"]}


def files_of(folder):
    """{relative path: bytes} of all files in a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def indexes_of(folder, output):
    """{relative path: bytes} of the indexes that the command line writes of what is in a folder."""
    assert main(["index", str(folder), "--output", str(output)]) == 0
    where = {}
    for path in output.iterdir():
        inside = next((found.parent for found in folder.rglob(f"{path.stem}*")), folder)
        where[(inside.relative_to(folder) / path.name).as_posix()] = path.read_bytes()
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
