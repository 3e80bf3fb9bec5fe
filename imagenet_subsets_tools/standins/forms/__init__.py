"""Write any images in the layouts in which people have ImageNet: one file per layout.

Each writer takes ``images``, a mapping of official file name -> bytes for training, validation and test images, and the
folder to write, a ``data_dir``. Absent images are left out.
"""

import importlib
from pathlib import Path

from imagenet_subsets_tools.standins.forms.names import Images

# Name on the command line -> writer; the two official archives have their own.
FORMS = {
    "class-tars": "class_tars:write_class_tars",
    "folders": "folders:write_folders",
    "kaggle-folders": "kaggle:write_kaggle_folders",
    "kaggle-zip": "kaggle:write_kaggle_zip",
    "kaggle-tar-gz": "kaggle:write_kaggle_tar_gz",
    "hub-parquet": "hub_parquet:write_hub_parquet",
    "hub-tar-gz": "hub_tar_gz:write_hub_tar_gz",
    "hub-folders": "folders:write_hub_folders",
    "webdataset": "webdataset:write_webdataset",
    "tfds": "tfds:write_tfds",
}


def write_form(name: str, images: Images, target: Path) -> None:
    """Write images in a layout, a key of ``FORMS``, into the folder ``target``."""
    module, _, function = FORMS[name].partition(":")
    getattr(importlib.import_module(f"{__name__}.{module}"), function)(images, target)
