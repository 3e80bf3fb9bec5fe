"""Say which published subset some images are: those of a folder, a list, or a loaded dataset."""

import collections
import glob
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagenet_reader import lists
from imagenet_reader.facts import WNID
from imagenet_reader.formats.names import official_name
from imagenet_reader.hf.select import named_rows
from imagenet_reader.io import Listing
from imagenet_reader.io.paths import is_url, normalize_data_dir
from imagenet_reader.layouts.base import ALL, Request
from imagenet_reader.layouts.find import find_layout

LISTS = {  # list -> what it is, and how to load it
    "1pct": "SimCLR 1 % (1pct)",
    "10pct": "SimCLR 10 % (10pct)",
    "lt_train": "ImageNet-LT (lt, train)",
    "lt_validation": "ImageNet-LT, validation (lt, validation)",
    "validation": "the official validation images (validation)",
    "holdout": "PAWS's held-out images (holdout)",
}
NEAR = 0.5  # the share of all members of two sets that both have, from which one is called nearly the other
ORDERS = {"sorted": "in the order of the wnids", "published": "in published order", "all": "from 0 to 999"}

_SHARD = re.compile(r"(.*)-\d{5}-of-\d{5}\.parquet")
_IMAGE = re.compile(r".*\.(jpe?g|png|webp)", re.IGNORECASE)


class _Images(NamedTuple):
    names: list[str]  # official ones, where there is one
    labels: list[Any]  # their own; empty if they have none
    sizes: list[int | None]  # bytes of each; empty if unknown


def identify(what: Any, data_dir: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Say which published subset some images are, exactly or nearly, by their names.

    Args:
        what: a folder: a tree for ``ImageFolder``, one written by ``build`` or ``export``, or ImageNet in any layout;
            the path of a text file of images, or of wnids, one per line; or a loaded ``Dataset`` or ``DatasetDict``.
        data_dir: the folder of ImageNet, with whose images the sizes in bytes are compared.

    Returns:
        ``dict``, ready for JSON: ``exact``, whether all parts are a published subset; and ``parts``, by split or
        folder, a ``dict`` each: ``text``, all in words; ``images``, their number; ``list``, the nearest list, or
        ``None``; ``overlaps``, how many images are in each list; ``classes``, their number; ``class_set``, the nearest
        set, or ``"all"`` or ``None``; ``label_order``, ``"sorted"``, ``"published"``, ``"all"`` (0 to 999) or
        ``"other"``, or ``None`` without labels; ``resized``, how many images have another size than in ``data_dir``, if
        that is known; ``exact``.

    Raises:
        OSError: a file cannot be read, or a folder has no images.
        TypeError: ``what`` is neither a path nor a loaded dataset.
        ValueError: a dataset does not name its images, or a text names neither images nor classes.

    Example:

        >>> identify("1percent.txt")["parts"][""]["text"]
        '12,811 of 12,811 images: SimCLR 1 % (1pct); 1,000 of 1,000 classes: all'
    """
    parts = {place: _identify(images, data_dir) for place, images in _read(what, data_dir is not None).items()}
    return {"exact": all(part["exact"] for part in parts.values()), "parts": parts}


def _read(what: Any, with_sizes: bool) -> dict[str, _Images]:
    """The images of each part."""
    if isinstance(what, datasets.Dataset):
        return {"": _Images(*(column.to_pylist() for column in named_rows(what)))}
    if isinstance(what, datasets.DatasetDict):
        return {split: images for split, rows in what.items() for images in _read(rows, with_sizes).values()}
    if not isinstance(what, (str, os.PathLike)):
        raise TypeError(f"Expected a path, or a Dataset or DatasetDict; found {type(what).__name__}.")
    path = normalize_data_dir(what)
    if os.path.isfile(path):
        return {"": _of_text(path)}
    parts = {} if is_url(path) else _of_built(path, with_sizes) or _of_tree(path, with_sizes)
    parts = parts or _of_layouts(path)
    if not parts:
        raise FileNotFoundError(f"{path} has no images of ImageNet: pass a folder of images, or a text file of names.")
    return parts


def _of_text(path: str) -> _Images:
    lines = [line.split() for line in Path(path).read_text("utf-8-sig", errors="replace").splitlines() if line.strip()]
    names = [official_name(first.partition(",")[0]) or first for first, *_ in lines]
    if not any(map(official_name, names)) and not set(names) & set(lists.read_wnids()):
        raise ValueError(f"{path} is no list of images or classes: expected a name or a wnid per line.")
    # Without a suffix, the number is that of the line.
    are_labels = all(len(line) == 2 and line[0].endswith(".JPEG") and line[1].isdigit() for line in lines)
    return _Images(names, [int(line[1]) for line in lines] if are_labels else [], [])


def _of_built(folder: str, with_sizes: bool) -> dict[str, _Images]:
    """The splits of a folder that ``build`` has written."""
    parts: dict[str, _Images] = collections.defaultdict(lambda: _Images([], [], []))
    for path in sorted(glob.glob(f"{glob.escape(folder)}/*/*.parquet")):
        match = _SHARD.fullmatch(os.path.relpath(path, folder))
        if match is None or "file_name" not in pq.read_schema(path).names:
            continue
        names, labels, sizes = parts[match[1]]
        columns = ["file_name", "label"] + ["image.bytes"] * with_sizes
        for batch in pq.ParquetFile(path).iter_batches(1000, columns=columns):
            names += batch["file_name"].to_pylist()
            labels += batch["label"].to_pylist()
            sizes += pc.binary_length(pc.struct_field(batch["image"], "bytes")).to_pylist() if with_sizes else []
    return parts


def _of_tree(root: str, with_sizes: bool) -> dict[str, _Images]:
    """The images below a folder, by the folder of their class folders, which are numbered as ``ImageFolder`` does."""
    parts: dict[str, _Images] = collections.defaultdict(lambda: _Images([], [], []))
    for folder, _, files in os.walk(root):
        above, wnid = os.path.split(folder)
        place = os.path.relpath(above if wnid in lists.label_of_wnid() else folder, root)
        for file in filter(_IMAGE.fullmatch, files):
            if name := official_name(file):
                names, wnids, sizes = parts["" if place == "." else place]
                names.append(name)
                wnids.append(wnid)
                sizes.append(os.path.getsize(os.path.join(folder, file)) if with_sizes else None)
    for place, (_, wnids, _) in parts.items():
        rank = {wnid: label for label, wnid in enumerate(sorted(set(wnids)))}
        labels = [rank[wnid] for wnid in wnids] if rank.keys() <= lists.label_of_wnid().keys() else []
        parts[place] = parts[place]._replace(labels=labels)
    return dict(sorted(parts.items()))


def _of_layouts(data_dir: str) -> dict[str, _Images]:
    """The training and validation images of a folder in any layout."""
    parts, listing = {}, Listing()
    for kind, request in (("train", ALL), ("validation", Request(images=lists.validation_labels()))):
        if layout := find_layout(kind, data_dir, listing):
            table = layout.list_images(request)
            is_validation = pc.starts_with(table["name"], "ILSVRC2012_val")
            table = table.filter(is_validation if kind == "validation" else pc.invert(is_validation))
            parts[kind] = _Images(table["name"].cast(pa.string()).to_pylist(), [], table["size"].to_pylist())
    return parts


def _identify(images: _Images, data_dir: str | os.PathLike[str] | None) -> dict[str, Any]:
    """What ``identify`` says of a part."""
    labels = [lists.label_of(name) for name in images.names]
    classes, are_images = set(labels) - {-1}, not {*images.names} <= lists.label_of_wnid().keys()
    class_set, members = _class_set(classes)
    order = _order(members, labels, images.labels if are_images else list(range(len(labels))))
    shared, resized = len(classes.intersection(members)), _resized(images, data_dir)
    words, nearest, overlaps, complete = list[str](), None, dict[str, int](), len(labels) == len(members)
    if are_images:
        nearest, overlaps, complete, words = _nearest(images.names, members)
    words.append(f"{shared:,} of {len(members):,} classes: {class_set or 'no published set'}")
    words += [] if order is None else [f"labels {ORDERS.get(order, 'in another order')}"]
    words += [] if resized is None else [f"images with another size in bytes than in {data_dir}: {resized:,}"]
    return {
        "text": "; ".join(words),
        "images": len(labels) * are_images,
        "list": nearest,
        "overlaps": overlaps,
        "classes": len(classes),
        "class_set": class_set,
        "label_order": order,
        "resized": resized,
        "exact": complete and class_set is not None and classes == {*members},
    }


def _class_set(classes: set[int]) -> tuple[str | None, tuple[int, ...]]:
    """The nearest set of classes, in published order; ``None`` and the classes themselves if none is near."""
    sets = {"all": tuple(range(len(lists.read_wnids())))}
    sets |= {name: lists.published_labels(name, "published") or () for name in lists.CLASS_SETS}
    shares = {name: len(classes & {*labels}) / len(classes | {*labels}) for name, labels in sets.items()}
    best = max(sets, key=shares.__getitem__)
    return (best, sets[best]) if shares[best] > NEAR else (None, tuple(sorted(classes)))


def _nearest(names: list[str], members: tuple[int, ...]) -> tuple[str | None, dict[str, int], bool, list[str]]:
    """The nearest list of the images of some classes, how many are in each list, whether all are, and this in words."""
    given = set(names)
    listed = {name: {image for image, _ in lists.of_classes(lists.read_split_list(name), members)} for name in LISTS}
    overlaps = {name: len(given & images) for name, images in listed.items()}
    if len(given) == lists.TRAIN_IMAGES and all(name[WNID] in lists.label_of_wnid() for name in given):
        return "full", overlaps, len(names) == len(given), [f"{len(names):,} images: all for training (full)"]
    best = max(listed, key=lambda name: overlaps[name] / len(given | listed[name]))
    if overlaps[best] <= NEAR * len(given | listed[best]):
        shared = ", ".join(f"{count:,} of {LISTS[name]}" for name, count in overlaps.items() if count)
        words = [f"{len(names):,} images: {shared or 'none of any list'}", "no published list that is known here"]
        return None, overlaps, False, words
    words = [f"{overlaps[best]:,} of {len(listed[best]):,} images: {LISTS[best]}"]
    others = len(names) - overlaps[best]
    words += [f"other or repeated images: {others:,}"] if others else []
    return best, overlaps, given == listed[best] and not others, words


def _order(members: tuple[int, ...], published: list[int], labels: list[Any]) -> str | None:
    """What the labels of images of some classes count; ``None`` without labels."""
    if None in labels or {*labels} <= {-1}:
        return None
    every = tuple(range(len(lists.read_wnids())))
    of_set = {} if members == every else {"sorted": tuple(sorted(members)), "published": members}
    orders = of_set | {"all": every}
    true, given = np.array(published), np.array(labels)
    return next((name for name, order in orders.items() if (lists.relabel(true, order) == given).all()), "other")


def _resized(images: _Images, data_dir: str | os.PathLike[str] | None) -> int | None:
    """How many images have another size in bytes than in ``data_dir``; ``None`` if that is unknown."""
    if data_dir is None or not images.sizes or None in images.sizes:
        return None
    size_of, listing = dict[str, int](), Listing()
    for kind in ("train", "validation"):
        if layout := find_layout(kind, normalize_data_dir(data_dir), listing):
            table = layout.list_images(Request(images=dict.fromkeys(images.names, -1)))
            size_of |= zip(table["name"].cast(pa.string()).to_pylist(), table["size"].to_pylist())
    return sum(size_of.get(name, size) != size for name, size in zip(images.names, images.sizes))
