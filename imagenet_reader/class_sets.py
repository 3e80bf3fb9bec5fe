"""Subsets of the 1,000 classes: the option ``classes``, and the labels of rows in such a subset."""

import collections
import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from imagenet_reader import lists

SHOWN = 20  # wnids or images named in a message
TRAIN_LISTS = "10pct", "lt_train", "lt_validation"  # the published lists of training images; 10pct includes 1pct


def published_labels(classes: str | Sequence[str] | None) -> tuple[int, ...] | None:
    """The published labels of the classes that the option ``classes`` names, ascending; ``None`` for all classes.

    Args:
        classes: a key of ``lists.CLASS_SETS``, or a list of wnids in any order.

    Raises:
        ValueError: an unknown name or wnid, no wnid, or a repeated one.
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        classes = lists.read_class_set(_known_name(classes))
    if not isinstance(classes, (list, tuple)) or not classes:
        raise ValueError(f"classes={classes!r:.200}: expected {_expected()}.")
    label_of = lists.label_of_wnid()
    unknown = [wnid for wnid in classes if not isinstance(wnid, str) or wnid not in label_of]
    if unknown:
        wnids = _wnid_of_word()
        shown = [f"{word} (pass {wnid!r})" if (wnid := wnids.get(str(word).lower())) else word for word in unknown]
        raise ValueError(
            f"classes: {len(unknown):,} of {len(classes):,} are not among the 1,000 wnids: {_shown(shown)}. "
            "imagenet_reader.lists.read_classes() has all, with their words."
        )
    twice = [wnid for wnid, count in collections.Counter(classes).items() if count > 1]
    if twice:
        raise ValueError(f"classes: expected each wnid once, but these are repeated: {_shown(twice)}.")
    return tuple(sorted(label_of[wnid] for wnid in classes))


def _known_name(name: str) -> str:
    if name in lists.CLASS_SETS:
        return name
    wnid = name if name in lists.label_of_wnid() else _wnid_of_word().get(name.lower())
    if wnid is not None:
        raise ValueError(f"classes={name!r}: expected {_expected()}. For one class, pass classes=[{wnid!r}].")
    nearest = difflib.get_close_matches(name, lists.CLASS_SETS, n=1)
    advice = f"Did you mean {nearest[0]!r}?" if nearest else f"Expected {_expected()}."
    raise ValueError(f"classes={name!r:.200} is not the name of a published set of classes. {advice}")


def _wnid_of_word() -> dict[str, str]:
    """Word for a class, in lower case -> wnid."""
    return {word.lower(): wnid for wnid, words in lists.read_classes() for word in words.split(", ")}


def _expected() -> str:
    return f"one of {list(lists.CLASS_SETS)}, or a list of wnids such as ['n01440764']"


def _shown(wnids: list) -> str:
    more = f" and {len(wnids) - SHOWN:,} more" if len(wnids) > SHOWN else ""
    return ", ".join(f"{wnid!s:.40}" for wnid in wnids[:SHOWN]) + more


def of_classes(images: list[tuple[str, int]], classes: tuple[int, ...] | None) -> list[tuple[str, int]]:
    """The images, (file name, published label), of these classes, in the given order."""
    if classes is None:
        return images
    chosen = frozenset(classes)
    return [image for image in images if image[1] in chosen]


def relabel(labels: np.ndarray, classes: tuple[int, ...] | None) -> np.ndarray:
    """Convert published labels ``[n]`` to their ranks in ``classes``, ``int64 [n]``.

    The ranks count from 0 in the order of the sorted wnids, as ``ImageFolder`` numbers the folders of these classes.
    Images without labels keep -1.
    """
    if classes is None:
        return labels.astype(np.int64)
    return np.where(labels < 0, -1, np.searchsorted(np.array(classes), labels))


def incompleteness(names: Iterable[str], labels: Sequence[int], classes: tuple[int, ...]) -> str:
    """Say in what way the training images of some classes are incomplete; empty if none is known to be missing.

    No list has the number of images per class. Only the minimum and maximum per class and the images in published lists
    are known, so other missing images are not noticed.

    Args:
        names: the file names of all images found of these classes, ``[n]``.
        labels: their published labels, ``[n]``.
        classes: the published labels of the classes.
    """
    fewest, most = lists.TRAIN_IMAGES_PER_CLASS
    count = np.bincount(labels, minlength=len(lists.read_wnids()))
    wrong = [label for label in classes if not fewest <= count[label] <= most]
    if wrong:
        wnids = lists.read_wnids()
        shown = ", ".join(f"{wnids[label]} has {count[label]:,}" for label in wrong[:SHOWN])
        return f"has too few or too many images of {len(wrong):,} classes: {shown}; expected {fewest} to {most:,} each"
    listed = {image for name in TRAIN_LISTS for image, _ in of_classes(lists.read_split_list(name), classes)}
    missing = sorted(listed.difference(names))
    return f"lacks {len(missing):,} images of the published lists: {_shown(missing)}" if missing else ""
