"""Caches and rows of earlier releases stay usable: the folders of caches and the paths of rows in place are pinned."""

import os

import fsspec
import pytest
from helpers.layout_rows import LAYOUTS
from helpers.rows import paths
from test_versions import JPEG, OWN_LIST, TIME

import imagenet_subsets
from imagenet_subsets_tools.standins.images import jpeg_segment

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.filterwarnings("ignore:.*left out")]

VALIDATION = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 4)]
CUSTOM = {"train_list": OWN_LIST, "validation_list": VALIDATION}
TRAIN = {"splits": ["train"]}
DEFAULTS = {"label_names": "wnid", "splits": None, "image_bytes": "benchmark", "unlabeled": False}
KEYS = [  # layout, config, options, id of the config
    ("archives", "1pct", {}, "1pct-7d1f01cda5056879"),
    ("archives", "1pct", DEFAULTS, "1pct-7d1f01cda5056879"),
    ("archives", "1pct", {"label_names": "words"}, "1pct-f8eb9b90569eda3d"),
    ("archives", "1pct", {"image_bytes": "archive", "splits": ["train"]}, "1pct-a4fa5e2d2b4f70cf"),
    ("archives", "1pct", {"unlabeled": True, "splits": ["unlabeled"]}, "1pct-fa67282976e2cc2f"),
    ("archives", "1pct", {"classes": "imagenet100", "real_labels": True}, "1pct-bd215d11484bfd7d"),
    ("archives", "1pct", {"resize": 256}, "1pct-b7d3e184f57a5161"),
    ("archives", "lt", {"classes": ["n01443537", "n01440764"]}, "lt-380220cd41375122"),
    ("archives", "10pct", {}, "10pct-7d1f01cda5056879"),
    ("archives", "full", {}, "full-7d1f01cda5056879"),
    ("archives", "custom", CUSTOM, "custom-1bf3365fbbc7799d"),
    ("class tars", "1pct", TRAIN, "1pct-9fe1ad613ba5a624"),
    ("webdataset", "1pct", {}, "1pct-a8c8ff580da25f96"),
    ("kaggle zip", "1pct", {}, "1pct-7b316429c244f5b7"),
    ("kaggle tar", "1pct", {}, "1pct-8fc6b8242e402660"),
    ("tfds", "1pct", {}, "1pct-f084eb21827e0c63"),
]
PATHS = {  # layout: where an image is, and in which file
    "archives": ("tar:512:355:355:30720", "/ILSVRC2012_img_train.tar/n01440764_10026.JPEG"),
    "class tars": ("tar:0:355:355:10240", "/train/n01440764.tar/n01440764_10026.JPEG"),
    "extracted": ("file:0:355:355:355", "/train/n01440764/n01440764_10026.JPEG"),
    "hub folders": ("hub_file:0:355:355:355", "/train/n01440764_10026_n01440764.JPEG"),
    "kaggle tar": ("tar:5120:355:355:20480", "/imagenet_object_localization_patched2019.tar/n01440764_10026.JPEG"),
    "kaggle zip": ("zip:631:355:355:4443", "/imagenet-object-localization-challenge.zip/n01440764_10026.JPEG"),
    "tfds": (
        "range:73:355:355:448",
        "/imagenet2012/5.1.0/imagenet2012-train.tfrecord-00002-of-00003/n01440764_10026.JPEG",
    ),
    "webdataset": ("range:1536:355:355:10240", "/imagenet1k-train-0002.tar/n01440764_10026.JPEG"),
}


def image(name):
    """A JPEG with its name in a comment."""
    return JPEG[:2] + jpeg_segment(0xFE, name.encode()) + JPEG[2:]


@pytest.fixture
def folder_of(tmp_path):
    """``folder_of(layout)``: the folder of a few small images, whose files have fixed sizes and times."""

    def folder_of(layout):
        LAYOUTS[layout]({name: image(name) for name in (*OWN_LIST, *VALIDATION)}, tmp_path / "data")
        for path in (tmp_path / "data").rglob("*"):
            os.utime(path, (TIME, TIME))
        return tmp_path / "data"

    return folder_of


@pytest.mark.parametrize(("layout", "config", "options", "config_id"), KEYS)
def test_folder_of_the_cache(layout, config, options, config_id, folder_of, tmp_path):
    """A cached dataset is loaded, and not built again."""
    options = {"on_missing": "skip", "cache_dir": str(tmp_path), **options}
    builder = imagenet_subsets.ImagenetSubsets(config_name=config, data_dir=folder_of(layout), **options)
    assert builder.cache_dir == str(tmp_path / "imagenet_subsets" / config_id / "2.0.1" / "2.0.1")


@pytest.mark.parametrize("layout", PATHS)
def test_path_of_a_row_in_place(layout, folder_of, tmp_path):
    """Datasets in place that were saved can still be read."""
    folder = folder_of(layout)
    where, file = PATHS[layout]
    path = f"imagenet://{where}:{TIME}000000000:archive{folder}{file}"
    assert fsspec.open(path).open().read() == image(OWN_LIST[0])
    options = {"image_bytes": "archive", "in_place": True, "cache_dir": str(tmp_path / "cache"), **TRAIN}
    rows = imagenet_subsets.load_dataset("custom", data_dir=folder, train_list=OWN_LIST, **options)["train"]
    assert path in paths(rows)
