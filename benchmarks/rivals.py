"""Another way to get the same images: TFDS."""

import os
from pathlib import Path

from benchmarks.common import images_of, measured, wanted_mb


def tfds(folder):
    """Build 1pct with TFDS; its list is written here instead of downloaded."""
    import tensorflow_datasets

    home = Path(os.environ["HF_HOME"])
    names = home / "1percent.txt"
    names.write_text("".join(f"{name}\n" for name, _ in images_of("1pct")["train"]))
    tensorflow_datasets.download.DownloadManager.download = lambda self, url: str(names)
    settings = tensorflow_datasets.download.DownloadConfig(manual_dir=folder)
    with measured() as result:
        builder = tensorflow_datasets.builder("imagenet2012_subset/1pct", data_dir=home / "tfds")
        builder.download_and_prepare(download_config=settings)
    return result | {"wanted_mb": wanted_mb(folder, "1pct")}
