"""Build a folder that is a complete dataset repository for the Hub: Parquet shards and a card.

The layout, a folder a config and one for the official validation images, which all configs share::

    README.md                                             the card, written last: a folder without is not finished
    1pct/train-00000-of-00003.parquet
    lt/train-00000-of-00026.parquet
    lt/validation-00000-of-00005.parquet
    ilsvrc2012_validation/validation-00000-of-00014.parquet

Which row is in which shard follows from the lists and the sizes of the images alone, so the same
archives give the same bytes, however many shards are written at a time.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import inspect
import itertools
import os
import re
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import imagenet_subsets
from imagenet_reader.batches import read_batches
from imagenet_reader.files import check_space, naming, progress_bar, unused_cache
from imagenet_reader.plan import SHARDS, SplitRows
from imagenet_reader.processes import worker_pool
from imagenet_subsets_tools.card import write_card

SHARD_BYTES = 500_000_000  # of images in a shard, about and at the most
ROW_GROUP = 100  # rows of a row group, about: 11 MB of images, what one random access reads at the most
# The row groups of a split are a multiple of this, so that nodes and workers that share them get equal parts.
ROW_GROUPS = SHARDS
SHARED = "ilsvrc2012_validation"
FOLDERS = (*imagenet_subsets.SUBSETS, SHARED)
SHARD_PATH = re.compile(rf"({'|'.join(FOLDERS)})/(train|validation)-\d{{5}}-of-\d{{5}}\.parquet")

_LAYOUT = "1"  # part of what marks a shard as finished: to be raised when shards are written in another way
_MARK, _IMAGE_BYTES = b"imagenet_subsets.mark", b"imagenet_subsets.image_bytes"  # in the metadata of a shard
_UNFINISHED = ".unfinished"
_OURS = re.compile(rf"{SHARD_PATH.pattern}(\.\d+{re.escape(_UNFINISHED)})?")


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The images of one published list, and the files that hold them.

    Args:
        folder: folder of the files, relative to the output folder.
        split: what the names of the files begin with.
        images: the rows, and where their images are.
        features: ``datasets.Features`` of the rows.
    """

    folder: str
    split: str
    images: SplitRows
    features: datasets.Features

    @functools.cached_property
    def shards(self):
        """Path of each file, relative to the output folder, and its row groups: ``dict[str, list[np.ndarray]]``."""
        rows = self.images.rows
        groups = np.array_split(rows, ROW_GROUPS * max(1, round(len(rows) / ROW_GROUP / ROW_GROUPS)))
        passed = np.cumsum([group["size"].sum() for group in groups])
        count = int(-(-passed[-1] // SHARD_BYTES))
        cuts = [0, *np.searchsorted(passed, passed[-1] * np.arange(1, count) // count), len(groups)]
        return {
            f"{self.folder}/{self.split}-{k:05d}-of-{count:05d}.parquet": groups[start:end]
            for k, (start, end) in enumerate(itertools.pairwise(cuts))
        }

    @property
    def pattern(self):
        """The files as a glob. It holds their number, so that files of another build never match."""
        return f"{self.folder}/{self.split}-*-of-{len(self.shards):05d}.parquet"

    def image_bytes(self, output_dir):
        """The bytes of all images in the written files; a few images differ from those of the archive."""
        return sum(int(pq.read_metadata(output_dir / path).metadata[_IMAGE_BYTES]) for path in self.shards)


def build_parquet(output_dir, data_dir, configs=("1pct", "10pct", "lt"), num_proc=None):
    """Write a folder that is a complete dataset repository for the Hub.

    ``datasets.load_dataset(output_dir, config)`` then gives the rows that the loading script gives, on any version of
    ``datasets``. A build that was interrupted goes on where it was. A shard that is there is kept if it is a whole
    Parquet file, its metadata has the mark of the features, names, labels and sizes that are due, and its first and
    last row groups equal what the archive gives now.

    Args:
        output_dir: the folder; it is made if it is not there. It takes as many bytes as the images.
        data_dir: the folder that holds the images, as for ``imagenet_subsets.load_dataset``.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``, ``"full"``.
        num_proc: how many processes write shards, 1 by default. As with any use of several processes, a
            script then calls this under ``if __name__ == "__main__":``.

    Returns:
        ``Path``: ``output_dir``.

    Raises:
        FileNotFoundError: an archive is not there.
        FileExistsError: the folder holds a config that is not in ``configs``.
        imagenet_subsets.ArchiveError: an archive is not what it should be, or lacks images.
        OSError: the disk has too little space.
        ValueError: a config or ``num_proc`` is none of the above.

    Example:

        >>> build_parquet("hub", data_dir="/data/imagenet", configs=["1pct"], num_proc=4)
        PosixPath('hub')
    """
    output_dir = Path(output_dir)
    configs = [configs] if isinstance(configs, str) else list(dict.fromkeys(configs))
    _check_arguments(output_dir, configs, num_proc)
    plan = _plan(configs, data_dir)
    parts = {part.pattern: part for splits in plan.values() for part in splits.values()}.values()
    due = {path: (part, groups) for part in parts for path, groups in part.shards.items()}
    # From here to the end of the build the folder is not finished, and no longer what its card says.
    (output_dir / "README.md").unlink(missing_ok=True)
    _remove_leftovers(output_dir, due)
    missing = {path: shard for path, shard in due.items() if not _checks_out(output_dir / path, *shard)}
    check_space(output_dir, sum(_size(groups) for _, groups in missing.values()), "the shards to write")
    try:
        _write_shards(output_dir, missing, num_proc or 1)
    finally:
        _remove_leftovers(output_dir, due)
    write_card(output_dir, plan)
    return output_dir


def _check_arguments(output_dir, configs, num_proc):
    known = list(imagenet_subsets.SUBSETS)
    unknown = [config for config in configs if config not in known]
    if unknown or not configs:
        raise ValueError(f"configs={configs!r}: expected one or more of {known}.")
    if num_proc is not None and num_proc < 1:
        raise ValueError(f"num_proc={num_proc!r}: expected 1 or more.")
    others = [config for config in known if config not in configs and any((output_dir / config).glob("*.parquet"))]
    if others:
        raise FileExistsError(
            f"{output_dir} holds {', '.join(others)} of an earlier build, which this build of {', '.join(configs)} "
            "would leave out of the card. Name all configs that the folder is to have (finished shards are kept), or "
            f"remove {output_dir / others[0]}."
        )


def _plan(configs, data_dir):
    """The parts of each config's splits, ``dict[str, dict[str, Part]]``."""
    plan = {}
    for config in configs:
        with unused_cache() as unused:
            options = {"data_dir": str(data_dir), "cache_dir": unused}
            builder = imagenet_subsets.ImagenetSubsets(config_name=config, **options)
        plan[config] = {}
        for split, images in builder.plan().splits.items():
            place = (SHARED, "validation") if images.list == "validation" else (config, split)
            plan[config][split] = Part(*place, images, builder.info.features)
    return plan


def _remove_leftovers(output_dir, due):
    """Remove what earlier builds left: shards that are no longer due, and shards that were not finished."""
    for folder in FOLDERS:
        for path in (output_dir / folder).glob("*.parquet*"):
            name = f"{folder}/{path.name}"
            if name not in due and _OURS.fullmatch(name):
                path.unlink()


def _mark(schema, groups):
    """What distinguishes a finished shard from any other: a digest of the features and of the rows, by row group."""
    mark = hashlib.sha256(f"{_LAYOUT} {imagenet_subsets.VERSION} ".encode())
    mark.update(schema.metadata[b"huggingface"])
    for group in groups:
        mark.update(repr(group[["name", "label", "size"]].tolist()).encode())
    return mark.hexdigest().encode()


def _checks_out(path, part, groups):
    """Whether a shard is finished, and what is due."""
    schema, reader = part.features.arrow_schema, part.images.reader
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata.metadata.get(_MARK) == _mark(schema, groups) and all(
                file.read_row_group(k).equals(next(_tables(reader, [groups[k]], schema))) for k in {0, len(groups) - 1}
            )
    except (OSError, pa.ArrowException):  # there is none, or it is no whole Parquet file
        return False


def _tables(reader, groups, schema):
    """The rows of each row group as ``pa.Table``."""
    batches = read_batches(reader, np.concatenate(groups))
    examples = itertools.chain.from_iterable(batch.examples() for batch in batches)
    for rows in groups:
        group = [
            {"image": {"path": name, "bytes": image}, "label": label, "file_name": name}
            for name, label, image in itertools.islice(examples, len(rows))
        ]
        yield pa.Table.from_pylist(group, schema)


def _size(groups):
    return sum(int(rows["size"].sum()) for rows in groups)


def _write_shards(output_dir, shards, num_proc):
    jobs = [
        (part.images.reader, part.features.arrow_schema, groups, output_dir / path)
        for path, (part, groups) in shards.items()
    ]
    total = sum(_size(groups) for _, groups in shards.values())
    num_proc = min(num_proc, len(jobs))
    with progress_bar("Writing Parquet", total) as bar:
        if num_proc <= 1:
            for job in jobs:
                bar.update(_write_shard(*job))
            return
        # Processes, as in datasets: threads of one process wait for each other when they are given memory.
        with worker_pool(num_proc) as pool:
            for future in concurrent.futures.as_completed([pool.submit(_write_shard, *job) for job in jobs]):
                bar.update(future.result())


def _write_shard(reader, schema, groups, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")  # two builds never write one file
    image_bytes = 0
    with naming(str(path), "writing"), unfinished.open("wb") as file:
        with pq.ParquetWriter(file, schema, **_writer_options()) as writer:
            for table in _tables(reader, groups, schema):
                writer.write_table(table)
                image_bytes += pc.sum(pc.binary_length(pc.struct_field(table["image"], "bytes"))).as_py()
            writer.add_key_value_metadata({_MARK: _mark(schema, groups), _IMAGE_BYTES: str(image_bytes)})
        file.flush()
        os.fsync(file.fileno())  # the name must not come to disk before the content
    unfinished.replace(path)
    return _size(groups)


def _writer_options():
    columns = dict.fromkeys(("image.path", "label", "file_name"), "zstd")
    options = {
        "compression": {**columns, "image.bytes": "none"},  # a JPEG does not shrink
        "use_dictionary": ["label"],
        "write_statistics": list(columns),
        "write_page_index": True,
    }
    if "use_content_defined_chunking" in inspect.signature(pq.ParquetWriter).parameters:  # pyarrow 21
        options["use_content_defined_chunking"] = True
    return options
