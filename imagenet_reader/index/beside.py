"""The index of remote files, kept beside them in a file that ``imagenet-subsets index ARCHIVE --output FILE`` writes.

It has the form of a cached index, see ``kept``. Its metadata say of which files it is, wherever they are: their names
and sizes, and the SHA-256 of samples of their bytes.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from imagenet_reader.facts import ArchiveError
from imagenet_reader.index.kept import read_index_file, write_index_file
from imagenet_reader.io import open_file, stamps_of
from imagenet_reader.io.local import samples
from imagenet_reader.io.remote import ABSENT

SUFFIX = ".index"
_OF = b"files"


def write_beside(table: pa.Table, files: Sequence[str], output: str | os.PathLike[str]) -> None:
    """Write the index of some files to ``output``."""
    write_index_file(table.replace_schema_metadata({_OF: json.dumps(_described(files))}), os.fspath(output))


def read_beside(url: str, files: Sequence[str]) -> pa.Table | None:
    """The index of some files that is kept at ``url``; ``None`` if there is no such file."""
    try:
        with open_file(url) as file:
            content = file.read(0, file.stamp().size)
    except ABSENT:
        return None
    table = read_index_file(content)
    cure = f"Write it again (imagenet-subsets index ... --output {url.rpartition('/')[2]}), or remove it."
    if table is None or _OF not in (table.schema.metadata or {}):
        raise ArchiveError(f"{url} is damaged, or not an index that imagenet-subsets has written. {cure}")
    expected, found = _described(files), json.loads(table.schema.metadata[_OF])
    if found["sizes"] != expected["sizes"]:
        names = sorted(dict(set(map(tuple, found["sizes"])) ^ set(map(tuple, expected["sizes"]))))
        raise ArchiveError(
            f"{url} is the index of files with other names or sizes, such as {names[0]}: it is of "
            f"{len(found['sizes']):,} files, and there are {len(files):,}. {cure}"
        )
    if found != expected:
        raise ArchiveError(f"{url} is the index of files with other content than {files[0]}. {cure}")
    return table.replace_schema_metadata()


def _described(files: Sequence[str]) -> dict[str, Any]:
    """The names and sizes of files, and the SHA-256 of samples of the first and the last of them, ready for JSON."""
    digest, sizes = hashlib.sha256(), [stamp.size for stamp in stamps_of(files)]
    for path, size in {files[0]: sizes[0], files[-1]: sizes[-1]}.items():
        with open_file(path) as file:
            for sample in file.read_many(samples(size)):
                digest.update(sample)
    names = map(os.path.basename, files)
    return {"sizes": [[name, size] for name, size in zip(names, sizes)], "samples": digest.hexdigest()}
