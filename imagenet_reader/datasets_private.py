"""Everything private in ``datasets`` that is used here, for 2.19 to 5.x: a new release may need changes in this file.

=====================================  ===================================================================
``_prepare_split_single``              2.19 to 5.x: writes the rows that one process is given
``_download_and_prepare``              2.19 to 5.x: writes all splits into a temporary folder
``_output_dir``                        2.19 to 5.x: that folder, whose name ends in ``.incomplete``
``_get_examples_iterable_for_split``   2.19 to 5.x: the rows of a streaming dataset
``ExamplesIterable``                   2.19 to 5.x; ``_state_dict`` in it from 2.20 on
``is_small_dataset``                   2.19 to 5.x: whether a dataset is to be kept in memory
=====================================  ===================================================================
"""

import os

import datasets
from datasets.exceptions import DatasetGenerationError
from datasets.iterable_dataset import ExamplesIterable
from datasets.utils.info_utils import is_small_dataset

from imagenet_reader.processes import end_with, ending_with_this

__all__ = ["TableBuilder", "is_small_dataset"]


class TableBuilder(datasets.GeneratorBasedBuilder):
    """A builder of examples that prepares tables, which takes half the time, and leaves nothing behind.

    Subclasses have ``_generate_tables`` beside ``_generate_examples``, with the same arguments, as
    ``datasets.ArrowBasedBuilder`` has it. The examples serve streaming, which resumes at once after a
    ``load_state_dict`` if ``resumable`` is true: an example a record of ``shards``.
    """

    resumable = True

    @property
    def unfinished_dir(self):
        """The folder that is written while a dataset is prepared; ``None`` if it is not on this machine."""
        return self._output_dir if self._output_dir.endswith(".incomplete") else None

    def _download_and_prepare(self, *args, **kwargs):
        self._preparing_process = os.getpid()
        for left in os.scandir(self._output_dir) if self._output_dir.endswith(".incomplete") else ():
            os.unlink(left.path)  # by a preparation that was killed; it must not become part of this one
        with ending_with_this():
            super()._download_and_prepare(*args, **kwargs)

    def _prepare_split_single(self, gen_kwargs, fpath, file_format, max_shard_size, job_id, **of_examples):
        if os.getpid() != self._preparing_process:
            end_with(self._preparing_process)  # it may have spawned this process, and not forked it
        try:
            yield from datasets.ArrowBasedBuilder._prepare_split_single(
                self, gen_kwargs, fpath, file_format, max_shard_size, job_id
            )
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


class _ResumingExamples(ExamplesIterable):
    """Examples that go on from a ``state_dict()`` at once, where ``datasets`` reads the shard up to there again."""

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
