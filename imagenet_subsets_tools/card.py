"""The card of a folder for the Hub (``README.md`` with front matter), and the parts that it describes."""

import csv
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pyarrow as pa
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs

import imagenet_subsets
from imagenet_reader.files import write_atomically
from imagenet_reader.lists import CLASS_SETS, SPLIT_FILES, published_labels, read_wnids
from imagenet_reader.plan import SHARDS, SplitRows
from imagenet_reader.reading.pixels import encoder

_ROW_GROUP = 100  # approximate rows per row group: 11 MB of images, the most that one random access reads
_ROW_BYTES = 40  # of a row, beside its image, about
_SIZES = "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"

_SUMMARIES = {
    "1pct": "SimCLR's 1 % of the training images",
    "10pct": "SimCLR's 10 % of the training images",
    "lt": "ImageNet-LT, the long-tailed lists of OLTR",
    "full": "all images",
    "custom": "the lists of the person who built it",
}
_TAGS = {"1pct": "semi-supervised", "10pct": "semi-supervised", "lt": "long-tailed"}
_RESIZED_TEXT = """\

**These are not the benchmark's pixels**: images whose shorter side has more than {resize} pixels were then resized to
it (Pillow {pillow}, libjpeg {libjpeg}; bicubic, JPEG of quality 90, 4:2:0). Say so when you report results.
"""
_REAL_LABELS_TEXT = """\
- `real_labels`: the ReaL labels (Beyer et al. 2020) of an official validation image, a list that may be empty; null for
  other images.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The images of one list, in files of ``folder`` whose names begin with ``split``."""

    folder: str  # relative to the output folder
    split: str
    images: SplitRows
    features: datasets.Features
    shard_bytes: int  # image bytes per file, approximate upper limit

    @functools.cached_property
    def shards(self) -> dict[str, list[np.ndarray]]:
        """The row groups of each file, by its path in the output folder."""
        rows = self.images.rows
        # A split has a multiple of 128 row groups, so that nodes and workers get equal parts.
        count = SHARDS * max(1, round(len(rows) / _ROW_GROUP / SHARDS))
        groups = np.array_split(rows, min(count, len(rows)))
        passed = np.cumsum([self.images.reader.sizes(group).sum() for group in groups])
        count = int(-(-passed[-1] // self.shard_bytes))
        cuts = [0, *np.searchsorted(passed, passed[-1] * np.arange(1, count) // count), len(groups)]
        return {
            f"{self.folder}/{self.split}-{k:05d}-of-{count:05d}.parquet": groups[start:end]
            for k, (start, end) in enumerate(itertools.pairwise(cuts))
        }

    @property
    def pattern(self) -> str:
        """A glob for the files. It contains their number, so that files of another build never match."""
        return f"{self.folder}/{self.split}-*-of-{len(self.shards):05d}.parquet"


Plan = dict[str, dict[str, Part]]  # config -> split -> part


def write_card(folder: Path, plan: Plan, own_lists: dict[str, str]) -> None:
    """Write the card of a folder whose shards are complete; ``own_lists`` are paths of the user's lists, by option."""
    sizes = {part.pattern: len(part.images.rows) for splits in plan.values() for part in splits.values()}
    card = huggingface_hub.DatasetCard(_text(plan, own_lists))
    card.data["size_categories"] = [_SIZES[max(0, len(str(sum(sizes.values()))) - 3)]]
    card.data["tags"] += dict.fromkeys(_TAGS[_kind(config)] for config in plan if _kind(config) in _TAGS)
    files: dict[str, Any] = {
        config: {"data_files": [{"split": split, "path": part.pattern} for split, part in splits.items()]}
        for config, splits in plan.items()
    }
    for config in files:
        if _kind(config) == imagenet_subsets.ImagenetSubsets.DEFAULT_CONFIG_NAME:
            files[config]["default"] = True
    MetadataConfigs(files).to_dataset_card_data(card.data)
    DatasetInfosDict({config: _info(folder, splits) for config, splits in plan.items()}).to_dataset_card_data(card.data)
    with write_atomically(folder / "README.md") as written:
        Path(written).write_text(f"---\n{card.data.to_yaml()}\n---\n{card.text}", encoding="utf-8", newline="\n")


def _info(folder: Path, splits: dict[str, Part]) -> datasets.DatasetInfo:
    infos: list[dict[str, Any]] = [
        {"name": split, "num_bytes": int((images.reader.sizes(images.rows) + _ROW_BYTES).sum())}
        | {"num_examples": len(images.rows)}
        for split, images in ((split, part.images) for split, part in splits.items())
    ]
    return datasets.DatasetInfo(
        features=next(iter(splits.values())).features,
        splits=datasets.SplitDict.from_split_dict(infos),
        download_size=sum((folder / path).stat().st_size for part in splits.values() for path in part.shards),
        dataset_size=sum(info["num_bytes"] for info in infos),
    )


def _text(plan: Plan, own_lists: dict[str, str]) -> str:
    places = [(config, split, part) for config, splits in plan.items() for split, part in splits.items()]
    parts = [part for *_, part in places]
    columns, names = parts[0].images.reader.columns, parts[0].features["label"].names  # the same in all configs
    resize = parts[0].images.reader.resize
    lists = {part.images.split_list.name for part in parts}
    chosen = columns.classes and tuple(sorted(columns.classes))
    files = lists | {"classes"} | {name for name in CLASS_SETS if published_labels(name) == chosen}
    if columns.real_labels:
        files.add("real")
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    return template.format(
        title=", ".join(plan),
        summary="; ".join(f"`{config}`, {_SUMMARIES[_kind(config)]}" for config in plan),
        classes=f"{len(names):,}",
        first=next(iter(plan)),
        configs=_table(
            (f"`{config}`", f"`{split}`", f"{len(part.images.rows):,}", f"`{part.pattern}`")
            for config, split, part in places
        ),
        last_label=len(names) - 1,
        order="the rank among the sorted WordNet ids" if chosen == columns.classes else "the place in the given order",
        class_names="WordNet ids" if set(names) <= set(read_wnids()) else "words",
        resized="" if resize is None else _RESIZED_TEXT.format(resize=resize, **encoder()),
        real_labels=_REAL_LABELS_TEXT if columns.real_labels else "",
        version=imagenet_subsets.__version__,
        datasets=datasets.__version__,
        pyarrow=pa.__version__,
        sources=_table(_source_rows(parts)),
        lists=_table(_list_rows(files, own_lists)),
        license=imagenet_subsets.LICENSE,
        citation=(SPLIT_FILES / "citation.bib").read_text(encoding="utf-8").strip(),
    )


def _kind(config: str) -> str:
    """The config that was built, which its name in the folder begins with."""
    return config.partition("_")[0]


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _source_rows(parts: list[Part]) -> Iterator[tuple[str, ...]]:
    """One row per archive or folder: the images used, with a digest."""
    taken: dict[tuple[str, str], set[tuple[bytes, int]]] = {}
    for part in parts:
        place = os.path.basename(part.images.layout.path), part.images.layout.name
        taken.setdefault(place, set()).update(part.images.rows[["name", "size"]].tolist())
    for (name, layout), images in taken.items():
        lines = b"".join(b"%b %d\n" % image for image in sorted(images))
        total = sum(size for _, size in images)
        yield name, layout, f"{len(images):,}", f"{total:,}", f"`{hashlib.sha256(lines).hexdigest()}`"


def _list_rows(files: set[str], own_lists: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """One row per list: the published texts of ``split_files/``, and the user's own lists, unmodified."""
    with open(SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
        for source in csv.DictReader(file):
            if source["split_file"].removesuffix(".parquet") in files:
                origin = f"{source['paper']} ({source['address']}, {source['license']})"
                yield source["published_name"], f"{int(source['rows']):,}", f"`{source['sha256']}`", origin
    for option in sorted(files & own_lists.keys()):
        path = Path(own_lists[option])
        content = path.read_bytes()
        rows = sum(1 for line in content.splitlines() if line.strip())
        digest = hashlib.sha256(content).hexdigest()
        yield path.name, f"{rows:,}", f"`{digest}`", f"`{option}`, a list supplied by the builder"
