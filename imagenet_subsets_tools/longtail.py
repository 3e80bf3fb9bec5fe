"""Long-tailed evaluation from the split lists alone: images per class, shot groups, accuracy per group.

The groups are those of ImageNet-LT's authors (Liu et al., Large-Scale Long-Tailed Recognition in an Open World,
CVPR 2019): "many" are the classes with more than 100 training images, "medium" 20 to 100, "few" fewer than 20.
"""

import functools
from typing import Any

import numpy as np

from imagenet_reader.lists import LISTS, published_labels, read_split_list, read_wnids
from imagenet_subsets import SUBSETS

MANY_MORE_THAN, FEW_FEWER_THAN = 100, 20  # training images per class
_LISTED = {(config, split): of for config, lists in SUBSETS.items() for split, of in lists.items() if of in LISTS}


def images_per_class(config: str, split: str = "train", classes: Any = None) -> np.ndarray:
    """The number of images of each class in a split.

    Args:
        config, split: a split that has a published list, such as ``"lt"``, ``"train"``.
        classes: the option that the dataset was loaded with, as for ``imagenet_subsets.load_dataset``.

    Returns:
        ``np.ndarray``, int64 ``[1000]``, or as long as ``classes``: numbers of images, in label order.

    Raises:
        ValueError: the split has no list, or ``classes`` is invalid.

    Example:

        >>> images_per_class("lt")[:5]
        array([ 50, 250, 516, 352, 143])
    """
    if (config, split) not in _LISTED:
        known = ", ".join(" ".join(place) for place in _LISTED)
        raise ValueError(f"No list says how many images per class {config!r} {split!r} has. Known: {known}.")
    chosen, count = published_labels(classes), _count(_LISTED[config, split])
    return count.copy() if chosen is None else count[list(chosen)]


@functools.cache  # evaluation loops call this after every epoch
def _count(name: str) -> np.ndarray:
    return np.bincount([label for _, label in read_split_list(name)], minlength=len(read_wnids()))


def shot_groups(config: str = "lt", classes: Any = None) -> dict[str, np.ndarray]:
    """The classes with many, a medium number of, and few training images.

    Args:
        config, classes: as for ``images_per_class``.

    Returns:
        ``dict[str, np.ndarray]``: the labels (int64, ascending) of ``"many"``, ``"medium"`` and ``"few"``.

    Raises:
        ValueError: as ``images_per_class``.

    Example:

        >>> {name: len(labels) for name, labels in shot_groups("lt").items()}
        {'many': 385, 'medium': 479, 'few': 136}
    """
    count = images_per_class(config, classes=classes)
    many, few = count > MANY_MORE_THAN, count < FEW_FEWER_THAN
    return {name: np.flatnonzero(group) for name, group in (("many", many), ("medium", ~many & ~few), ("few", few))}


def shot_accuracy(predicted: Any, labels: Any, config: str = "lt", classes: Any = None) -> dict[str, float]:
    """Accuracy over all images, and over those whose true class has many, a medium number of, or few training images.

    The mean is over images; in the test splits, which have 50 images per class, it is also the mean over classes.

    Args:
        predicted, labels: integers from 0 to 999, ``[n]``: lists, arrays, or tensors on the CPU.
        config: the config whose training images count.
        classes: as for ``images_per_class``; labels are then from 0 to their number - 1.

    Returns:
        ``dict[str, float]``: the fraction of correct predictions, 0 to 1, for ``"overall"``, ``"many"``, ``"medium"``
        and ``"few"``; ``nan`` for a group without images.

    Raises:
        ValueError: the two differ in length, or are not such integers; or as ``images_per_class``.

    Example:

        >>> shot_accuracy([1, 1, 1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0, 15, 15])
        {'overall': 0.5, 'many': 0.75, 'medium': 0.5, 'few': 0.0}
    """
    groups = shot_groups(config, classes)
    count = sum(map(len, groups.values()))
    predicted, labels = _as_labels("predicted", predicted, count), _as_labels("labels", labels, count)
    if len(predicted) != len(labels):
        raise ValueError(f"got {len(predicted):,} predicted labels and {len(labels):,} true ones")
    correct = predicted == labels
    parts = {"overall": correct} | {name: correct[np.isin(labels, group)] for name, group in groups.items()}
    return {name: float(part.mean()) if len(part) else float("nan") for name, part in parts.items()}


def _as_labels(name: str, values: Any, classes: int) -> np.ndarray:
    labels = np.asarray(values)
    if labels.ndim != 1 or (len(labels) and labels.dtype.kind not in "iu"):
        raise ValueError(f"{name}: {labels.dtype} of shape {labels.shape}; expected an integer per image")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{name} are from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    return labels
