"""Build a folder that is a complete dataset repository for the Hub: Parquet shards and a card.

``contents`` says which row is in which shard, ``shards`` writes one, ``card`` writes the card. This module writes all
missing shards, in this process or with any executor.
"""

import contextlib
import functools
import os
import re
import secrets
import time
from pathlib import Path

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import check_space
from imagenet_reader.hf.interrupts import finished, interruptible
from imagenet_reader.hf.options import check_num_proc
from imagenet_reader.hf.processes import worker_pool
from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.layouts.base import IMAGE_SETS
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.sources.urls import known_location
from imagenet_subsets_tools.card import write_card
from imagenet_subsets_tools.contents import (
    CONFIGS,
    FOLDERS,
    ROW_GROUP,
    ROW_GROUPS,
    SHARD_PATH,
    SHARED,
    SHARED_TEST,
    Contents,
    Part,
    config_options,
)
from imagenet_subsets_tools.shards import (
    BuildError,
    Shard,
    Task,
    failure,
    remove_leftovers,
    versions,
    write_shard,
)

__all__ = [
    "FOLDERS",
    "ROW_GROUP",
    "ROW_GROUPS",
    "SHARD_BYTES",
    "SHARD_PATH",
    "SHARED",
    "BuildError",
    "Part",
    "build_parquet",
]

SHARD_BYTES = 500_000_000  # of images per shard, approximate upper limit
SHOWN_WITHIN = 60  # seconds that a network file system may take to show what another host has written


def build_parquet(
    output_dir,
    data_dir,
    configs=("1pct", "10pct", "lt"),
    num_proc=None,
    executor=None,
    part=None,
    label_names="wnid",
    splits=None,
    unlabeled=False,
    train_list=None,
    validation_list=None,
    classes=None,
    real_labels=False,
):
    """Write a folder that is a complete dataset repository for the Hub.

    ``datasets.load_dataset(output_dir, config)`` then loads the same rows as the loading script, with any version of
    ``datasets``. An interrupted build resumes. An existing shard is reused if it is a complete Parquet file, has the
    mark of the expected features, names, labels and sizes, and its first and last row groups equal those of the
    archive. Several builds of the same folder may run at once.

    Args:
        output_dir: the folder; created if it does not exist. It becomes as large as the images.
        data_dir: the folder with the images, as for ``imagenet_subsets.load_dataset``.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``, ``"full"``, ``"custom"``.
        num_proc: number of processes that write shards, 1 by default. With several, as with any use of processes, a
            script calls this under ``if __name__ == "__main__":``.
        executor: a ``concurrent.futures.Executor`` that writes the shards, instead of ``num_proc``. Its processes may
            run on other hosts, which need this package and both folders at the same paths. It is not shut down.
        part: ``"K/N"`` writes only the K-th of N parts of the shards, and no card. Once all parts are written, a call
            without ``part`` checks the shards, writes missing ones, and then the card.
        label_names: as for ``load_dataset``.
        splits: as for ``load_dataset``; each config gets those that it has.
        unlabeled: as for ``load_dataset``; for ``1pct`` and ``10pct``.
        train_list: path of a list, as for ``load_dataset``; for ``custom``.
        validation_list: the same.
        classes: as for ``load_dataset``.
        real_labels: as for ``load_dataset``; the splits of a config have the same columns, so training splits have this
            one, too, without values.

    Returns:
        ``Path``: ``output_dir``.

    Raises:
        FileNotFoundError: an archive does not exist.
        FileExistsError: the folder holds a config that is not in ``configs``, or the source images.
        imagenet_subsets.ArchiveError: an archive is not as expected, or lacks images.
        BuildError: a shard could not be written; finished shards are kept for the next build.
        OSError: the disk has too little space.
        ValueError: a config or another argument is invalid.

    Example:

        >>> build_parquet("hub", data_dir="/data/imagenet", configs=["1pct"], num_proc=4)
        PosixPath('hub')
    """
    output_dir = Path(output_dir)
    configs = [configs] if isinstance(configs, str) else list(dict.fromkeys(configs))
    _check_arguments(configs, num_proc, executor)
    _refuse_pattern(output_dir)
    own_lists = {"train_list": _absolute(train_list), "validation_list": _absolute(validation_list)}
    options = config_options(
        configs, label_names, splits, unlabeled, **own_lists, classes=classes, real_labels=real_labels
    )
    contents = Contents(known_location(data_dir), options, SHARD_BYTES, build=secrets.token_hex(8))
    chosen = _slice_of(part)
    _refuse_image_folders(output_dir, contents.data_dir)
    _refuse_other_configs(output_dir, configs)
    plan = {config: contents.parts(config) for config in configs}
    shards = _shards(plan)
    remove_leftovers(output_dir)
    if part is None:
        _remove_stale(output_dir, plan, shards)
    _write_missing(output_dir, contents, shards, chosen, num_proc or 1, executor)
    if part is None:
        _confirm_all(output_dir, shards)
        _refuse_other_configs(output_dir, configs)  # a concurrent build may have started to write some
        remove_leftovers(output_dir, finished=_folders(plan))
        write_card(output_dir, plan, own_lists)
    return output_dir


# ----------------------------------------------------------------------------------------------- arguments


def _check_arguments(configs, num_proc, executor):
    unknown = [config for config in configs if config not in CONFIGS]
    if unknown or not configs:
        raise ValueError(f"configs={configs!r:.200}: expected one or more of {list(CONFIGS)}.")
    check_num_proc(num_proc)
    if num_proc is not None and executor is not None:
        raise ValueError("num_proc and executor: pass only one of them; an executor has its own processes.")


def _refuse_pattern(output_dir):
    path = os.path.abspath(os.path.expanduser(output_dir))
    if re.search(r"\[.+\]", path):
        raise ValueError(f"output_dir={path!r}: datasets treats [...] in a path as a pattern. Rename the folder.")


def _absolute(path):
    return None if path is None else os.path.abspath(os.path.expanduser(path))


def _slice_of(part):
    """The shards of a part, as a slice of all."""
    if part is None:
        return slice(None)
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"part={part!r:.200}: expected K/N, such as 3/16, with K from 1 to N.")
    return slice(number - 1, None, count)


def _refuse_image_folders(output_dir, data_dir):
    layouts = (find_layout(name, data_dir).path for name in IMAGE_SETS)
    images = [os.path.realpath(path) for path in layouts if os.path.isdir(path)]
    for written in (output_dir, *(output_dir / folder for folder in FOLDERS)):
        path = os.path.realpath(written)
        if path == os.path.realpath(data_dir) or any(os.path.commonpath([path, folder]) == folder for folder in images):
            raise FileExistsError(
                f"{written} is, or is in, the folder that the images are read from, {data_dir}; the files would be "
                "mixed up. Build into another folder."
            )


def _refuse_other_configs(output_dir, configs):
    others = [config for config in CONFIGS if config not in configs and any((output_dir / config).glob("*.parquet"))]
    if others:
        raise FileExistsError(
            f"{output_dir} holds {', '.join(others)} from an earlier build, which this build of {', '.join(configs)} "
            "would leave out of the card. List all configs that the folder should have (finished shards are kept), or "
            f"remove {output_dir / others[0]}."
        )


# -------------------------------------------------------------------------------------------------- shards


def _shards(plan):
    """All shards by path, ``dict[str, Shard]``, each once even if several configs share it."""
    return {
        path: Shard(path, config, split, part)
        for config, parts in plan.items()
        for split, part in parts.items()
        for path in part.shards
    }


def _folders(plan):
    """The folders of the configs of this build, and those shared by all builds."""
    return {*plan, SHARED, SHARED_TEST}


def _write_missing(output_dir, contents, shards, chosen, num_proc, executor):
    """Write the chosen shards that are unfinished; delete the card before the first file changes."""
    missing = [shard for shard in list(shards.values())[chosen] if not shard.is_finished(output_dir)]
    total = sum(shard.image_bytes for shard in missing)
    check_space(output_dir, total, "the shards to write")
    if missing:
        (output_dir / "README.md").unlink(missing_ok=True)
    folder = os.path.abspath(output_dir)
    tasks = [Task(contents, shard.config, shard.split, shard.path, shard.mark, folder, versions()) for shard in missing]
    try:
        with progress_bar("Writing Parquet", total) as bar:
            interruptible(functools.partial(_write_shards, tasks, min(num_proc, len(tasks)), executor, bar.update))
    finally:
        remove_leftovers(output_dir)


def _remove_stale(output_dir, plan, shards):
    """Delete shards of earlier builds that are no longer used."""
    for folder in _folders(plan):
        for path in (output_dir / folder).glob("*.parquet"):
            name = f"{folder}/{path.name}"
            if SHARD_PATH.fullmatch(name) and name not in shards:
                (output_dir / "README.md").unlink(missing_ok=True)
                path.unlink(missing_ok=True)


def _write_shards(tasks, num_proc, executor, done, stop):
    """Write shards until ``stop`` is set, and call ``done`` with the image bytes of each."""
    if executor is not None:
        _write_with(executor, tasks, done, stop)
    elif num_proc > 1:
        # Processes, as in datasets: threads would block each other when allocating memory.
        with worker_pool(num_proc, stop) as pool:
            _write_with(pool, tasks, done, stop)
    else:
        for task in tasks:
            done(write_shard(task, stop))


def _write_with(executor, tasks, done, stop):
    futures = {}
    try:
        for task in tasks:
            with _naming_shard(task):
                futures[executor.submit(write_shard, task)] = task
        for future in finished(futures, stop):
            with _naming_shard(futures[future]):
                done(future.result())
    finally:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def _naming_shard(task):
    """Name the shard in errors of the executor, such as a killed process or a missing package."""
    try:
        yield
    except (ArchiveError, BuildError):
        raise
    except Exception as error:
        raise BuildError(failure(task, error)) from error


def _confirm_all(output_dir, shards):
    """Raise ``BuildError`` unless every shard is complete on this host; another host may have written it."""
    deadline = time.monotonic() + SHOWN_WITHIN
    for shard in shards.values():
        while not shard.has_mark(output_dir):
            if time.monotonic() > deadline:
                raise BuildError(
                    f"{output_dir / shard.path} was written, but does not exist here. Every host needs the same file "
                    f"system at {os.path.abspath(output_dir)}: run the build again on such hosts."
                )
            time.sleep(0.5)
