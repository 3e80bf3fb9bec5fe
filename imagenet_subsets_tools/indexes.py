"""Index archives before the first load, and write indexes to put beside remote archives."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from imagenet_reader.index.beside import write_beside
from imagenet_reader.index.kept import index_path
from imagenet_reader.layouts.base import IMAGE_SETS, Wanted
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.layouts.indexable import Indexable, OnePass
from imagenet_reader.layouts.official_tar import OfficialTar
from imagenet_reader.sources.urls import is_url, known_location


@dataclasses.dataclass(frozen=True)
class Indexed:
    """An indexed archive.

    Attributes:
        path: the archive, or the pattern or folder of the files.
        images: the number of its images.
        index: the path of its index; ``None`` if it could not be cached.
    """

    path: str
    images: int
    index: str | None


def index_archives(paths: list[str], output: str | os.PathLike[str] | None = None) -> Iterator[Indexed]:
    """Index archives and yield each.

    Args:
        paths: archives, or folders with images in any layout that has an index; paths or URLs.
        output: a file for the index of a single archive, or a folder for all indexes, named as the loader expects them
            beside remote files; by default, the indexes are only cached.

    Raises:
        ArchiveError: an archive is not as expected.
        FileExistsError: ``output`` is a file, but there are several archives.
        OSError: a file cannot be read or written.
    """
    layouts = [layout for path in paths for layout in _layouts(path)]
    if output is not None and len(layouts) > 1 and os.path.isfile(output):
        raise FileExistsError(f"{output} is a file, but there are {len(layouts)} archives: pass a folder.")
    for layout in layouts:
        layout.check()
        table = layout.list_images(Wanted(lambda: None))
        index: str | None = index_path(layout.path)
        if output is not None:
            index = _output(output, layout, len(layouts))
            write_beside(table, layout.files(), index)
        yield Indexed(layout.path, len(table), index if os.path.exists(index or "") else None)


def _layouts(path: str) -> list[Indexable]:
    """The archive at ``path``, or the layouts in the folder at ``path``."""
    path = known_location(path)
    # A web server answers for a folder, too.
    if path.endswith(".tar") if is_url(path) else not os.path.isdir(path):
        return [OfficialTar(path)]
    found = [find_layout(name, path) for name in IMAGE_SETS]
    layouts = dict.fromkeys(layout.layout if isinstance(layout, OnePass) else layout for layout in found)
    indexable = [layout for layout in layouts if isinstance(layout, Indexable)]
    if not indexable:
        raise FileNotFoundError(
            f"{path} holds no official archives, class tars, WebDataset tars or TFDS records; only these have an index."
        )
    return indexable


def _output(output: str | os.PathLike[str], layout: Indexable, count: int) -> str:
    """The path to write an index to."""
    if count == 1 and not os.path.isdir(output):
        return os.fspath(output)
    Path(output).mkdir(parents=True, exist_ok=True)
    return os.path.join(output, layout.index_url.rpartition("/")[2])
