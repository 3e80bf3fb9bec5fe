"""The Hub's tar.gz files, and the folders unpacked from them."""

from imagenet_subsets_tools.standins.layouts import write_hub_folders, write_hub_tar_gz


def hub_tar_gz(images, target, folder="data"):
    """``target/data/train_images_0.tar.gz`` to ``_4``, ``val_images.tar.gz``, ``test_images.tar.gz``."""
    write_hub_tar_gz(images, target, folder)


def hub_folders(images, target, by_class=False):
    """Flat ``target/train``, ``val``, ``test``, or class folders, of names that end in ``_<wnid>.JPEG``."""
    write_hub_folders(images, target, by_class)
