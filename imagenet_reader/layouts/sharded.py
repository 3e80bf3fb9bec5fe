"""Layouts of many numbered files, such as ``train-00000-of-00294.parquet``."""

import glob
import os
import re
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.layouts.base import ImageSet, Layout
from imagenet_reader.sources.folders import matching
from imagenet_reader.sources.urls import is_url

SHOWN = 20  # files that are absent


class Sharded(Layout):
    """Numbered files; ``path`` is their pattern, as of ``glob``.

    Attributes:
        folders: patterns of the folders, below ``data_dir``, that may hold them, the likeliest first.
        patterns: name of a set of images -> pattern of its files.
        counts: name of a set of images -> how many files there are, if their names do not say it.
    """

    folders: ClassVar[tuple[str, ...]] = ("", "data")
    patterns: ClassVar[dict[str, str]] = {}
    counts: ClassVar[dict[str, int]] = {}

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "Sharded | None":
        """The files of the pattern, in the first folder that has some; in the last of several versions."""
        for folder in cls.folders:
            found = matching(_pattern(data_dir, folder, cls.patterns[images.name]))
            if found:
                return cls(_pattern(os.path.dirname(max(found)), "", cls.patterns[images.name]))
        return None

    def files(self) -> list[str]:
        """The files, by their number."""
        return matching(self.path)

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Which files are absent."""
        files = self.files()
        absent = _absent(files, self._count()) if files else []
        if not absent:
            return super().explain(missing)
        more = f" and {len(absent) - SHOWN:,} more" if len(absent) > SHOWN else ""
        return (
            f"{len(absent):,} of {len(absent) + len(files):,} files are absent from {os.path.dirname(files[0])}: "
            f"{', '.join(absent[:SHOWN])}{more}. Download them, too."
        )

    def _count(self) -> int | None:
        names = {pattern: name for name, pattern in self.patterns.items()}
        return self.counts.get(names.get(os.path.basename(self.path), ""))


def _pattern(data_dir: str, folder: str, pattern: str) -> str:
    """The pattern of files in a folder below ``data_dir``."""
    if is_url(data_dir):
        return "/".join(filter(None, (data_dir, folder, pattern)))
    return os.path.normpath(os.path.join(glob.escape(data_dir), folder, pattern))


def _absent(files: list[str], count: int | None) -> list[str]:
    """The names of the files that are absent from a numbered series, of which there are ``files``."""
    name = os.path.basename(files[0])
    matches = list(re.finditer(r"\d+", name))
    match = next((m for m in matches if re.match(r"-of-\d", name[m.end() :])), None)
    if match is not None:
        count = int(name[match.end() + len("-of-") :].partition(".")[0])
    else:
        match = matches[-1]
    width = len(match.group())
    expected = [f"{name[: match.start()]}{number:0{width}d}{name[match.end() :]}" for number in range(count or 0)]
    return sorted(set(expected) - set(map(os.path.basename, files)))


def joined(tables: list[pa.Table], files: list[str]) -> pa.Table:
    """The members of several files as one table, with the column ``file``.

    Raises:
        ArchiveError: two files hold the same image.
    """
    numbered = [
        table.append_column("file", pa.array([number] * len(table), pa.int64())) for number, table in enumerate(tables)
    ]
    table = pa.concat_tables(numbered).combine_chunks()
    counts = table["name"].value_counts()
    twice = counts.filter(pa.compute.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        holders = table.filter(pa.compute.equal(table["name"], twice[0]))["file"].to_pylist()
        raise ArchiveError(
            f"{len(twice):,} images exist twice, such as {os.fsdecode(twice[0])}, in "
            f"{' and in '.join(files[number] for number in holders[:2])}; expected each image once. Remove the files "
            "that are copies or of another download."
        )
    return table
