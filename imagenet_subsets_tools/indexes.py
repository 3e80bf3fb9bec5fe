"""Index archives before the first load, and write indexes to put beside remote archives."""

import dataclasses
import os
from collections.abc import Iterator

from imagenet_reader.index.kept import index_path, write_beside
from imagenet_reader.io import Listing
from imagenet_reader.io.paths import is_url, normalize_data_dir
from imagenet_reader.layouts.archives import OfficialTar
from imagenet_reader.layouts.base import IMAGE_SETS, Layout
from imagenet_reader.layouts.find import find_layout


@dataclasses.dataclass(frozen=True)
class Indexed:
    """An indexed archive, or the pattern or folder of the files, and the number of its images."""

    path: str
    images: int
    index: str | None  # its path; None if it could not be cached


def index_archives(paths: list[str], output: str | os.PathLike[str] | None = None) -> Iterator[Indexed]:
    """Index archives and yield each.

    Before remote files without an index are read, it warns how many bytes they have.

    Args:
        paths: archives, or folders with images in any layout that has an index; paths or URLs.
        output: a file for the index of a single archive, or a folder for all indexes, named as the loader expects them
            beside remote files; by default, the indexes are only cached.

    Raises:
        OSError, ArchiveError: a file cannot be read or written, or an archive is not as expected.
    """
    layouts = [layout for path in paths for layout in _layouts(path)]
    in_folder = output is not None and (len(layouts) > 1 or os.path.isdir(output))
    if output is not None and in_folder:
        os.makedirs(output, exist_ok=True)
    for layout in layouts:
        layout.check()
        table, index = layout.make_index(), index_path(layout.path)
        if output is not None:
            index = os.path.join(output, layout.index_url.rpartition("/")[2]) if in_folder else os.fspath(output)
            write_beside(table, layout.files, index)
        yield Indexed(layout.path, len(table), index if os.path.exists(index) else None)


def _layouts(path: str) -> list[Layout]:
    path = normalize_data_dir(path)
    # A web server answers for a folder, too.
    if path.endswith(".tar") if is_url(path) else not os.path.isdir(path):
        return [OfficialTar.at(path)]
    listing = Listing()
    found = dict.fromkeys(find_layout(name, path, listing) for name in IMAGE_SETS)
    if not (indexable := [layout for layout in found if layout is not None and layout.indexable]):
        raise FileNotFoundError(
            f"{path} holds no official archives, class tars, WebDataset tars or TFDS records; only these have an index."
        )
    return indexable
