"""The ``tar.gz`` files that ``ILSVRC/imagenet-1k`` had on the Hub before its Parquet files."""

from pathlib import Path

from imagenet_subsets_tools.standins.forms.names import Images, by_split, hub_name, shuffled_shards
from imagenet_subsets_tools.standins.tars import write_tar_gz

FILES = {
    "train": [f"train_images_{number}.tar.gz" for number in range(5)],
    "validation": ["val_images.tar.gz"],
    "test": ["test_images.tar.gz"],
}


def write_hub_tar_gz(images: Images, target: Path, folder: str = "data") -> None:
    """Write ``data/train_images_0.tar.gz`` to ``_4``, ``val_images.tar.gz`` and ``test_images.tar.gz``, all flat."""
    (target / folder).mkdir(parents=True, exist_ok=True)
    for split, names in by_split(images).items():
        for file, shard in zip(FILES[split], shuffled_shards(names, len(FILES[split]))):
            write_tar_gz(target / folder / file, ((hub_name(name), images[name]) for name in shard))
