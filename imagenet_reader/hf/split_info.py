"""The columns of a single split, which may have fewer than its config."""

import re
from typing import Any

import datasets

from imagenet_reader.plan import Plan
from imagenet_reader.rows import REAL_LABELS, Columns


def info_of(info: datasets.DatasetInfo, columns: Columns) -> datasets.DatasetInfo:
    """A copy of the info of a config with the features of these columns."""
    left_out = () if columns.real_labels else (REAL_LABELS,)
    copied = info.copy()
    copied.features = datasets.Features({name: of for name, of in info.features.items() if name not in left_out})
    return copied


def without_empty_columns(loaded: Any, plan: Plan) -> Any:
    """Remove ``real_labels`` from splits without them; ``datasets`` builds all splits with the same columns.

    Args:
        loaded: a return value of ``as_dataset`` or ``as_streaming_dataset``: a dataset, or a dict or list of them.
        plan: their plan.
    """
    if not plan.columns.real_labels:
        return loaded
    if isinstance(loaded, dict):
        return type(loaded)({split: without_empty_columns(dataset, plan) for split, dataset in loaded.items()})
    if isinstance(loaded, list):
        return [without_empty_columns(dataset, plan) for dataset in loaded]
    names = re.split(r"\W+", str(loaded.split))  # as in train[:10%]+validation; "all" is not resolved when streaming
    loaded_splits = [split for split in plan.subset if split in names or "all" in names]
    if any(plan.image_set(split) == "validation" for split in loaded_splits):
        return loaded
    return loaded.select_columns([column for column in loaded.features if column != REAL_LABELS])
