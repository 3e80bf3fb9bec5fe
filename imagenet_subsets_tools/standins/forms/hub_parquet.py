"""The Parquet files of ``ILSVRC/imagenet-1k`` on the Hub, as written by ``datasets``."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_reader.lists import read_classes
from imagenet_subsets_tools.standins.forms.names import Images, by_split, hub_name, label_of, shuffled_shards

SHARDS = {"train": 294, "validation": 14, "test": 28}
ROW_GROUP = 100  # rows
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def write_hub_parquet(images: Images, target: Path, shards: Mapping[str, int] = SHARDS, folder: str = "data") -> None:
    """Write ``data/train-00000-of-00294.parquet`` and so on; ``shards`` has the number of files per split."""
    (target / folder).mkdir(parents=True, exist_ok=True)
    for split, names in by_split(images).items():
        count = shards[split]
        for number, shard in enumerate(shuffled_shards(names, count)):
            _write_shard(target / folder / f"{split}-{number:05d}-of-{count:05d}.parquet", shard, images)


def _write_shard(path: Path, names: list[str], images: Images) -> None:
    schema = _schema()
    with pq.ParquetWriter(path, schema) as writer:  # with the defaults, Snappy and dictionary pages
        for start in range(0, len(names), ROW_GROUP):
            group = names[start : start + ROW_GROUP]
            rows = [{"bytes": images[name], "path": hub_name(name)} for name in group]
            columns = [pa.array(rows, IMAGE), pa.array(map(label_of, group), pa.int64())]
            writer.write_table(pa.table(columns, schema), len(group))


def _schema() -> pa.Schema:
    """The schema with the features of ``datasets``: class names are words, the second crane is ``crane2``."""
    words = [words for _, words in read_classes()]
    names = [f"{name}2" if name in words[:label] else name for label, name in enumerate(words)]
    label = {"names": names, "_type": "ClassLabel"}
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    return pa.schema({"image": IMAGE, "label": pa.int64()}, metadata={"huggingface": json.dumps(info)})
