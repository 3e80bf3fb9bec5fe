"""Build a folder that is a complete dataset repository for the Hub: Parquet shards and a card.

There is one folder per config, such as ``1pct/train-00000-of-00003.parquet``, and one each for the official validation
and test images, shared by all configs. ``README.md``, the card, is written last: a folder without it is unfinished.
The same archives give the same bytes, whichever threads and hosts write them.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import imagenet_subsets
from imagenet_reader.facts import ArchiveError
from imagenet_reader.files import check_space, write_atomically
from imagenet_reader.hf.options import check_positive
from imagenet_reader.io.paths import normalize_data_dir
from imagenet_reader.layouts.find import holds_images
from imagenet_reader.log import progress_bar
from imagenet_reader.reading.batches import read_batches
from imagenet_reader.rows import Rows
from imagenet_subsets_tools.card import Part, Plan, write_card

SHARD_BYTES = 500_000_000  # of images per shard, approximate upper limit
VISIBLE_WITHIN = 60  # seconds that a network file system may take to show what another host has written
# List -> folder; the split has the name of the list.
SHARED = {"validation": "ilsvrc2012_validation", "test": "ilsvrc2012_test", "holdout": "paws_holdout"}
CONFIGS = (*imagenet_subsets.SUBSETS, "custom")
FOLDERS = (*CONFIGS, *SHARED.values())
SPLITS = "train", "validation", "unlabeled", "holdout", "test"
Options = dict[str, Any]  # of ``ImagenetSubsetsConfig``

_SHARD_PATH = re.compile(rf"(?P<config>{'|'.join(FOLDERS)})(_\d+)?/({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")
_TEMPORARY = re.compile(rf"({_SHARD_PATH.pattern}|README\.md)\..*(tmp|unfinished)")  # up to 2.0, .unfinished
_LOCK = Path(".cache", "huggingface", "imagenet_subsets.lock")  # neither uploaded by huggingface_hub nor loaded
_MARK = b"imagenet_subsets.mark"  # in the metadata of a shard
_PLANNING = threading.Lock()
_COMPRESSED = dict.fromkeys(("image.path", "label", "file_name"), "zstd")
_WRITING: dict[str, Any] = {
    "compression": {**_COMPRESSED, "image.bytes": "none"},  # JPEGs do not shrink
    "use_dictionary": ["label"],
    "write_statistics": list(_COMPRESSED),
    "write_page_index": True,
}
if "use_content_defined_chunking" in inspect.signature(pq.ParquetWriter).parameters:  # pyarrow 21
    _WRITING["use_content_defined_chunking"] = True


def suffix_of(resize: int | None) -> str:
    """What the names of configs and folders of resized images end in."""
    return "" if resize is None else f"_{resize}"


class BuildError(OSError):
    """A folder could not be built. The message says which shard failed, on which host, why, and what to do."""


def build_parquet(
    output_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    configs: str | Iterable[str] = ("1pct", "10pct", "lt"),
    num_proc: int | None = None,
    executor: Executor | None = None,
    label_names: str = "wnid",
    splits: Sequence[str] | None = None,
    unlabeled: bool = False,
    train_list: str | os.PathLike[str] | None = None,
    validation_list: str | os.PathLike[str] | None = None,
    classes: str | Sequence[str] | None = None,
    real_labels: bool = False,
    class_order: str = "sorted",
    holdout: bool = False,
    resize: int | None = None,
) -> Path:
    """Write a folder that is a complete dataset repository for the Hub.

    ``datasets.load_dataset(output_dir, config)`` then loads the same rows as ``imagenet_subsets.load_dataset``. One
    build of a folder runs at a time, and an interrupted build resumes: a shard is reused if it is complete and made for
    the same features, names, labels and sizes, and its first and last row groups equal those of the archive.

    Args:
        output_dir: the folder; created if it does not exist. It becomes as large as the images.
        data_dir: the folder with the images, as for ``imagenet_subsets.load_dataset``.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``, ``"full"``, ``"custom"``.
        num_proc: number of threads that write shards, 1 by default.
        executor: a ``concurrent.futures.Executor`` that writes the shards, instead of ``num_proc``. Its workers may run
            on other hosts, which need this package and both folders at the same paths. It is not shut down.
        label_names, splits, unlabeled, classes, class_order, holdout: as for ``load_dataset``; each config gets the
            splits that it has.
        train_list, validation_list: paths of lists, for ``custom``.
        real_labels: as for ``load_dataset``, but training splits have this column, too, without values.
        resize: as for ``load_dataset``; the configs and folders of ``resize=256`` are called ``1pct_256``, and so on.

    Returns:
        ``Path``: ``output_dir``.

    Raises:
        FileExistsError: the folder holds a config that is not in ``configs``, or the source images.
        BuildError: another build of the folder is running, or a shard could not be written; the next build continues.
        OSError, ArchiveError, ValueError: as ``imagenet_subsets.load_dataset``; the disk has too little space.

    Example:

        >>> build_parquet("hub", data_dir="/data/imagenet", configs=["1pct"], num_proc=4)
        PosixPath('hub')
    """
    given = locals()
    output_dir = Path(output_dir).expanduser()
    configs = [configs] if isinstance(configs, str) else list(dict.fromkeys(configs))
    check_positive("num_proc", num_proc)
    if num_proc is not None and executor is not None:
        raise ValueError("num_proc and executor: pass only one of them; an executor has its own workers.")
    given_lists = {name: given[name] for name in imagenet_subsets.CUSTOM.values() if given[name] is not None}
    own_lists = {name: os.path.abspath(os.path.expanduser(path)) for name, path in given_lists.items()}
    columns = {name: given[name] for name in ("label_names", "classes", "real_labels", "class_order", "resize")}
    added = [split for split in imagenet_subsets.ADDED if given[split]]
    options = _options_of(configs, columns, splits, added, own_lists)
    recipe = Recipe(normalize_data_dir(data_dir), options, SHARD_BYTES, build=secrets.token_hex(8))
    _refuse_folder(output_dir, recipe.data_dir, [config + suffix_of(resize) for config in configs])
    shards = recipe.shards()
    with _only_build_of(output_dir):
        _remove_old_files(output_dir, shards)
        _write_missing(output_dir, recipe, shards, num_proc or 1, executor)
        _remove_old_files(output_dir, shards)  # those of workers that were killed
        write_card(output_dir, recipe.plan(), own_lists)
    return output_dir


def _options_of(
    configs: list[str], columns: Options, splits: Sequence[str] | None, added: list[str], own_lists: dict[str, str]
) -> dict[str, Options]:
    """The options of each config: those that it has, and those that no config has, which it refuses."""
    if not configs or not set(configs) <= set(CONFIGS):
        raise ValueError(f"configs={configs!r:.200}: expected one or more of {list(CONFIGS)}.")
    options, known = {}, set[str]()
    for config in configs:
        options[config] = columns | (own_lists if config == "custom" or "custom" not in configs else {})
        possible = {*imagenet_subsets.SUBSETS.get(config, imagenet_subsets.CUSTOM), "test"}
        for split in added:
            if config in imagenet_subsets.ADDED[split] or not {*configs} & {*imagenet_subsets.ADDED[split]}:
                options[config][split] = True
                possible.add(split)
        if splits is not None:
            options[config]["splits"] = [split for split in splits if split in possible]
        known |= possible
    if splits is not None and not set(splits) <= known:
        raise ValueError(f"splits={list(splits)!r:.200}: expected splits of {configs}: {sorted(known)}.")
    return options


def _refuse_folder(output_dir: Path, data_dir: str, configs: list[str]) -> None:
    """Raise an error if a folder must not be written to, or if ``datasets`` could not load it."""
    if re.search(r"\[.+\]", os.path.abspath(output_dir)):
        raise ValueError(f"output_dir={str(output_dir)!r}: datasets treats [...] as a pattern. Rename the folder.")
    if holds_images(output_dir, data_dir):
        raise FileExistsError(
            f"{output_dir} is, or is in, the folder that the images are read from, {data_dir}; the files would be "
            "mixed up. Build into another folder."
        )
    shards = (_SHARD_PATH.fullmatch(f"{path.parent.name}/{path.name}") for path in output_dir.glob("*/*.parquet"))
    held = {shard[0].partition("/")[0] for shard in shards if shard and shard["config"] in CONFIGS}
    others = sorted(held - {*configs})
    if others:
        raise FileExistsError(
            f"{output_dir} holds {', '.join(others)} from an earlier build, which this build of {', '.join(configs)} "
            "would leave out of the card. List all configs that the folder should have (finished shards are kept), or "
            f"remove {output_dir / others[0]}."
        )


@contextlib.contextmanager
def _only_build_of(output_dir: Path) -> Iterator[None]:
    """Context in which no other build writes to the folder; ``BuildError`` if one does already."""
    lock = output_dir / _LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(lock, timeout=0):
            try:
                yield
            finally:  # huggingface_hub 0.23 would upload it
                lock.unlink()
    except filelock.Timeout:
        raise BuildError(
            f"{output_dir} is being written by another build. Wait until it has ended, or build into another folder."
        ) from None


def _remove_old_files(output_dir: Path, shards: dict[str, "Shard"]) -> None:
    """Delete the temporary files of killed builds, and shards of earlier builds that are no longer used."""
    for path in [*output_dir.glob("README.md.*"), *output_dir.glob("*/*.parquet*")]:
        name = path.relative_to(output_dir).as_posix()
        if _SHARD_PATH.fullmatch(name) and name not in shards:
            (output_dir / "README.md").unlink(missing_ok=True)
            path.unlink()
        elif _TEMPORARY.fullmatch(name):
            path.unlink(missing_ok=True)


def _write_missing(
    output_dir: Path, recipe: "Recipe", shards: dict[str, "Shard"], num_proc: int, executor: Executor | None
) -> None:
    """Write the shards that are unfinished; delete the card before the first file changes."""
    missing = [shard for shard in shards.values() if not shard.is_finished(output_dir)]
    total = sum(shard.image_bytes for shard in missing)
    check_space(output_dir, total, "the shards to write")
    if not missing:
        return
    (output_dir / "README.md").unlink(missing_ok=True)
    folder, stop, futures = os.path.abspath(output_dir), threading.Event(), dict[Future[int], Shard]()
    task = write_shard if executor is not None else functools.partial(write_shard, stop=stop)
    pool = executor or ThreadPoolExecutor(num_proc)
    with progress_bar("Writing Parquet", total) as bar:
        try:
            for shard in missing:
                futures[pool.submit(task, recipe, shard.path, shard.mark, folder)] = shard
            for future in as_completed(futures):
                shard = futures[future]
                bar.update(future.result())
        except (ArchiveError, BuildError):
            raise
        except Exception as error:  # the executor's
            raise _naming_shard(error, shard.path, folder) from error
        finally:
            stop.set()  # after an error or Ctrl-C, abandon the shards that are being written
            for future in futures:
                future.cancel()
            if executor is None:
                pool.shutdown()
    _wait_until_visible(missing, output_dir)


def _naming_shard(error: Exception, path: str, output_dir: str) -> OSError | ValueError:
    """Any error, such as a full disk, a killed process or a missing package, with the shard and the host."""
    reason = str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"
    return (ArchiveError if isinstance(error, ArchiveError) else BuildError)(
        f"{output_dir}/{path} could not be written on host {socket.gethostname()}: "
        f"{' '.join(reason.split()).rstrip('.: '):.1500}. Finished shards are kept: fix the problem and run the build "
        "again."
    )


def _wait_until_visible(shards: list["Shard"], output_dir: Path) -> None:
    """Raise ``BuildError`` unless this host sees every shard complete, which another host may have written."""
    deadline = time.monotonic() + VISIBLE_WITHIN
    for shard in shards:
        while not shard.has_mark(output_dir):
            if time.monotonic() > deadline:
                raise BuildError(
                    f"{output_dir / shard.path} was written, but does not exist here. Every host needs the same file "
                    "system at this path: run the build again on such hosts."
                )
            time.sleep(0.5)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines the rows of a build, small enough to be sent with each shard."""

    data_dir: str
    options: dict[str, Options] = dataclasses.field(hash=False)  # by config
    shard_bytes: int
    build: str  # a unique id, so that workers do not reuse a plan cached by an earlier build

    @functools.lru_cache(maxsize=2)  # noqa: B019, workers live as long as the recipe
    def _plan(self) -> Plan:
        plan: Plan = {}
        for config, options in self.options.items():
            chosen = imagenet_subsets.ImagenetSubsetsConfig(config, data_dir=self.data_dir, **options)
            features, suffix = chosen.features(), suffix_of(chosen.resize)
            plan[config + suffix] = {}
            for split, images in chosen.plan.splits.items():
                name = images.split_list.name
                folder, prefix = (SHARED[name], name) if name in SHARED else (config, split)
                plan[config + suffix][split] = Part(folder + suffix, prefix, images, features, self.shard_bytes)
        return plan

    def plan(self) -> Plan:
        with _PLANNING:  # one thread plans; the others wait and reuse its result
            return self._plan()

    def shards(self) -> dict[str, "Shard"]:
        """By path: each shard once, even if several configs share it."""
        parts = [part for splits in self.plan().values() for part in splits.values()]
        return {path: Shard(path, part, groups) for part in parts for path, groups in part.shards.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    path: str  # relative to the output folder
    part: Part
    groups: list[Rows]

    @property
    def image_bytes(self) -> int:
        return sum(int(self.part.images.reader.sizes(rows).sum()) for rows in self.groups)

    @functools.cached_property
    def mark(self) -> str:
        """Fingerprint of the finished shard: SHA-256 (hex) of the features and the rows, by row group."""
        mark = hashlib.sha256(f"1 {imagenet_subsets.ROWS_VERSION} ".encode())  # 1: the way in which shards are written
        mark.update(self.part.features.arrow_schema.metadata[b"huggingface"])
        mark.update(suffix_of(self.part.images.reader.resize).encode())
        for group in self.groups:
            mark.update(repr(group[["name", "label", "size"]].tolist()).encode())
        return mark.hexdigest()

    def has_mark(self, output_dir: Path) -> bool:
        """Whether the shard exists, is complete and has its mark."""
        with contextlib.suppress(OSError, pa.ArrowException):  # missing or incomplete
            return bool(pq.read_metadata(output_dir / self.path).metadata.get(_MARK) == self.mark.encode())
        return False

    def is_finished(self, output_dir: Path) -> bool:
        """Whether it also has the right images: its first and last row groups equal those of the archive now."""
        if not self.has_mark(output_dir):
            return False
        with contextlib.suppress(OSError, pa.ArrowException), pq.ParquetFile(output_dir / self.path) as file:
            ends = {0, len(self.groups) - 1}
            return all(file.read_row_group(k).equals(next(_tables(self.part, [self.groups[k]]))) for k in ends)
        return False


def write_shard(recipe: Recipe, path: str, mark: str, output_dir: str, stop: threading.Event | None = None) -> int:
    """Write a shard unless it is finished, on any host, and return the bytes of its images; ``stop`` interrupts it."""
    try:
        shard = recipe.shards().get(path)
        if shard is None or shard.mark != mark:
            raise ArchiveError(
                f"{recipe.data_dir} gives different rows here than where the build was called. Every host needs the "
                "same archives and lists at the same path."
            )
        if shard.is_finished(Path(output_dir)):  # a worker may run a task again
            return shard.image_bytes
        file, schema = Path(output_dir, path), shard.part.features.arrow_schema
        file.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(file) as written, pq.ParquetWriter(written, schema, **_WRITING) as writer:
            for table in _tables(shard.part, shard.groups):
                if stop is not None and stop.is_set():
                    raise InterruptedError("the build was interrupted")
                writer.write_table(table)
            writer.add_key_value_metadata({_MARK: mark})
        return shard.image_bytes
    except Exception as error:
        raise _naming_shard(error, path, output_dir) from error


def _tables(part: Part, groups: list[Rows]) -> Iterator[pa.Table]:
    schema = part.features.arrow_schema
    tables = (batch.table() for batch in read_batches(part.images.reader, np.concatenate(groups)))
    # Copies, because the next batch reuses the buffer.
    batches = (table.take(np.arange(len(table))) for table in tables)
    ahead = schema.empty_table()
    for rows in groups:
        while len(ahead) < len(rows):
            ahead = pa.concat_tables([ahead, next(batches).cast(schema)])
        yield ahead.slice(0, len(rows)).combine_chunks()
        ahead = ahead.slice(len(rows))
