"""Exports of 1pct, and the floor: writing the same files from memory."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.common import images_of, measured, plan_of
from imagenet_subsets_tools.export import FOLDERS, export_images
from imagenet_subsets_tools.lists import tree_path

__all__ = ["export_tree", "link_tree", "write_from_memory"]

THREADS = 8  # the default of ``export_images``


def export_tree(folder):
    """Write the tree of 1pct."""
    with measured() as result:
        export_images("1pct", Path(os.environ["HF_HOME"], "tree"), folder, num_proc=THREADS)
    return result


def link_tree(folder):
    """Make the tree of 1pct, as hard links to extracted images."""
    with measured() as result:
        tree = export_images("1pct", Path(os.environ["HF_HOME"], "tree"), folder, link="hard")
    return result | {"images_per_second": sum(1 for _ in tree.glob("*/n*/*.JPEG")) / result["seconds"]}


def write_from_memory(folder):
    """Write the files of the tree of 1pct, whose bytes are in memory, by as many threads."""
    files = _files(folder, Path(os.environ["HF_HOME"], "tree"))
    with measured() as result, ThreadPoolExecutor(THREADS) as pool:
        for path in {path.parent for path, _ in files}:
            path.mkdir(parents=True)
        list(pool.map(_write, (files[k::THREADS] for k in range(THREADS))))
    return result


def _files(folder, tree):
    """(path, bytes) of each image, in the order of the archives."""
    files = []
    for (split, images), (archive, rows) in zip(images_of("1pct").items(), plan_of(folder, "1pct").items()):
        with open(archive, "rb") as file:
            for (offset, size), (name, _) in sorted(zip(rows, images)):
                content = os.pread(file.fileno(), size, offset)
                files.append((tree / tree_path(name, FOLDERS.get(split, split)), content))
    return files


def _write(files):
    for path, content in files:
        with open(path, "wb") as file:
            file.write(content)
