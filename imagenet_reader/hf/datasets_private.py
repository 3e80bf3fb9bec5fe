"""The private names of ``datasets`` 2.19 to 5.x that are used: a new release may require changes in this file.

=====================================  ===================================================================
``_prepare_split``                     2.19 to 5.x: writes the rows of a split, with processes if asked to
``_prepare_split_single``              2.19 to 5.x: writes the rows of one process
``_download_and_prepare``              2.19 to 5.x: writes all splits into a temporary folder
``_output_dir``                        2.19 to 5.x: that folder, whose name ends in ``.incomplete``
``_get_examples_iterable_for_split``   2.19 to 5.x: the rows of a streaming dataset
``ExamplesIterable``                   2.19 to 5.x; ``_state_dict`` in it from 2.20 on
``is_small_dataset``                   2.19 to 5.x: whether to keep a dataset in memory
``ConcatenationTable``                 2.19 to 5.x: a table made of a grid of blocks
``_indices``                           2.19 to 5.x: the rows of its table that a dataset has, in order
``fast_slice``                         2.19 to 5.x: looks up row numbers in ``_indices``
``_fingerprint``                       2.19 to 5.x: identifies a dataset in the caches of ``map``
``_formatting``                        2.19 to 5.x: the format of a streaming dataset; ``None`` by default
=====================================  ===================================================================
"""

import contextlib
import functools
import os

import datasets
import multiprocess
from datasets.exceptions import DatasetGenerationError
from datasets.iterable_dataset import ExamplesIterable
from datasets.table import ConcatenationTable, InMemoryTable
from datasets.utils.info_utils import is_small_dataset

from imagenet_reader.hf.options import check_num_proc
from imagenet_reader.hf.processes import end_with, wait_until_terminated, with_pool_of_datasets
from imagenet_reader.hf.progress import without_bars_in_files

__all__ = ["TableBuilder", "indices_of", "is_small_dataset", "only_column", "take_rows", "unformatted"]


class TableBuilder(datasets.GeneratorBasedBuilder):
    """A builder that streams examples, but prepares tables, which takes half as long; it leaves no files behind.

    Subclasses define ``_generate_tables``, as for ``datasets.ArrowBasedBuilder``, and ``_generate_examples`` with the
    same arguments. The examples are for streaming, which resumes immediately after ``load_state_dict`` if ``resumable``
    is true: each record of ``shards`` must then yield one example.
    """

    resumable = True

    def configured(self, config, features):
        """Return the cache key. Subclasses also derive their state here, where all options are known.

        Args:
            config: the ``datasets.BuilderConfig``.
            features: the features that the user passed, or ``None``.
        """
        return config.name

    def _create_builder_config(self, *args, **kwargs):
        config, _ = super()._create_builder_config(*args, **kwargs)
        return config, self.configured(config, kwargs.get("custom_features"))

    @property
    def unfinished_dir(self):
        """The folder that a preparation writes to; ``None`` if it is not on this machine."""
        return self._output_dir if self._output_dir.endswith(".incomplete") else None

    def download_and_prepare(self, *args, num_proc=None, **kwargs):
        """As in ``datasets``; raises ``ValueError`` if ``num_proc`` is not a number of processes."""
        check_num_proc(num_proc)
        super().download_and_prepare(*args, num_proc=num_proc, **kwargs)

    def _download_and_prepare(self, *args, **kwargs):
        self._preparing_process = os.getpid()
        for left in os.scandir(self.unfinished_dir) if self.unfinished_dir else ():
            os.unlink(left.path)  # a leftover of a killed preparation, which must not become part of this one
        self._system_error = None
        try:
            with without_bars_in_files():
                super()._download_and_prepare(*args, **kwargs)
        except OSError:
            if self._system_error is None:
                raise
            raise self._system_error from self._system_error.__cause__  # datasets says "Cannot find data file" of any

    def _prepare_split(self, split_generator, *args, num_proc=None, **kwargs):
        prepare = functools.partial(super()._prepare_split, split_generator, *args, num_proc=num_proc, **kwargs)
        try:
            if min(num_proc or 1, len(split_generator.gen_kwargs["shards"])) > 1:
                with_pool_of_datasets(prepare)
            else:
                prepare()
        except OSError as error:
            self._system_error = error
            raise

    def _prepare_split_single(self, gen_kwargs, fpath, file_format, max_shard_size, job_id, **of_examples):
        in_pool = os.getpid() != self._preparing_process
        if in_pool:
            end_with(multiprocess.parent_process())  # needed if this process was spawned instead of forked
        prepared = datasets.ArrowBasedBuilder._prepare_split_single(
            self, gen_kwargs, fpath, file_format, max_shard_size, job_id
        )
        try:
            yield from _quietly_closed(prepared)
        except GeneratorExit:  # nobody reads the progress any more
            if in_pool:
                wait_until_terminated()
            raise
        except (OSError, DatasetGenerationError) as error:
            system = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(system, OSError) or system.errno is None or system.filename is not None:
                raise
            message = f"{os.strerror(system.errno)}, while writing the dataset"
            raise OSError(system.errno, message, self._output_dir) from error

    def _get_examples_iterable_for_split(self, split_generator):
        if not self.resumable:
            return super()._get_examples_iterable_for_split(split_generator)
        return _ResumingExamples(self._generate_examples, split_generator.gen_kwargs)


def only_column(dataset, column, name, feature):
    """Return a dataset of one column of another's table, without indices.

    Blocks of the table that lack the column are left out, because ``datasets`` cannot concatenate them.

    Args:
        dataset: the other dataset.
        column: the name of the column there.
        name: its name in the result.
        feature: its feature in the result, which has the same storage.
    """
    table, features = dataset.data.select([column]), datasets.Features({name: feature})
    if isinstance(table, ConcatenationTable):
        table = ConcatenationTable.from_blocks([[block for block in row if block.num_columns] for row in table.blocks])
    if column != name:
        table = table.rename_columns([name])
    table = table.cast(features.arrow_schema)
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=features), split=dataset.split)


class _RowNumbers(InMemoryTable):
    """Row numbers in one batch. ``datasets`` looks one up for each row; a plain slice takes a third of its time."""

    def fast_slice(self, offset=0, length=None):
        return self.table.slice(offset, length)

    def __reduce__(self):  # to be unpickled where this project is not installed
        return InMemoryTable, (self.table,)


def take_rows(dataset, rows):
    """As ``dataset.select(rows)``, but rows are accessed faster."""
    selected = dataset.select(rows)
    if selected._indices is None:  # the rows are contiguous
        return selected
    numbers = _RowNumbers(selected._indices.table.combine_chunks())
    return datasets.Dataset(selected.data, selected.info, selected.split, numbers, selected._fingerprint)


def indices_of(dataset):
    """The rows of its table that a dataset has, in order, ``uint64 [n]``; ``None`` for all rows in table order."""
    return None if dataset._indices is None else dataset._indices.column(0)


def unformatted(dataset):
    """Return a streaming dataset without its format."""
    # Without one, with_format(None) of datasets 2.19 would stop the decoding of images.
    return dataset if dataset._formatting is None else dataset.with_format(None)


def _quietly_closed(prepared):
    """Yield from a generator of ``datasets`` that yields in a ``finally`` clause; suppress the error on closing it."""
    try:
        for progress in prepared:  # noqa: UP028 (yield from would close it first)
            yield progress
    except GeneratorExit:
        with contextlib.suppress(RuntimeError):
            prepared.close()
        raise


class _ResumingExamples(ExamplesIterable):
    """Examples that resume from a ``state_dict()`` immediately; ``datasets`` would reread the shard up to there."""

    def __iter__(self):
        state = getattr(self, "_state_dict", None)  # absent in datasets 2.19
        if not state:
            yield from super().__iter__()
            return
        for shard in self.kwargs["shards"][state["shard_idx"] :]:
            rest = {**self.kwargs, "shards": [shard[state["shard_example_idx"] :]]}
            for example in self.generate_examples_fn(**rest):
                state["shard_example_idx"] += 1
                yield example
            state["shard_idx"] += 1
            state["shard_example_idx"] = 0

    def shard_data_sources(self, *args, **kwargs):
        return self._resuming(super().shard_data_sources(*args, **kwargs))

    def shuffle_data_sources(self, *args, **kwargs):
        return self._resuming(super().shuffle_data_sources(*args, **kwargs))

    def _resuming(self, examples):
        plain = type(examples) is ExamplesIterable
        return type(self)(examples.generate_examples_fn, examples.kwargs) if plain else examples
