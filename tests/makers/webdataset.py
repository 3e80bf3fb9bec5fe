"""Tars in WebDataset form."""

from imagenet_subsets_tools.standins.layouts import write_webdataset

SHARDS = {"train": 3, "validation": 2, "test": 1}


def webdataset(images, target, shards=SHARDS, by_name=True, folders=False):
    """``target/imagenet1k-train-0000.tar`` and so on, or in ``train/`` and ``validation/``; stems: names or numbers."""
    write_webdataset(images, target, shards, by_name, folders)
