"""Images in WebDataset tars, in which the members ``<stem>.jpg``, ``<stem>.cls`` and ``<stem>.json`` form a sample.

An image's name is the stem if that is an official name, otherwise the last part of ``filename`` in the JSON.
"""

import json
import os

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.hub_names import official_name
from imagenet_reader.formats.tar_header import BLOCK
from imagenet_reader.sources import File

# A stem ends at the first dot: https://github.com/webdataset/webdataset, "The WebDataset Format".
MEMBER = r"^(?P<stem>[^.]+)\.(?P<kind>.*)$"
IMAGES = pa.array([b"jpg", b"jpeg", b"JPEG"])
JSON, FILENAME = b"json", "filename"
CURE = "Download it again, or remove it if it belongs to another dataset"


def list_images(members: pa.Table, file: File) -> pa.Table:
    """The images in a WebDataset tar.

    Args:
        members: the members of the tar, with the columns ``name`` (``binary``, without folders), ``offset`` (of the
            header) and ``size``.
        file: the tar; the JSON of an image is read if the stem is not an official name.

    Returns:
        ``pa.Table``, one row per image: ``name`` (``binary``, the official file name), ``offset`` and ``size``
        (``int64``) of the image's bytes in the file, without a header.

    Raises:
        ArchiveError: an image has no official name.
        OSError: the file cannot be read.
    """
    parts = pc.extract_regex(members["name"], MEMBER)
    members = members.append_column("stem", pc.struct_field(parts, "stem"))
    kinds = pc.struct_field(parts, "kind")
    images = members.filter(pc.is_in(kinds, IMAGES))
    stems = [os.fsdecode(stem) for stem in images["stem"].to_pylist()]
    names = list(map(official_name, stems))
    if None in names:
        jsons = members.filter(pc.equal(kinds, JSON)).to_pylist()
        places = {os.fsdecode(row["stem"]): (row["offset"] + BLOCK, row["size"]) for row in jsons}
        names = [name or _name_in_json(stem, places.get(stem), file) for stem, name in zip(stems, names)]
    names = pa.array(names, pa.string()).cast(pa.binary())
    return pa.table({"name": names, "offset": pc.add(images["offset"], BLOCK), "size": images["size"]})


def _name_in_json(stem: str, place: tuple[int, int] | None, file: File) -> str:
    if place is None:
        raise _unnamed(file, stem, f"the tar has no {stem}.json")
    content = file.read(*place)
    try:
        value = json.loads(content)
    except ValueError as error:
        raise _unnamed(file, stem, f"{stem}.json is not valid JSON ({error})") from None
    filename = value.get(FILENAME) if isinstance(value, dict) else None
    name = official_name(filename) if isinstance(filename, str) else None
    if name is None:
        raise _unnamed(file, stem, f"{stem}.json contains {content[:200].decode(errors='replace')}")
    return name


def _unnamed(file: File, stem: str, found: str) -> ArchiveError:
    return ArchiveError(
        f"{file.path}: {stem} is not the name of an ImageNet image, and {found}; expected the name in its field "
        f'{FILENAME}, such as {{"{FILENAME}": "n01440764/n01440764_10026.JPEG"}}. {CURE}.'
    )
