"""Check which configs can be loaded from a folder: ``check_archives`` checks, ``format_report`` formats the report."""

import dataclasses
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import facts, lists
from imagenet_reader.facts import ArchiveError, ChangedFile
from imagenet_reader.files import naming
from imagenet_reader.formats.tar import MEMBERS
from imagenet_reader.index.kept import kept_index, load_index
from imagenet_reader.io import Listing, exists, open_python_file, stamp_of
from imagenet_reader.io.paths import join, normalize_data_dir
from imagenet_reader.layouts.base import ALL, IMAGE_SETS, Layout, Request
from imagenet_reader.layouts.find import describe_missing, find_layout
from imagenet_reader.layouts.shards import Tfds
from imagenet_reader.log import progress_bar, warn
from imagenet_reader.reading.batches import DamagedImage, OpenReader, is_damage, read_checked, reason, work_in_parts
from imagenet_reader.rows import Rows, as_arrays, locate, named_tuples, training_names
from imagenet_reader.text import format_bytes
from imagenet_subsets import SUBSETS

OFFICIAL_SHA256 = {
    facts.TRAIN_ARCHIVE: "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
    facts.VALIDATION_ARCHIVE: "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
}

_HASHED_BYTES = 8 << 20  # per read
_ROW_IMAGE = datasets.Image(mode="RGB")


def check_archives(
    data_dir: str | os.PathLike[str], full: bool = False, decode: bool = False, num_proc: int | None = None
) -> dict[str, Any]:
    """Check which configs can be loaded from a folder.

    In any layout, all images are indexed, which checks the structure of archives, and all listed images are looked up.
    Unreadable archives are reported, and the others still checked. An unofficial size is reported but is no failure.

    Args:
        data_dir: the folder that holds the images, as for ``imagenet_subsets.load_dataset``.
        full: also compare the SHA-256 of the archives with the official ones, from which stand-ins differ.
        decode: also decode every listed image, each once. This misses damage that leaves a JPEG decodable but changes
            its pixels; ``full`` detects it.
        num_proc: number of threads that decode, one per core by default.

    Returns:
        ``dict``, ready for JSON: ``ok``, whether every split of the published lists can be loaded (except ``full``,
        which few people need) and all other requested checks pass; ``data_dir``; ``archives``, a ``dict`` with the
        attributes of ``Archive`` per archive or folder; and ``splits``, one with ``config``, ``split`` and those of
        ``Split`` per split. Values that were not requested or cannot be determined are ``None``.

    Raises:
        ValueError: ``data_dir`` is no path or URL that can be read.

    Example:

        >>> report = check_archives("/data/imagenet")
        >>> report["ok"], report["splits"][0]["found"]
        (True, 12811)
    """
    data_dir = normalize_data_dir(data_dir)
    published = {name: lists.read_split_list(name) for name in lists.LISTS}
    of_validation, of_test = dict(published["validation"]), dict(lists.test_images())
    requests = {"train": ALL, "validation": Request(images=of_validation), "test": Request(images=of_test)}
    archives: list[Archive] = []
    of_lists: dict[str, Split] = {}
    for layout, archive in _find_layouts(data_dir).items():
        table, request = MEMBERS.empty_table(), requests[archive.kinds[0]]
        names = [name for name in published if ("validation" if name == "validation" else "train") in archive.kinds]
        try:
            if isinstance(layout, Layout):
                table = _check_layout(layout, archive, request, full)
                if decode and names:
                    listed = np.concatenate([locate(*as_arrays(published[name]), table) for name in names])
                    archive.damaged = _decode_images(layout, request, listed, num_proc or os.cpu_count() or 1)
        except (ArchiveError, OSError) as error:
            archive.errors.append(str(error))
        archive.ok = not archive.errors and archive.sha256 in (None, archive.official_sha256)
        archives.append(archive)
        of_lists |= {name: _check_list(locate(*as_arrays(published[name]), table), archive) for name in names}
        if "train" in archive.kinds:
            of_lists["full"] = _check_all(table, archive)
    splits = [
        {"config": config, "split": split, **dataclasses.asdict(of_lists[name])}
        for config, subset in SUBSETS.items()
        for split, name in subset.items()
    ]
    ok = all(archive.ok for archive in archives) and all(split["ok"] for split in splits if split["config"] != "full")
    return {"ok": ok, "data_dir": data_dir, "archives": list(map(dataclasses.asdict, archives)), "splits": splits}


@dataclasses.dataclass
class Archive:
    kinds: list[str]  # out of "train", "validation", "test"
    layout: str  # in words; empty if there are no such images
    path: str
    name: str  # the end of the path
    bytes: int | None = None
    official_bytes: int | None = None
    images: int | None = None  # members
    classes: int | None = None  # with training images
    sha256: str | None = None  # hex
    official_sha256: str | None = None
    errors: list[str] = dataclasses.field(default_factory=list)
    damaged: list[dict[str, Any]] | None = None  # "name", "offset" in bytes, "place" in words, "error"
    ok: bool = False


@dataclasses.dataclass(frozen=True)
class Split:
    archive: str  # its name
    listed: int  # images
    found: int | None
    damaged: int | None
    absent: list[str]  # the first three
    lacking_classes: dict[str, list[int]] | None  # wnid -> [found, listed] of each incomplete class
    ok: bool


def _find_layouts(data_dir: str) -> dict[Layout | str, Archive]:
    """An empty report on each layout in a folder, or by the kind of the images if there are none of it."""
    listing, found, missing = Listing(), dict[Layout | str, Archive](), dict[Layout | str, Archive]()
    for kind, images in IMAGE_SETS.items():
        layout = find_layout(kind, data_dir, listing)
        if layout is not None:
            empty = Archive([], layout.name, layout.path, os.path.basename(layout.path))
            found.setdefault(layout, empty).kinds.append(kind)
        elif kind != "test":  # few people have the test images
            message = describe_missing(kind, ["train", "validation"], data_dir, listing)
            archive = images.archives[0]
            missing[kind] = Archive([kind], "", join(data_dir, archive), archive, errors=[message])
    return found | missing


def _check_layout(layout: Layout, archive: Archive, request: Request, full: bool) -> pa.Table:
    """Check an archive or a folder; return a table of its images."""
    archive.official_bytes = facts.OFFICIAL_SIZES.get(archive.name)
    archive.official_sha256 = OFFICIAL_SHA256.get(archive.name)
    if exists(layout.path):
        archive.bytes = stamp_of(layout.path).size
        if full and archive.official_sha256:
            archive.sha256 = _sha256(layout.path, archive.bytes)
    layout.check()
    table = layout.list_images(request) if layout.in_place else _list_all(layout)
    archive.images = table.num_rows
    is_test_image = pc.match_substring_regex(table["name"], facts.TEST_NAME.pattern.decode())
    if "test" in archive.kinds[1:] and not pc.any(is_test_image).as_py():
        archive.kinds.remove("test")
    return table


def _list_all(layout: Layout) -> pa.Table:
    """The images of a layout that must be extracted; the list is kept like an index."""
    snapshot = layout.snapshot()
    if layout.path.endswith(".gz") and load_index(layout.path, snapshot.identity) is None:
        size = format_bytes(sum(stamp.size for stamp in snapshot.stamps))
        warn(f"{layout.path} is read to its end, {size}; the list of its images is kept for the next check.")
    return kept_index(layout.path, snapshot.identity, layout.list_members)


def _sha256(path: str, size: int) -> str:
    digest = hashlib.sha256()
    bar = progress_bar(f"Hashing {os.path.basename(path)}", size)
    with naming(path, "hashing"), open_python_file(path) as file, bar:
        while content := file.read(_HASHED_BYTES):
            digest.update(content)
            bar.update(len(content))
    return digest.hexdigest()


def _check_all(table: pa.Table, archive: Archive) -> Split:
    found, listed = None, lists.TRAIN_IMAGES
    if archive.images is not None:
        wnids = pc.utf8_slice_codeunits(training_names(table), facts.WNID.start, facts.WNID.stop)
        wnids = wnids.filter(pc.is_in(wnids, value_set=pa.array(lists.read_wnids())))
        found, archive.classes = len(wnids), len(wnids.unique())
    return Split(archive.name, listed, found, None, [], None, found == listed)


def _check_list(rows: Rows, archive: Archive) -> Split:
    labels, present, readable = rows["label"], rows["size"] > 0, archive.images is not None
    found, due = (np.bincount(some, minlength=1000).tolist() for some in (labels[present], labels))
    counts = zip(lists.read_wnids(), found, due)
    broken = {image["name"].encode() for image in archive.damaged or []}.intersection(rows["name"].tolist())
    damaged = None if archive.damaged is None else len(broken)
    return Split(
        archive=archive.name,
        listed=len(rows),
        found=int(present.sum()) if readable else None,
        damaged=damaged,
        absent=[name.decode() for name in rows["name"][~present][:3].tolist()] if readable else [],
        lacking_classes={wnid: [found, listed] for wnid, found, listed in counts if found < listed and readable},
        ok=not archive.errors and bool(present.all()) and not damaged,
    )


def _decode_images(layout: Layout, request: Request, rows: Rows, threads: int) -> list[dict[str, Any]]:
    """Decode images, each once, and describe the damaged ones in archive order."""
    if not layout.in_place:
        raise ArchiveError(f"The images of {layout.path} cannot be decoded in place. Unpack it and check the folder.")
    reader = layout.index(layout.snapshot(), request).reader
    rows = np.unique(rows[rows["size"] > 0])
    corrupt = layout.corrupt_images(rows["name"].tolist()) if isinstance(layout, Tfds) else set()

    def decode(opened: OpenReader, part: list[int]) -> list[dict[str, Any]]:
        damaged, some = [], list(named_tuples(rows[part]))
        for row, place in zip(some, opened.places(some)):
            if opened.stop.is_set():
                break
            try:
                if row.name in corrupt:
                    raise ValueError("its checksum differs")
                image = read_checked(place, memoryview(bytearray(row.size)))
                _ROW_IMAGE.decode_example({"path": None, "bytes": bytes(image)})
            except Exception as error:  # Pillow's errors have no common base
                if isinstance(error, ChangedFile) or not (isinstance(error, ArchiveError) or is_damage(error)):
                    raise
                text = reason(error.__cause__ if isinstance(error, DamagedImage) else error)
                where = {"offset": getattr(row, "offset", None), "place": reader.describe(row)}  # None: extracted
                damaged.append({"name": row.name.decode(), **where, "error": text})
        return damaged

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd EXIF data, which affects no pixel
        parts = work_in_parts(reader, rows, decode, threads, f"Decoding {os.path.basename(layout.path)}")
    return [image for damaged in parts for image in damaged]


def format_report(report: dict[str, Any]) -> str:
    """Format a report of ``check_archives`` as text: layouts, two tables, problems and advice.

    Of a folder without images, only what is wrong with it.

    Example:

        >>> print(format_report(check_archives("/data/imagenet")).splitlines()[-1])
        Every config can be loaded: imagenet_subsets.load_dataset("1pct", data_dir="/data/imagenet")
    """
    there = [archive for archive in report["archives"] if archive["layout"]]
    if not there:
        return str(report["archives"][0]["errors"][0])
    found = [(" and ".join(archive["kinds"]) + ":", archive["layout"], archive["path"]) for archive in there]
    archives = [("archive", "bytes", "official size", "images", "classes", "SHA-256", ""), *map(_archive_row, there)]
    splits = [("config", "split", "found", "incomplete classes", ""), *map(_split_row, report["splits"])]
    tables = text_table("<<<", found), text_table("<><>><<", archives), text_table("<<>><", splits)
    remarks = [line for archive in report["archives"] for line in _remarks(archive)]
    blocks = *tables, remarks, _conclusion(report)
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def text_table(sides: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines; ``sides`` has a ``<`` or ``>`` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    padded = [[f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)] for row in rows]
    return ["  ".join(cells).rstrip() for cells in padded]


def _archive_row(archive: dict[str, Any]) -> tuple[str, ...]:
    size, official = archive["bytes"], archive["official_bytes"]
    is_official = "-" if None in (size, official) else "yes" if size == official else "no"
    digest = {archive["official_sha256"]: "official", None: "-"}.get(archive["sha256"], "differs")
    numbers = _number(size), is_official, _number(archive["images"]), _number(archive["classes"])
    return archive["name"], *numbers, digest, "ok" if archive["ok"] else "see below"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _split_row(split: dict[str, Any]) -> tuple[str, ...]:
    place, found, listed, absent = (split["config"], split["split"]), split["found"], split["listed"], split["absent"]
    if found is None:
        return *place, "-", "-", "see below"
    wrong = []
    if found < listed:
        wrong.append(f"{listed - found:,} absent" + (f", such as {', '.join(absent)}" if absent else ""))
    if split["damaged"]:
        wrong.append(f"{split['damaged']:,} damaged")
    incomplete = None if split["lacking_classes"] is None else len(split["lacking_classes"])
    result = "; ".join(wrong) or ("ok" if split["ok"] else "see below")
    return *place, f"{found:,} of {listed:,}", _number(incomplete), result


def _remarks(archive: dict[str, Any]) -> Iterator[str]:
    name, damaged = archive["name"], archive["damaged"] or []
    yield from archive["errors"]
    if archive["official_bytes"] is not None and archive["bytes"] not in (None, archive["official_bytes"]):
        yield f"{name}: the official one has {archive['official_bytes']:,} bytes; this is a stand-in, or incomplete."
    if archive["sha256"] not in (None, archive["official_sha256"]):
        yield f"{name}: its SHA-256, {archive['sha256']}, is not the official one; it is damaged, or a stand-in."
    yield from (f"{image['place']} is damaged: {image['error']}" for image in damaged[:10])
    if damaged[10:]:
        yield f"{name}: {len(damaged) - 10:,} more images are damaged; --json lists them."


def _conclusion(report: dict[str, Any]) -> list[str]:
    splits = report["splits"]
    call = f'imagenet_subsets.load_dataset("{splits[0]["config"]}", data_dir="{report["data_dir"]}")'
    short = {split["config"] for split in splits if not split["ok"]}
    if not short:
        return [f"Every config can be loaded: {call}"]
    if short == {"full"}:
        rest = f"full would need all {lists.TRAIN_IMAGES:,} training images."
        return [f"Every config but full can be loaded: {call}", rest]
    loadable = []
    for config in SUBSETS:
        complete = [split["split"] for split in splits if split["config"] == config and split["ok"]]
        if complete:
            loadable.append(f"{config} with splits={complete}" if config in short else config)
    lines = [f"Can be loaded: {'; '.join(loadable) or 'nothing'}."]
    if any(split["damaged"] or split["absent"] for split in splits):
        lines += [
            "If the absent or damaged images should be there, unpack them again, or download their files again.",
            'To load a split without missing or truncated images, pass splits=[...] and on_missing="skip".',
        ]
    return lines
