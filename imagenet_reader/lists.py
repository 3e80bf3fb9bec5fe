"""The published lists, the classes and their published subsets."""

import collections
import difflib
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_reader.facts import TEST_IMAGES, WNID
from imagenet_reader.text import shorten

# The published lists: their length, and the SHA-256 of their sorted lines "<wnid>/<file name>".
LISTS = {
    "1pct": (12_811, "4bf22215662d17171c1127736d5a35e2c4f90a8a0ccff5736704750bda262fa9"),
    "10pct": (128_116, "aa10f36888b064f948c12a01c6945d70ae550f790a055eb16ce9d3ac69a17d12"),
    "lt_train": (115_846, "e60cda136ab1aee768433154b2e3d01f41b4a9ecf5b726afb0108533532c9a3b"),
    "lt_validation": (20_000, "483be09644f9bbdc3967149a4d4e61c906ab840d7d94d76032cf69082ae26005"),
    "validation": (50_000, "7aec631d6f9e7e0e6b79804a178f00b5b42094a29e66ffa62955518dd740cb14"),
    "holdout": (12_000, "011ef5f5cb190fef68d44b1c08b39702e61df35a1d08bc9dc160634ff8a733b4"),
}
TRAIN_LISTS = "10pct", "lt_train", "lt_validation"  # those of training images; 10pct includes 1pct
# The published sets of classes: the SHA-256 of their lines, one wnid per line in published order.
CLASS_SETS = {
    "imagenet100": "79f3f1552ccc478ce24bd934b4573625db584ddc1f4643ae23c994a94cb11397",
    "podnet100": "b332dbd149be58bd06982a583959d80f93d796938a70c0db0146a9e4fc9d661f",
    "gcd100": "a215e2f016446332e8f770cc207a18d0ae2ac0df4d7dcc92ade497d459a03be5",
    "lucir100": "dbf96adcdd5a29fca14c65283bb178686b464d20ddfee751b8a96b7937cbd00c",
    "kaggle100": "86bc5c0b92179267729b4b1efc27c5cf14a321fdc3a689b3cc217a5c492a8a6b",
    "imagenet_a": "9826a24166e74ce62fb87b27889874ca26917542c745712309d6e25855d63bc2",
    "imagenet_r": "a6a0729f7a99230280639cab6e51e01485a3b41a676ea35621a501c9d6e83ca4",
}
TRAIN_IMAGES = 1_281_167  # in ILSVRC 2012; no list names them all
TRAIN_IMAGES_PER_CLASS = 732, 1300  # minimum and maximum, Russakovsky et al. 2015, table 2
REAL_SHA256 = "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b"  # of real.json; TFDS pins the same

# split_files/ is in this package in an installed wheel, and beside it in a clone.
_HERE = pathlib.Path(__file__).resolve().parent
SPLIT_FILES = next(path for path in (_HERE / "split_files", _HERE.parent / "split_files") if path.is_dir())

Images = list[tuple[str, int]]  # (file name, published label) per image; -1 for images without a label
Labels = npt.NDArray[np.int64]


def read_table(source: Any) -> pa.Table:
    """Read a Parquet file as ``pa.Table``."""
    return pq.read_table(source, use_threads=False)  # with threads, Arrow may abort a process that exits soon after


@functools.cache
def read_classes() -> list[tuple[str, str]]:
    """The 1,000 classes, ``list[tuple[str, str]]`` of (wnid, words), in label order, that of the sorted wnids."""
    table = read_table(SPLIT_FILES / "classes.parquet")
    return list(zip(table["wnid"].to_pylist(), table["words"].to_pylist()))


@functools.cache
def read_wnids() -> list[str]:
    """The 1,000 wnids in label order, ``list[str]``."""
    return [wnid for wnid, _ in read_classes()]


@functools.cache
def label_of_wnid() -> dict[str, int]:
    """The label of each of the 1,000 wnids."""
    return {wnid: label for label, wnid in enumerate(read_wnids())}


def label_names(classes: Sequence[tuple[str, str]], kind: str) -> list[str]:
    """The names of the classes."""
    if kind == "wnid":
        return [wnid for wnid, _ in classes]
    count = collections.Counter(words for _, words in classes)
    return [words if count[words] == 1 else f"{words} ({wnid})" for wnid, words in classes]


def read_split_list(name: str) -> Images:
    """The images of a published list."""
    wnids, path = read_wnids(), SPLIT_FILES / f"{name}.parquet"
    table = read_table(path)
    table = table.take(np.lexsort([table["number"], table["label"]]))  # nearly sorted, texts are sorted faster
    labels, numbers = table["label"].to_pylist(), table["number"].to_pylist()
    if name == "validation":
        images = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in numbers]
    else:
        images = [f"{wnids[label]}_{number}.JPEG" for label, number in zip(labels, numbers)]
    lines = sorted(f"{wnids[label]}/{image}\n" for image, label in zip(images, labels))
    _check_digest(path, "".join(lines), LISTS[name][1])
    return sorted(zip(images, labels))


@functools.cache
def validation_labels() -> dict[str, int]:
    """The label of each official validation image, by its file name."""
    return dict(read_split_list("validation"))


def label_of(name: str) -> int:
    """The label that follows from a file name, or from a wnid; -1 of test images."""
    return validation_labels().get(name, label_of_wnid().get(name[WNID], -1))


def test_images() -> Images:
    """The official test images, ``list[tuple[str, int]]``, (file name, -1) per image, since they have no labels."""
    return [(f"ILSVRC2012_test_{k:08d}.JPEG", -1) for k in range(1, TEST_IMAGES + 1)]


@functools.cache
def read_class_set(name: str) -> list[str]:
    """The wnids of a published set of classes, in published order."""
    wnids, path = read_wnids(), SPLIT_FILES / f"{name}.parquet"
    chosen = [wnids[label] for label in read_table(path)["label"].to_pylist()]
    _check_digest(path, "".join(f"{wnid}\n" for wnid in chosen), CLASS_SETS[name])
    return chosen


@functools.cache
def read_real_labels() -> list[list[int]]:
    """The ReaL labels of the 50,000 official validation images, in order of their file names.

    Source: Beyer et al., Are we done with ImageNet?, arXiv 2006.07159. Labels are 0 to 999, in published order; 3,163
    images have none.
    """
    path = SPLIT_FILES / "real.parquet"
    labels: list[list[int]] = read_table(path)["labels"].to_pylist()
    _check_digest(path, json.dumps(labels), REAL_SHA256)
    return labels


def _check_digest(path: pathlib.Path, text: str, expected: str) -> None:
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} is not the published list: the SHA-256 of its content as text is {found}; expected {expected}. "
            "Restore split_files/ from the project."
        )


# ------------------------------------------------------------------------------------ subsets of the classes


def published_labels(
    classes: str | os.PathLike[str] | Sequence[str] | None, class_order: str = "sorted"
) -> tuple[int, ...] | None:
    """The published labels of the classes that ``classes`` names, in the order ``class_order``; ``None`` for all."""
    if classes is None:
        return None
    given = classes = os.fspath(classes) if isinstance(classes, os.PathLike) else classes
    if isinstance(classes, str) and classes not in CLASS_SETS and os.path.isfile(path := os.path.expanduser(classes)):
        lines = pathlib.Path(path).read_text("utf-8-sig", errors="replace").splitlines()
        classes = [line.split()[0] for line in lines if line.strip()]
    known = label_of_wnid()
    wnid_of = {word.lower(): wnid for wnid, words in read_classes() for word in words.split(", ")}
    expected = f"one of {list(CLASS_SETS)}, or a list of wnids such as ['n01440764'], or the path of a file of them"
    if isinstance(classes, str) and classes not in CLASS_SETS:
        one = classes if classes in known else wnid_of.get(classes.lower())
        nearest = difflib.get_close_matches(classes, CLASS_SETS, n=1)
        advice = f"{f'Did you mean {nearest[0]!r}? ' if nearest else ''}Expected {expected}."
        advice = f"For one class, pass classes=[{one!r}]." if one else advice
        raise ValueError(f"classes={classes!r:.200} is not the name of a published set of classes. {advice}")
    if isinstance(classes, str):
        classes = read_class_set(classes)
    if not isinstance(classes, (list, tuple)) or not classes:
        raise ValueError(f"classes={given!r:.200}: expected {expected}.")
    unknown = [wnid for wnid in classes if not isinstance(wnid, str) or wnid not in known]
    if unknown:
        shown = [f"{word} (pass {wnid!r})" if (wnid := wnid_of.get(str(word).lower())) else word for word in unknown]
        raise ValueError(
            f"classes: {len(unknown):,} of {len(classes):,} are not among the 1,000 wnids: {shorten(shown)}. "
            "imagenet_reader.lists.read_classes() has all, with their words."
        )
    if len(set(classes)) < len(classes):
        twice = [wnid for wnid, count in collections.Counter(classes).items() if count > 1]
        raise ValueError(f"classes: expected each wnid once, but these are repeated: {shorten(twice)}.")
    labels = [known[wnid] for wnid in classes]
    return tuple(labels if class_order == "published" else sorted(labels))


def of_classes(images: Images, classes: tuple[int, ...] | None) -> Images:
    """The images of these classes, in the given order; all of them if ``classes`` is ``None``."""
    if classes is None:
        return images
    chosen = frozenset(classes)
    return [image for image in images if image[1] in chosen]


def relabel(labels: Labels, classes: tuple[int, ...] | None) -> Labels:
    """Convert published labels ``[n]`` to their places in ``classes``, ``int64 [n]``; images without labels keep -1."""
    if classes is None:
        return labels.astype(np.int64)
    place = np.full(len(read_wnids()) + 1, -1)  # the last one is that of -1
    place[list(classes)] = range(len(classes))
    return place[labels]


def incompleteness(names: Iterable[str], labels: Labels, classes: tuple[int, ...]) -> str:
    """Say in what way the training images of some classes are incomplete; empty if none is known to be missing.

    No list has the number of images per class, only their minimum and maximum are known, and the published lists.
    """
    fewest, most = TRAIN_IMAGES_PER_CLASS
    count = np.bincount(labels, minlength=len(read_wnids()))
    wrong = [label for label in classes if not fewest <= count[label] <= most]
    if wrong:
        shown = ", ".join(f"{read_wnids()[label]} has {count[label]:,}" for label in wrong[:20])
        return f"has too few or too many images of {len(wrong):,} classes: {shown}; expected {fewest} to {most:,} each"
    listed = {image for name in TRAIN_LISTS for image, _ in of_classes(read_split_list(name), classes)}
    missing = sorted(listed.difference(names))
    return f"lacks {len(missing):,} images of the published lists: {shorten(missing)}" if missing else ""
