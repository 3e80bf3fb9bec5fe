"""The files that TensorFlow Datasets prepares."""

from imagenet_subsets_tools.standins.layouts import NAME, VERSION, write_tfds

SHARDS = {"train": 3, "validation": 2, "test": 1}


def tfds(images, target, shards=SHARDS, folder=f"{NAME}/{VERSION}"):
    """``target/imagenet2012/5.1.0/imagenet2012-train.tfrecord-00000-of-00003`` and so on."""
    write_tfds(images, target, shards, folder)
