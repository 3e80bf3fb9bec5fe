"""Hints where images are, if a ``data_dir`` has none in any known form."""

import contextlib
import difflib
import glob
import itertools
import os
import re
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_reader.errors import ArchiveError
from imagenet_reader.layouts.base import IMAGE_SETS, ImageSet, Layout
from imagenet_reader.layouts.folders import Holdings, entries_of
from imagenet_reader.layouts.messages import PATH_SHOWN, download_advice, listing
from imagenet_reader.layouts.official_tar import first_name
from imagenet_reader.layouts.sightings import describe_sights
from imagenet_reader.official import FIRST_MEMBERS, OFFICIAL_SIZES
from imagenet_reader.sources import open_file
from imagenet_reader.walk.archive import walk_tar

ON_HUB = re.compile(r"\b((?:ILSVRC|timm)/imagenet-1k[\w-]*)$")  # repositories of ImageNet
MAX_FOLDERS = 200  # searched for images that are too deep
DEEPER = "*", "*/Data/CLS-LOC", "*/*/Data/CLS-LOC", "*/*"
HIGHER = 2  # folders above that are searched: data_dir may be a class folder
MEMBERS = {"train": 1_000, "validation": 50_000, "test": 100_000}  # of the archives
CLASSES = 1_000
SHOWN = 3

Find = Callable[[ImageSet, str], Layout | None]  # the first layout of a set of images in a folder


def describe_near(find: Find, images: ImageSet, needed: tuple[str, ...], data_dir: str) -> str:
    """Where a set of images is, and what to do; empty if nothing is near.

    Args:
        find: finds layouts.
        images: the set that is missing.
        needed: names of all sets that the config needs: a folder is recommended only if it has all of them.
        data_dir: the folder that lacks the set.
    """
    return (
        _describe_built(data_dir)
        or _describe_deeper(find, images, needed, data_dir)
        or _describe_above(find, images, needed, data_dir)
        or _describe_renamed(images, data_dir)
        or describe_sights(images, data_dir)
    )


def describe_no_folder(data_dir: str) -> str:
    """The message for a ``data_dir`` that is no folder."""
    if os.path.isfile(data_dir):
        return f"data_dir={data_dir!r} is a file: pass the folder that it is in."
    if os.path.islink(data_dir):
        return f"data_dir={data_dir!r} is a broken link, to {os.readlink(data_dir)}: pass the folder of the images."
    on_hub = ON_HUB.search(data_dir)
    if on_hub:
        call = f"imagenet_subsets.select(datasets.load_dataset({on_hub[1]!r}), ...)"
        return (
            f"data_dir={data_dir!r}: there is no such folder. For the repository on the Hub, pass "
            f"data_dir='hf://datasets/{on_hub[1]}', or call {call}."
        )
    parent = os.path.abspath(data_dir)
    rest: list[str] = []
    while not os.path.isdir(parent):
        parent, name = os.path.split(parent)
        rest.insert(0, name)
    names = {name.lower(): name for name in sorted(entries_of(parent)) if os.path.isdir(os.path.join(parent, name))}
    near = [names[name] for name in difflib.get_close_matches(rest[0].lower(), names)]
    paths = [os.path.join(parent, name, *rest[1:]) for name in near]
    there = [path for path in paths if os.path.isdir(path)]
    message = f"data_dir={data_dir!r}: there is no such folder ({parent} has no {rest[0]!r})."
    if there:
        return f"{message} Did you mean {there[0]!r}?"
    return f"{message} It has: {listing(near, SHOWN)}." if near else f"{message} Pass the folder of the images."


def _describe_built(data_dir: str) -> str:
    """How to load the folder that ``imagenet-subsets build`` wrote; only its Parquet files have these columns."""
    folder = os.path.abspath(data_dir)
    if glob.glob(os.path.join(glob.escape(folder), "*-of-*.parquet")):  # data_dir is the folder of a config
        folder = os.path.dirname(folder)
    for config in itertools.islice(_folders_in(folder), MAX_FOLDERS):
        for path in filter(os.path.isfile, glob.glob(os.path.join(glob.escape(config), "train-*-of-*.parquet"))[:1]):
            with contextlib.suppress(pa.ArrowException, OSError):
                if {"image", "label", "file_name"} <= set(pq.read_schema(path).names):
                    call = f"datasets.load_dataset({folder!r}, {os.path.basename(config)!r})"
                    return f"But {folder} is a dataset that is already built: {call}."
    return ""


def _describe_deeper(find: Find, images: ImageSet, needed: tuple[str, ...], data_dir: str) -> str:
    """Which folders below have such images; one is recommended if it has all that the config needs."""
    places: dict[Layout, str] = {}
    for folder in itertools.islice(_folders_below(data_dir), MAX_FOLDERS):
        with contextlib.suppress(OSError):
            layout = find(images, folder)
            if layout is not None:
                places.setdefault(layout, folder)
    if not places:
        return ""
    goal = os.path.join(data_dir, images.folders[0])
    alone = list(places) if len(places) == 1 else [layout for layout in places if _is_complete(layout, images)]
    if not alone:
        paths = sorted(layout.path for layout in places)
        shown = listing(paths, SHOWN, PATH_SHOWN)
        return f"But {shown} hold such images: move what is in these folders directly into {goal}."
    for layout in alone:
        if all(find(IMAGE_SETS[name], places[layout]) is not None for name in needed):
            return f"But {places[layout]} has such images: pass data_dir={places[layout]!r}."
    path = alone[0].path
    if os.path.isdir(path):
        return f"But {path} has such images: move what is in it to {goal}."
    return f"But {path} has such images: move it to {data_dir}."


def _describe_above(find: Find, images: ImageSet, needed: tuple[str, ...], data_dir: str) -> str:
    """Which folder above has all that the config needs, if ``data_dir`` is a part of it, such as ``train``."""
    folder = os.path.abspath(data_dir)
    for _ in range(HIGHER):
        folder = os.path.dirname(folder)
        with contextlib.suppress(OSError):
            layouts = [find(IMAGE_SETS[name], folder) for name in needed]
            paths = [layout.path for layout in layouts if layout is not None]
            if len(paths) == len(needed) and any(_overlap(os.path.abspath(data_dir), path) for path in paths):
                return f"But {folder} has such images: pass data_dir={folder!r}."
    return ""


def _overlap(folder: str, path: str) -> bool:
    """Whether a folder is a path of images, holds it, or is inside of it."""
    return os.path.commonpath([folder, path]) in (folder, path)


def _folders_below(data_dir: str) -> Iterator[str]:
    for pattern in DEEPER:
        yield from _folders_in(data_dir, pattern)


def _folders_in(folder: str, pattern: str = "*") -> Iterator[str]:
    for found in sorted(glob.iglob(os.path.join(glob.escape(folder), pattern, ""))):
        yield found.rstrip("/")


def _is_complete(layout: Layout, images: ImageSet) -> bool:
    """Whether a layout is an archive, or a folder of all classes or images."""
    if not os.path.isdir(layout.path):
        return True
    holdings = Holdings.of(images, layout.path)
    return holdings.count >= (MEMBERS[images.name] if holdings.form == "flat" else CLASSES)


def _describe_renamed(images: ImageSet, data_dir: str) -> str:
    """Which tar is the archive, under another name, or begins as it does."""
    archive, expected, others = images.archives[0], MEMBERS[images.name], []
    tars = filter(os.path.isfile, sorted(glob.glob(os.path.join(glob.escape(data_dir), "*.tar"))))
    for path in itertools.islice(tars, MAX_FOLDERS):
        with contextlib.suppress(ArchiveError, OSError):
            if not FIRST_MEMBERS[archive].fullmatch(first_name(path)):
                continue
            is_official = os.path.getsize(path) == OFFICIAL_SIZES.get(archive)
            count = expected if is_official else _count(path, archive)
            if count == expected:
                return f"But {path} looks like that archive; rename it to {archive}."
            others.append(f"{path} begins like that archive, but has {count:,} of its {expected:,} members")
    return f"But {'; '.join(others[:SHOWN])}. {download_advice(images.archives, data_dir)}" if others else ""


def _count(path: str, archive: str) -> int:
    """How many members of a tar have names like those of an official archive."""
    with open_file(path) as file:
        names = set(walk_tar(file)["name"].to_pylist())
    return sum(map(bool, map(FIRST_MEMBERS[archive].fullmatch, names)))
