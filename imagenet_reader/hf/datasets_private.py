"""All private names of ``datasets`` that are used, in 2.19 to 5.x: a new release may need changes in this file.

=====================================  ===================================================================
``_prepare_split_single``              2.19 to 5.x: writes the rows of one process
``_download_and_prepare``              2.19 to 5.x: writes all splits into a temporary folder
``_output_dir``                        2.19 to 5.x: that folder, whose name ends in ``.incomplete``
``_get_examples_iterable_for_split``   2.19 to 5.x: the rows of a streaming dataset
``ExamplesIterable``                   2.19 to 5.x; ``_state_dict`` in it from 2.20 on
``is_small_dataset``                   2.19 to 5.x: whether to keep a dataset in memory
``ConcatenationTable``                 2.19 to 5.x: a table of rows of blocks
``_indices``                           2.19 to 5.x: which rows of its table a dataset has, and in which order
=====================================  ===================================================================
"""

import contextlib
import os
import sys

import datasets
import multiprocess
from datasets.exceptions import DatasetGenerationError
from datasets.iterable_dataset import ExamplesIterable
from datasets.table import ConcatenationTable
from datasets.utils.info_utils import is_small_dataset

from imagenet_reader.hf.options import check_num_proc
from imagenet_reader.hf.processes import end_with, ending_with_this
from imagenet_reader.hf.progress import without_bars_in_files

__all__ = ["TableBuilder", "indices_of", "is_small_dataset", "only_column"]


class TableBuilder(datasets.GeneratorBasedBuilder):
    """A builder of examples that prepares tables, in half the time, and leaves no files behind.

    Subclasses have ``_generate_tables`` as well as ``_generate_examples``, with the same arguments, as
    ``datasets.ArrowBasedBuilder`` has it. The examples are for streaming, which resumes at once after a
    ``load_state_dict`` if ``resumable`` is true: each record of ``shards`` then yields one example.
    """

    resumable = True

    def configured(self, config, features):
        """The key of the cache. Subclasses make here what follows from the options, which are complete.

        Args:
            config: the ``datasets.BuilderConfig``.
            features: those that the user passed, or ``None``.
        """
        return config.name

    def _create_builder_config(self, *args, **kwargs):
        config, _ = super()._create_builder_config(*args, **kwargs)
        return config, self.configured(config, kwargs.get("custom_features"))

    @property
    def unfinished_dir(self):
        """The folder that is written while a dataset is prepared; ``None`` if it is not on this machine."""
        return self._output_dir if self._output_dir.endswith(".incomplete") else None

    def download_and_prepare(self, *args, num_proc=None, **kwargs):
        """As in ``datasets``; raises ``ValueError`` if ``num_proc`` is no number of processes."""
        check_num_proc(num_proc)
        super().download_and_prepare(*args, num_proc=num_proc, **kwargs)

    def _download_and_prepare(self, *args, **kwargs):
        self._preparing_process = os.getpid()
        for left in os.scandir(self.unfinished_dir) if self.unfinished_dir else ():
            os.unlink(left.path)  # left by a killed preparation; it must not become part of this one
        handled = sys.exc_info()[1]  # a caller in an except block already has an error
        try:
            with ending_with_this(), without_bars_in_files():
                super()._download_and_prepare(*args, **kwargs)
        except Exception as error:
            interrupt = _interrupt_before(error, handled)
            if interrupt is None:
                raise
            raise interrupt from None

    def _prepare_split_single(self, gen_kwargs, fpath, file_format, max_shard_size, job_id, **of_examples):
        if os.getpid() != self._preparing_process:
            end_with(multiprocess.parent_process())  # which may have spawned this process, not forked it
        prepared = datasets.ArrowBasedBuilder._prepare_split_single(
            self, gen_kwargs, fpath, file_format, max_shard_size, job_id
        )
        try:
            yield from _quietly_closed(prepared)
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


def only_column(dataset, column):
    """One column of a dataset, without indices.

    Blocks of its table without that column are left out, because ``datasets`` could not concatenate them.
    """
    chosen = dataset.select_columns([column])
    if not isinstance(chosen.data, ConcatenationTable):
        return chosen
    blocks = [[block for block in row if block.num_columns] for row in chosen.data.blocks]
    return datasets.Dataset(ConcatenationTable.from_blocks(blocks), info=chosen.info, split=chosen.split)


def indices_of(dataset):
    """The rows of its table that a dataset has, in order, ``uint64 [n]``; ``None`` for all of them as they are."""
    return None if dataset._indices is None else dataset._indices.column(0)


def _quietly_closed(prepared):
    """Yield from a generator of ``datasets`` that yields in a ``finally`` clause, without Python's complaint."""
    try:
        for progress in prepared:  # noqa: UP028 (it would be closed first)
            yield progress
    except GeneratorExit:
        with contextlib.suppress(RuntimeError):
            prepared.close()
        raise


def _interrupt_before(error, handled):
    """The ``KeyboardInterrupt`` or ``SystemExit`` that led to an error, after the one that was ``handled`` before.

    After it, ``datasets`` still waits for the results of its processes, which ends in a ``TimeoutError``.
    """
    seen = []  # a cause may have its effect as context: a ring
    while error is not None and error is not handled and error not in seen:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


class _ResumingExamples(ExamplesIterable):
    """Examples that resume from a ``state_dict()`` at once; ``datasets`` would read the shard again up to there."""

    def __iter__(self):
        state = getattr(self, "_state_dict", None)  # datasets 2.19 has none
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
