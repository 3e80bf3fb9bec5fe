"""The Hub's Parquet files, in a folder or in the Hub's cache."""

import hashlib

from imagenet_subsets_tools.standins.layouts import write_hub_parquet
from makers.layouts import SHARDS

COMMIT = "4603483700ee984ea9debe3ddbfdeae86f6489eb"


def hub_parquet(images, target, shards=SHARDS, folder="data"):
    """``target/data/train-00000-of-00003.parquet`` and so on."""
    write_hub_parquet(images, target, shards, folder)


def hub_cache(images, target, shards=SHARDS):
    """The same as a snapshot in the Hub's cache, whose files are links to ``blobs/``; returns its folder."""
    repository = target / "datasets--ILSVRC--imagenet-1k"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    write_hub_parquet(images, snapshot, shards)
    blobs.mkdir()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for file in sorted((snapshot / "data").iterdir()):
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(blob)
        file.symlink_to(f"../../../blobs/{blob.name}")
    return snapshot
