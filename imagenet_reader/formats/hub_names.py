"""Official file names from the names that images have on the Hub.

The Hub's ImageNet adds the class to the names of training and validation images, ``n01440764_10026_n01440764.JPEG`` and
``ILSVRC2012_val_00000001_n01751748.JPEG``, but not to those of test images, ``ILSVRC2012_test_00000001.JPEG``. See the
script ``imagenet-1k.py`` of ``ILSVRC/imagenet-1k``, which takes the labels from these names.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

# Of a path without its folders, with which Arrow would take twice as long. Re-encoded copies have other extensions.
PATTERN = (  # in Arrow's and in Python's syntax
    r"^(?P<stem>(?P<wnid>n\d{8})_\d+|ILSVRC2012_val_\d{8}|ILSVRC2012_test_\d{8})"
    r"(?:_(?P<added>n\d{8}))?(?:\.\w+)?$"
)
_NAME = re.compile(PATTERN, re.ASCII)
PART = 1 << 16  # paths that a thread takes at once


def official_name(path: str) -> str | None:
    """The official file name in a path, such as ``n01440764_10026.JPEG``; ``None`` if the path has none.

    The path may have folders, an added wnid, and any extension or none. A training image with the wnid of another class
    added has no official name.
    """
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None or (match["wnid"] and match["added"] not in (None, match["wnid"])):
        return None
    return f"{match['stem']}.JPEG"


def official_names(paths: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """``official_name`` of each path.

    Args:
        paths: ``string`` or ``large_string``, ``[n]``.

    Returns:
        the same type, ``[n]``; null for paths that are null or have no official name.
    """
    if len(paths) < PART or not isinstance(paths, pa.ChunkedArray):
        return _official_names(paths)
    parts = [paths.slice(start, PART) for start in range(0, len(paths), PART)]
    with ThreadPoolExecutor() as pool:
        found = pool.map(_official_names, parts)
        return pa.chunked_array([chunk for part in found for chunk in part.chunks], paths.type)


def _official_names(paths: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if pc.any(pc.match_substring(paths, "/")).as_py():
        paths = pc.replace_substring_regex(paths, "(?s)^.*/", "")
    parts = pc.extract_regex(paths, PATTERN)
    stem, wnid, added = (pc.struct_field(parts, name) for name in ("stem", "wnid", "added"))
    other_class = pc.and_(
        pc.and_(pc.not_equal(wnid, ""), pc.not_equal(added, "")),
        pc.not_equal(wnid, added),
    )
    names = pc.binary_join_element_wise(stem, pa.scalar(".JPEG", paths.type), pa.scalar("", paths.type))
    return pc.if_else(other_class, pa.scalar(None, paths.type), names)
