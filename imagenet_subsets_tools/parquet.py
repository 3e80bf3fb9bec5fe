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
import errno
import functools
import hashlib
import inspect
import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.utils import tqdm

import imagenet_subsets
from imagenet_subsets_tools.card import write_card

SHARD_BYTES = 500_000_000  # of images in a shard, about and at the most
ROW_GROUP = 100  # rows: 11 MB of images, what one random access reads at the most
SHARED = "ilsvrc2012_validation"
FOLDERS = (*imagenet_subsets.SUBSETS, SHARED)
SHARD_PATH = re.compile(rf"({'|'.join(FOLDERS)})/(train|validation)-\d{{5}}-of-\d{{5}}\.parquet")

_LAYOUT = "1"  # part of what marks a shard as finished: to be raised when shards are written in another way
_MARK = b"imagenet_subsets"  # the key of that mark in the metadata of a shard
_UNFINISHED = ".unfinished"
_OURS = re.compile(rf"{SHARD_PATH.pattern}(\.\d+{re.escape(_UNFINISHED)})?")


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The images of one published list, and the files that hold them.

    Args:
        name: the list, a key of ``imagenet_subsets.LISTS``.
        folder: folder of the files, relative to the output folder.
        split: what the names of the files begin with.
        builder: the builder that yields the rows.
        archive: the archive that they are read from.
        rows: structured array ``[n]`` in row order, fields ``name``, ``label``, ``offset`` and ``size`` (bytes).
    """

    name: str
    folder: str
    split: str
    builder: imagenet_subsets.ImagenetSubsets
    archive: str
    rows: np.ndarray

    @functools.cached_property
    def shards(self):
        """Path of each file, relative to the output folder, and its rows: ``dict[str, np.ndarray]``."""
        passed = np.cumsum(self.rows["size"])
        count = -int(-passed[-1] // SHARD_BYTES)
        cuts = np.searchsorted(passed, passed[-1] * np.arange(1, count) // count)
        return {
            f"{self.folder}/{self.split}-{k:05d}-of-{count:05d}.parquet": rows
            for k, rows in enumerate(np.split(self.rows, cuts))
        }

    @property
    def pattern(self):
        """The files as a glob. It holds their number, so that files of another build never match."""
        return f"{self.folder}/{self.split}-*-of-{len(self.shards):05d}.parquet"


def build_parquet(output_dir, data_dir, configs=("1pct", "10pct", "lt"), num_proc=None):
    """Write a folder that is a complete dataset repository for the Hub.

    ``datasets.load_dataset(output_dir, config)`` then gives the rows that the loading script gives,
    on any version of ``datasets``. An interrupted build goes on where it was: finished shards are
    kept if they check out: if their metadata tells of the features, images, labels and sizes that are due,
    and their first and last row groups equal what the archive holds now.

    Args:
        output_dir: the folder; it is made if it is not there. It takes as many bytes as the images.
        data_dir: the folder that holds the two archives.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``.
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
    due = {path: (part, rows) for part in parts for path, rows in part.shards.items()}
    # From here to the end of the build the folder is not finished, and no longer what its card says.
    (output_dir / "README.md").unlink(missing_ok=True)
    _remove_leftovers(output_dir, due)
    missing = {path: shard for path, shard in due.items() if not _checks_out(output_dir / path, *shard)}
    _check_space(output_dir, sum(int(rows["size"].sum()) for _, rows in missing.values()))
    _write_shards(output_dir, missing, num_proc or 1)
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
        builder = imagenet_subsets.ImagenetSubsets(config_name=config, data_dir=str(data_dir))
        plan[config] = {}
        for split in builder._split_generators(None):
            name = imagenet_subsets.SUBSETS[config][split.name]
            place = (SHARED, "validation") if name == "validation" else (config, split.name)
            rows = np.concatenate(split.gen_kwargs["shards"])
            plan[config][split.name] = Part(name, *place, builder, split.gen_kwargs["archive"], rows)
    return plan


def _remove_leftovers(output_dir, due):
    """Remove what earlier builds left: shards that are no longer due, and shards that were not finished."""
    for folder in FOLDERS:
        for path in (output_dir / folder).glob("*.parquet*"):
            name = f"{folder}/{path.name}"
            if name not in due and _OURS.fullmatch(name):
                path.unlink()


def _schema(builder, rows):
    """The schema of a shard. Its metadata holds the features and a mark that says which rows are in it."""
    schema = builder.info.features.arrow_schema
    mark = hashlib.sha256(_LAYOUT.encode())
    for field in ("name", "label", "size"):
        mark.update("\n".join(map(str, rows[field].tolist())).encode())
    return schema.with_metadata({**schema.metadata, _MARK: mark.hexdigest()})


def _checks_out(path, part, rows):
    """Whether a shard is finished, and what is due."""
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(_schema(part.builder, rows), check_metadata=True):
                return False
            groups = [slice(start, start + ROW_GROUP) for start in range(0, len(rows), ROW_GROUP)]
            return file.num_row_groups == len(groups) and all(
                file.read_row_group(k).to_pylist() == _examples(part, rows[groups[k]]) for k in {0, len(groups) - 1}
            )
    except (OSError, pa.ArrowException):  # there is none, or it is no whole Parquet file
        return False


def _examples(part, rows):
    return [example for _, example in part.builder._generate_examples(archive=part.archive, shards=[rows])]


def _check_space(output_dir, needed):
    there = next(path for path in (output_dir, *output_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            errno.ENOSPC, f"the shards to write take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free", str(there)
        )


def _write_shards(output_dir, shards, num_proc):
    jobs = [(part.builder, part.archive, rows, output_dir / path) for path, (part, rows) in shards.items()]
    total = sum(int(rows["size"].sum()) for _, rows in shards.values())
    with tqdm(total=total, desc="Writing Parquet", unit="B", unit_scale=True) as bar:
        if num_proc == 1:
            for job in jobs:
                bar.update(_write_shard(*job))
            return
        # Processes, as datasets has them: threads of one process wait for each other's memory to be mapped.
        with concurrent.futures.ProcessPoolExecutor(num_proc) as pool:
            try:
                for future in concurrent.futures.as_completed([pool.submit(_write_shard, *job) for job in jobs]):
                    bar.update(future.result())
            except BaseException:  # Ctrl-C, too
                pool.shutdown(cancel_futures=True)
                raise


def _write_shard(builder, archive, rows, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")  # two builds never write one file
    schema = _schema(builder, rows)
    examples = builder._generate_examples(archive=archive, shards=[rows])
    try:
        with unfinished.open("wb") as file:
            with pq.ParquetWriter(file, schema, **_writer_options()) as writer:
                while group := [example for _, example in itertools.islice(examples, ROW_GROUP)]:
                    writer.write_table(pa.Table.from_pylist(group, schema))
            file.flush()
            os.fsync(file.fileno())  # the name must not come to disk before the content
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return int(rows["size"].sum())


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
