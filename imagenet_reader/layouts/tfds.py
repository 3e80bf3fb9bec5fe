"""What TensorFlow Datasets has prepared of ``imagenet2012``, read without TensorFlow."""

import concurrent.futures
from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.formats.tfrecord import list_examples
from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.layouts.indexable import Advance, Indexable, Passed, pass_files
from imagenet_reader.layouts.sharded import Sharded, joined
from imagenet_reader.sources import open_file

THREADS = 16


class Tfds(Sharded, Indexable):
    """TFRecord files of examples that hold the image files."""

    name: ClassVar = "TFDS records"
    format: ClassVar = "range"
    folders: ClassVar = ("", "imagenet2012/*", "*")
    patterns: ClassVar = {name: f"imagenet2012-{name}.tfrecord-*-of-*" for name in ("train", "validation", "test")}

    def list_members(self, files: list[str]) -> pa.Table:
        """Hop over the records of all files."""
        with (
            progress_bar(f"Indexing {self.path}", len(files), unit=" files") as bar,
            concurrent.futures.ThreadPoolExecutor(THREADS) as pool,
        ):
            tables = []
            for table in pool.map(_list_file, files):
                tables.append(table)
                bar.update(1)
        return joined(tables, files)

    def passes(self, files: list[str], advance: Advance) -> Iterator[Passed]:
        """Pass over the files."""
        return pass_files(files, list_examples, advance)


def _list_file(path: str) -> pa.Table:
    with open_file(path) as file:
        return list_examples(file)
