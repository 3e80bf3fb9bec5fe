"""Official file names from the names that images have elsewhere.

The Hub's ImageNet adds the class to the names of training and validation images, ``n01440764_10026_n01440764.JPEG`` and
``ILSVRC2012_val_00000001_n01751748.JPEG``, but not to those of test images, ``ILSVRC2012_test_00000001.JPEG``. See the
script ``imagenet-1k.py`` of ``ILSVRC/imagenet-1k``, which takes the labels from these names.

In WebDataset tars, the members ``<stem>.jpg``, ``<stem>.cls`` and ``<stem>.json`` form a sample; folders belong to the
stem. An image's name is the last part of the stem if that is an official name, else that of ``filename`` in the JSON.
"""

import json
import os
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.facts import ArchiveError
from imagenet_reader.formats.tar import BLOCK, full_name, walk_tar
from imagenet_reader.io.local import File

# Of a path without its folders, with which Arrow would take twice as long. Re-encoded copies have other extensions.
PATTERN = (  # in Arrow's and in Python's syntax
    r"^(?P<stem>(?P<wnid>n\d{8})_\d+|ILSVRC2012_val_\d{8}|ILSVRC2012_test_\d{8})"
    r"(?:_(?P<added>n\d{8}))?(?:\.\w+)?$"
)
_NAME = re.compile(PATTERN, re.ASCII)
# A stem ends at the first dot of the file's name: https://github.com/webdataset/webdataset, "The WebDataset Format".
MEMBER = r"^(?P<stem>(?:.*/)?[^./]+)\.(?P<kind>[^/]*)$"
IMAGES = pa.array([b"jpg", b"jpeg", b"JPEG"])


def official_name(path: object) -> str | None:
    """The official file name in a path; ``None`` if it has none, or the wnid of another class added, or is no text."""
    match = _NAME.fullmatch(path.rpartition("/")[2]) if isinstance(path, str) else None
    if match is None or (match["wnid"] and match["added"] not in (None, match["wnid"])):
        return None
    return f"{match['stem']}.JPEG"


def official_names(paths: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """``official_name`` of each path."""
    if pc.any(pc.match_substring(paths, "/")).as_py():
        paths = pc.replace_substring_regex(paths, "(?s)^.*/", "")
    parts = pc.extract_regex(paths, PATTERN)
    stem, wnid, added = (pc.struct_field(parts, name) for name in ("stem", "wnid", "added"))
    named = pc.and_(pc.not_equal(wnid, ""), pc.not_equal(added, ""))
    other_class = pc.and_(named, pc.not_equal(wnid, added))
    names = pc.binary_join_element_wise(stem, pa.scalar(".JPEG", paths.type), pa.scalar("", paths.type))
    return pc.if_else(other_class, pa.scalar(None, paths.type), names)


def check_unique(images: pa.Table, files: Sequence[str]) -> None:
    """Raise ``ArchiveError`` if two images, ``name`` and ``file`` (a number in ``files``), have the same name."""
    counts = images["name"].value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        holders = images.filter(pc.equal(images["name"], twice[0]))["file"].to_pylist()
        raise ArchiveError(
            f"{len(twice):,} images exist twice, such as {os.fsdecode(twice[0])}, in "
            f"{' and in '.join(files[number] for number in holders[:2])}; expected each image once. Remove "
            "duplicates or files of another download."
        )


def list_samples(file: File) -> pa.Table:
    """The images in a WebDataset tar."""
    members = walk_tar(file, full_name)
    parts = pc.extract_regex(members["name"], MEMBER)
    members = members.append_column("stem", pc.struct_field(parts, "stem"))
    kinds = pc.struct_field(parts, "kind")
    images = members.filter(pc.is_in(kinds, IMAGES))
    stems = [os.fsdecode(stem) for stem in images["stem"].to_pylist()]
    names = list(map(official_name, stems))
    if None in names:
        jsons = members.filter(pc.equal(kinds, b"json")).to_pylist()
        places = {os.fsdecode(row["stem"]): (row["offset"] + BLOCK, row["size"]) for row in jsons}
        names = [name or _name_in_json(stem, places.get(stem), file) for stem, name in zip(stems, names)]
    official = pa.array(names, pa.string()).cast(pa.binary())
    return pa.table({"name": official, "offset": pc.add(images["offset"], BLOCK), "size": images["size"]})


def _name_in_json(stem: str, place: tuple[int, int] | None, file: File) -> str:
    value, found = None, f"the tar has no {stem}.json"
    if place is not None:
        content = file.read(*place)
        found = f"{stem}.json contains {content[:200].decode(errors='replace')}"
        try:
            value = json.loads(content)
        except ValueError as error:
            found = f"{stem}.json is not valid JSON ({error})"
    name = official_name(value.get("filename")) if isinstance(value, dict) else None
    if name is None:
        raise ArchiveError(
            f"{file.path}: {stem} is not the name of an ImageNet image, and {found}; expected the name in its field "
            'filename, such as {"filename": "n01440764/n01440764_10026.JPEG"}. Download it again, or remove it if it '
            "belongs to another dataset."
        )
    return name
