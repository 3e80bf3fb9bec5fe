"""Images per class, shot groups and accuracy by group, from the split lists alone."""

import collections
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from imagenet_reader import lists
from imagenet_reader.lists import SPLIT_FILES
from imagenet_subsets_tools.longtail import images_per_class, shot_accuracy, shot_groups

pytestmark = pytest.mark.once

SPLITS = {  # list, fewest and most images of a class
    ("1pct", "train"): ("1pct", 12, 13),
    ("10pct", "train"): ("10pct", 128, 129),
    ("lt", "train"): ("lt_train", 5, 1_280),
    ("lt", "validation"): ("lt_validation", 20, 20),
    ("lt", "test"): ("validation", 50, 50),
}
MANY, MEDIUM, FEW = 1, 0, 15  # a class of each group of lt


@pytest.mark.parametrize("place", SPLITS, ids=" ".join)
def test_counts_are_those_of_the_lists(place):
    of, fewest, most = SPLITS[place]
    count = images_per_class(*place)
    assert (count.shape, count.dtype, count.min(), count.max()) == ((1000,), np.int64, fewest, most)
    listed = collections.Counter(pq.read_table(SPLIT_FILES / f"{of}.parquet")["label"].to_pylist())
    assert dict(enumerate(count.tolist())) == listed
    count[:] = 0  # it is a copy
    assert images_per_class(*place).sum() == listed.total()


def test_counts_without_a_list():
    for place in (("full", "train"), ("lt", "val")):
        with pytest.raises(ValueError, match=r"Known: 1pct train, 1pct validation, 10pct train.* lt test"):
            images_per_class(*place)


def test_groups_of_lt():
    groups, count = shot_groups(), images_per_class("lt")
    assert {name: len(labels) for name, labels in groups.items()} == {"many": 385, "medium": 479, "few": 136}
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(range(1000))
    assert min(count[groups["many"]]) == 101
    assert (min(count[groups["medium"]]), max(count[groups["medium"]])) == (20, 100)
    assert max(count[groups["few"]]) == 19
    assert len(shot_groups("1pct")["few"]) == len(shot_groups("10pct")["many"]) == 1000


def test_accuracy_of_a_small_example():
    labels = [MANY, MANY, MANY, MANY, MEDIUM, MEDIUM, FEW, FEW]
    predicted = [MANY, MANY, MANY, FEW, MEDIUM, 7, MANY, MANY]
    expected = {"overall": 0.5, "many": 0.75, "medium": 0.5, "few": 0.0}
    assert shot_accuracy(predicted, labels) == expected
    assert shot_accuracy(np.array(predicted, np.int16), np.array(labels, np.uint16)) == expected
    assert all(type(value) is float for value in shot_accuracy(predicted, labels).values())


def test_a_group_without_images_is_nan():
    accuracy = shot_accuracy([MANY, MEDIUM], [MANY, MANY])
    assert (accuracy["overall"], accuracy["many"]) == (0.5, 0.5)
    assert math.isnan(accuracy["medium"]) and math.isnan(accuracy["few"])
    assert all(map(math.isnan, shot_accuracy([], []).values()))
    accuracy = shot_accuracy([MANY, FEW], [MANY, MANY], config="1pct")
    assert accuracy["few"] == 0.5 and math.isnan(accuracy["many"])


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        ([1, 2], [1], "2 predicted labels and 1 true"),
        ([1, 2], [1, -1], "labels are from -1 to 1"),
        ([1, 1000], [1, 2], "predicted are from 1 to 1000"),
        ([[0.1] * 1000], [1], r"float64 of shape \(1, 1000\)"),
        (1, 1, "shape"),
    ],
)
def test_invalid_labels(predicted, labels, message):
    with pytest.raises(ValueError, match=message):
        shot_accuracy(predicted, labels)


def test_some_classes_count_from_0():
    labels = [lists.label_of_wnid()[wnid] for wnid in sorted(lists.read_class_set("imagenet100"))]
    counts = images_per_class("lt", classes="imagenet100")
    assert counts.tolist() == images_per_class("lt")[labels].tolist() and counts.sum() == 10_806
    groups = shot_groups("lt", classes="imagenet100")
    assert sorted(label for group in groups.values() for label in group) == list(range(100))
    few = labels[groups["few"][0]]
    assert shot_accuracy([groups["few"][0]], [groups["few"][0]], classes="imagenet100")["few"] == 1
    assert few in shot_groups("lt")["few"]
    with pytest.raises(ValueError, match="expected 0 to 99"):
        shot_accuracy([100], [99], classes="imagenet100")
