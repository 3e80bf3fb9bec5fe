"""The info of one split, whose columns may be fewer than those of the config."""

import datasets

from imagenet_reader.rows import REAL_LABELS, Columns


def info_of(info: datasets.DatasetInfo, columns: Columns) -> datasets.DatasetInfo:
    """A copy of the info of a config with the features of these columns."""
    left_out = () if columns.real_labels else (REAL_LABELS,)
    copied = info.copy()
    copied.features = datasets.Features({name: of for name, of in info.features.items() if name not in left_out})
    return copied
