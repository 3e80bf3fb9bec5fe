"""A builder that prepares tables, its record of what it has prepared, and what differs between versions of datasets.

These private names of ``datasets`` are used: a new release may require changes here.

=====================================  ===================================================================
``_prepare_split_single``              2.19 to 5.x: writes the rows of a split
``_download_and_prepare``              2.19 to 5.x: writes all splits into a temporary folder
``_output_dir``                        2.19 to 5.x: that folder, whose name ends in ``.incomplete``
``_cache_dir``, ``_cache_dir_root``    2.19 to 5.x: the folder of a finished dataset, and that of all
``_build_cache_dir``                   2.19 to 5.x: the first one, from the second
``is_small_dataset``                   2.19 to 5.x: whether to keep a dataset in memory
=====================================  ===================================================================
"""

import contextlib
import errno
import glob
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError
from datasets.utils.info_utils import is_small_dataset

from imagenet_reader.files import existing, naming, note_use, unused_cache
from imagenet_reader.hf.options import check_positive
from imagenet_reader.plan import Plan
from imagenet_reader.reading.pixels import encoder
from imagenet_reader.rows import REAL_LABELS, Columns

__all__ = ["RECORD", "TableBuilder", "info_of", "is_small_dataset", "read_record", "without_empty_columns"]

RECORD = "imagenet_subsets.json"  # its modification time is the time of the dataset's last use
LONGEST = 4  # lines of a list that is recorded in full
FORBIDDEN = errno.EACCES, errno.EPERM, errno.EROFS
UNREADABLE = "the images cannot be read. Ask their owner to run chmod -R a+rX on the folder"
UNWRITABLE = (
    "the cache of datasets cannot be written. Set HF_DATASETS_CACHE to a folder that you can write, or pass "
    "streaming=True, which writes nothing there"
)


class TableBuilder(datasets.GeneratorBasedBuilder):  # type: ignore[misc]  # datasets is not typed
    """A builder that streams examples, but prepares tables, which takes half as long; it leaves no files behind.

    Subclasses define ``_generate_tables``, as for ``datasets.ArrowBasedBuilder``, and ``_generate_examples`` with the
    same arguments, for streaming.
    """

    threads: int | None = None  # that read ahead; ``None`` for the usual number

    def __init__(self, cache_dir: Any = None, *args: Any, **kwargs: Any):
        root = os.path.expanduser(cache_dir or datasets.config.HF_DATASETS_CACHE)
        is_writable = os.access(existing(root), os.W_OK)
        try:
            with contextlib.nullcontext(cache_dir) if is_writable else unused_cache() as usable:
                super().__init__(usable, *args, **kwargs)
        except PermissionError as error:
            raise _explained(error, UNREADABLE) if error.filename else error from error.__cause__
        if not is_writable:
            self._cache_dir_root = os.path.abspath(root)
            self._output_dir = self._cache_dir = self._build_cache_dir()
            if read_record(self._cache_dir) is None:
                raise _explained(OSError(errno.EACCES, os.strerror(errno.EACCES), root), UNWRITABLE)
            self.info = datasets.DatasetInfo.from_directory(self._cache_dir)
        own, features = list(self.config.features()), kwargs.get("features")
        if features is not None and {*features} != {*own}:
            raise ValueError(f"features={[*features]!s:.500}: expected the columns {own}, perhaps of other types.")

    @property
    def unfinished_dir(self) -> str | None:
        """The folder that a preparation writes to; ``None`` if it is not on this machine."""
        return self._output_dir if self._output_dir.endswith(".incomplete") else None

    def download_and_prepare(
        self, *args: Any, download_mode: Any = None, num_proc: int | None = None, **kwargs: Any
    ) -> None:
        """As in ``datasets``, but in one process: ``num_proc`` is the number of threads that read."""
        check_positive("num_proc", num_proc)
        self.threads = num_proc
        record = read_record(self.cache_dir)
        if self.config.in_place and record and record["archives"] != self._archives():
            download_mode = datasets.DownloadMode.FORCE_REDOWNLOAD  # the images have moved in their folder
        forced = download_mode not in (None, "reuse_dataset_if_exists", datasets.DownloadMode.REUSE_DATASET_IF_EXISTS)
        if not forced and "output_dir" not in kwargs and record is not None:
            return  # it is finished, and datasets would lock it, as if everybody could write to the cache
        try:
            super().download_and_prepare(*args, download_mode=download_mode, **kwargs)
        except OSError as error:
            if error.errno not in FORBIDDEN or not str(error.filename).startswith(self._cache_dir_root):
                raise
            raise _explained(error, UNWRITABLE) from error

    def _archives(self) -> list[str]:
        return [layout.path for layout in self.config.plan.layouts]

    def write_record(self) -> None:
        """Write a JSON file that says what the dataset is to its folder, which is named by a digest."""
        path = os.path.join(self._output_dir, RECORD)
        record = self._record() | {"archives": self._archives()}
        if self.config.resize is not None:
            record["encoder"] = encoder()
        with naming(path, "writing the dataset"), open(path, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)

    def _record(self) -> dict[str, Any]:
        """What the record says, but for the archives: of long lists, only their length."""
        options, lists = self.config.chosen_options(), self.config.plan.key.get("lists")
        long = {name for name, of in options.items() if isinstance(of, (list, tuple)) and len(of) > LONGEST}
        short = options | {name: f"{len(options[name]):,} lines" for name in long}
        record = {"config": self.config.name, "options": short} | ({"lists": lists} if lists else {})
        return dict(json.loads(json.dumps(record, default=str)))  # paths need not be strings

    def use_prepared(self, data_dir: str) -> bool:
        """Use the newest finished dataset that was built from ``data_dir`` with these options; false if none was."""
        pattern = os.path.join(glob.escape(self._cache_dir_root), "*/*/*/*", datasets.config.DATASET_INFO_FILENAME)
        for info in sorted(glob.glob(pattern), key=os.path.getmtime, reverse=True):
            folder = os.path.dirname(info)
            record = read_record(folder) or {"archives": []}
            record.pop("encoder", None)
            own = all(f"{path}/".startswith(f"{data_dir}/") for path in record.pop("archives"))
            if own and record == self._record() and not folder.endswith(".incomplete"):
                self._cache_dir = self._output_dir = folder
                self.info = datasets.DatasetInfo.from_directory(folder)
                return True
        return False

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """As in ``datasets``; notes that the cached dataset is used."""
        note_use(os.path.join(self.cache_dir, RECORD))
        return super().as_dataset(*args, **kwargs)

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        for left in os.scandir(self.unfinished_dir) if self.unfinished_dir else ():
            os.unlink(left.path)  # a leftover of a killed preparation, which must not become part of this one
        self._system_error: OSError | None = None
        try:
            super()._download_and_prepare(*args, **kwargs)
        except OSError:
            if self._system_error is None:
                raise
            raise self._system_error from self._system_error.__cause__  # datasets says "Cannot find data file" of any

    def _prepare_split_single(
        self, gen_kwargs: Any, fpath: Any, file_format: Any, max_shard_size: Any, job_id: Any, **of_examples: Any
    ) -> Iterator[Any]:
        prepared = datasets.ArrowBasedBuilder._prepare_split_single(
            self, gen_kwargs, fpath, file_format, max_shard_size, job_id
        )
        try:
            for progress in prepared:  # noqa: UP028 (yield from would close it first)
                yield progress
        except GeneratorExit:  # datasets yields once more when it is closed
            with contextlib.suppress(RuntimeError):
                prepared.close()
            raise
        except (OSError, DatasetGenerationError) as error:
            system = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(system, OSError):
                raise
            if system.errno is not None and system.filename is None:
                message = f"{os.strerror(system.errno)}, while writing the dataset"
                system = OSError(system.errno, message, self._output_dir)
                system.__cause__ = error
            self._system_error = system
            raise system from system.__cause__


def _explained(error: OSError, message: str) -> OSError:
    """A permission error that says what to do, with the path that exists."""
    return OSError(error.errno, f"{error.strerror}: {message}", existing(error.filename))


def read_record(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The record in a folder, with the arguments of ``write_record``; ``None`` if the folder has none."""
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            return dict(json.load(file))
    except (FileNotFoundError, PermissionError, ValueError):  # absent, unreadable or incomplete
        return None


def info_of(info: datasets.DatasetInfo, columns: Columns) -> datasets.DatasetInfo:
    """A copy of the info of a config with the features of these columns."""
    left_out = () if columns.real_labels else (REAL_LABELS,)
    copied = info.copy()
    copied.features = datasets.Features({name: of for name, of in info.features.items() if name not in left_out})
    return copied


def without_empty_columns(loaded: Any, plan: Plan) -> Any:
    """Remove ``real_labels`` from splits without them; ``datasets`` builds all splits with the same columns."""
    if not plan.columns.real_labels:
        return loaded
    if isinstance(loaded, dict):
        return type(loaded)({split: without_empty_columns(dataset, plan) for split, dataset in loaded.items()})
    if isinstance(loaded, list):
        return [without_empty_columns(dataset, plan) for dataset in loaded]
    names = re.split(r"\W+", str(loaded.split))  # as in train[:10%]+validation; "all" is not resolved when streaming
    loaded_splits = [split for split in plan.subset if split in names or "all" in names]
    if any(plan.image_set(split) == "validation" for split in loaded_splits):
        return loaded
    return loaded.select_columns([column for column in loaded.features if column != REAL_LABELS])
