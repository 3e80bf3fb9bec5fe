"""Check whether the archives can give each config: ``check_archives`` looks, ``format_report`` tells."""

import concurrent.futures
import contextlib
import hashlib
import itertools
import os
import signal
import warnings

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.utils import tqdm

import imagenet_subsets
from imagenet_subsets import LISTS, OFFICIAL_SIZES, SPLIT_FILES, SUBSETS, TRAIN_ARCHIVE, VALIDATION_ARCHIVE

OFFICIAL_SHA256 = {
    TRAIN_ARCHIVE: "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
    VALIDATION_ARCHIVE: "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
}

_HASHED_AT_ONCE = 8 << 20  # bytes
_DECODED_AT_ONCE = 256  # images that a process is given at a time
_AS_IN_ROWS = datasets.Image(mode="RGB")


def check_archives(data_dir, full=False, decode=False, num_proc=None):
    """Tell whether the two archives in a folder can give each config.

    Each archive is indexed, which checks its structure, and every listed image is looked up. A size that is not the
    official one is told and is no failure: what the archive holds decides. An archive that cannot be read becomes part
    of the report, which covers the other one all the same.

    Args:
        data_dir: the folder that holds the two archives.
        full: also compare the SHA-256 of the whole files with the official ones; those of stand-ins differ.
        decode: also decode every listed image, each once, as ``datasets`` does. Damage that leaves a JPEG decodable,
            with other pixels, does not show; it does with ``full``.
        num_proc: how many processes decode, one a core by default. As with any use of several processes, a script then
            calls this under ``if __name__ == "__main__":``.

    Returns:
        ``dict``, ready for JSON; what was not asked for, or cannot be known, is ``None``.

        - ``ok``: ``bool``, whether every split can be given and all else that was asked for is right.
        - ``data_dir``: ``str``.
        - ``archives``: ``list[dict]`` with ``name``, ``bytes``, ``official_bytes``, ``images`` (members), ``classes``
          (with members), ``sha256`` and ``official_sha256`` (hex), ``errors`` (``list[str]``), ``damaged``
          (``list[dict]`` with ``name``, ``offset`` of the tar header in bytes, ``error``), ``ok``.
        - ``splits``: ``list[dict]`` with ``config``, ``split``, ``archive`` (name), ``listed``, ``found`` and
          ``damaged`` (images), ``absent`` (``list[str]``, the first three), ``lacking_classes`` (``dict``,
          wnid -> [found, listed] of each class that lacks images), ``ok``.

    Raises:
        ValueError: ``split_files/`` does not hold the published lists.

    Example:

        >>> report = check_archives("/data/imagenet")
        >>> report["ok"], report["splits"][0]["found"]
        (True, 12811)
    """
    data_dir = os.path.abspath(os.path.expanduser(data_dir))
    wnids = [wnid for wnid, _ in imagenet_subsets.read_classes(SPLIT_FILES / "classes.parquet")]
    archives, of_list = [], {}
    for name in OFFICIAL_SIZES:
        path = os.path.join(data_dir, name)
        archive, index = _check_archive(path, full)
        lists = {of: _find_images(of, wnids, index) for of in LISTS if _archive_of(of) == name}
        if decode and index is not None:
            with _noting(archive):
                archive["damaged"] = _decode_images(path, np.concatenate(list(lists.values())), num_proc)
        archive["ok"] = not archive["errors"] and archive["sha256"] in (None, archive["official_sha256"])
        archives.append(archive)
        of_list |= {of: _check_list(images, archive, wnids) for of, images in lists.items()}
    splits = [
        {"config": config, "split": split, "archive": _archive_of(of), **of_list[of]}
        for config, lists in SUBSETS.items()
        for split, of in lists.items()
    ]
    ok = all(checked["ok"] for checked in archives + splits)
    return {"ok": ok, "data_dir": data_dir, "archives": archives, "splits": splits}


def _archive_of(of):
    return VALIDATION_ARCHIVE if of == "validation" else TRAIN_ARCHIVE


@contextlib.contextmanager
def _noting(archive):
    """Make errors that an archive causes a part of the report."""
    try:
        yield
    except (imagenet_subsets.ArchiveError, OSError) as error:
        archive["errors"].append(str(error))


def _check_archive(path, full):
    """What the report says of an archive, and its index, or ``None`` if it cannot be read."""
    name, index = os.path.basename(path), None
    archive = {"name": name, "bytes": None, "official_bytes": OFFICIAL_SIZES[name], "images": None, "classes": None}
    archive |= {"sha256": None, "official_sha256": OFFICIAL_SHA256[name], "errors": [], "damaged": None}
    with _noting(archive):
        index = imagenet_subsets.read_index(path)
        archive["images"] = index.num_rows
        if name == TRAIN_ARCHIVE:
            archive["classes"] = pc.count_distinct(pc.binary_slice(index["name"], 0, len("n01440764"))).as_py()
    if os.path.isfile(path):
        archive["bytes"] = os.path.getsize(path)
        with _noting(archive), imagenet_subsets._naming(path, "hashing"):
            archive["sha256"] = _sha256(path) if full else None
    return archive, index


def _sha256(path):
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_HASHED_AT_ONCE))
    settings = {"desc": f"Hashing {os.path.basename(path)}", "unit": "B", "unit_scale": True}
    with open(path, "rb", buffering=0) as file, tqdm(total=os.path.getsize(path), **settings) as bar:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            bar.update(count)
    return digest.hexdigest()


def _find_images(of, wnids, index):
    """The images of a published list, structured array ``[n]``; the size is 0 where the archive has no such image."""
    listed = imagenet_subsets.read_split_list(SPLIT_FILES / f"{of}.parquet", of, wnids)
    images = np.zeros(len(listed), [("offset", "i8"), ("size", "i8"), ("name", "S40"), ("label", "i8")])
    images["name"], images["label"] = zip(*((name.encode(), label) for name, label in listed))
    if index is not None:
        rows = pc.index_in(pa.array(images["name"].tolist()), value_set=index["name"])
        for field in ("offset", "size"):
            images[field] = pc.fill_null(index[field].take(rows), 0)
    images["size"][images["size"] > imagenet_subsets.MAX_IMAGE] = 0  # the loader takes no such image
    return images


def _check_list(images, archive, wnids):
    """What the report says of a list."""
    there, known = images["size"] > 0, archive["images"] is not None
    listed, found = (np.bincount(labels, minlength=len(wnids)) for labels in (images["label"], images["label"][there]))
    lacking = np.flatnonzero(found < listed).tolist() if known else []
    damaged = None
    if archive["damaged"] is not None:
        damaged = len({image["name"].encode() for image in archive["damaged"]}.intersection(images["name"].tolist()))
    return {
        "listed": len(images),
        "found": int(there.sum()) if known else None,
        "damaged": damaged,
        "absent": [name.decode() for name in images["name"][~there][:3].tolist()] if known else [],
        "lacking_classes": {wnids[label]: [int(found[label]), int(listed[label])] for label in lacking},
        "ok": not archive["errors"] and bool(there.all()) and not damaged,
    }


def _decode_images(path, images, num_proc):
    """Decode images, each once, and return the damaged ones in the archive's order."""
    images = np.unique(images[images["size"] > 0]).tolist()  # sorted by offset
    parts = [images[start : start + _DECODED_AT_ONCE] for start in range(0, len(images), _DECODED_AT_ONCE)]
    bar = tqdm(total=len(images), desc=f"Decoding {os.path.basename(path)}", unit=" images")
    on_ctrl_c = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_DFL)}  # end without a word
    pool = concurrent.futures.ProcessPoolExecutor(num_proc, **on_ctrl_c)
    damaged = []
    try:
        with bar, imagenet_subsets._children_end_with_us(), pool:
            for part, found in zip(parts, pool.map(_decode_part, itertools.repeat(path), parts)):
                damaged += found
                bar.update(len(part))
    except concurrent.futures.BrokenExecutor as error:
        raise ChildProcessError(f"{path}: a process that decoded its images died, out of memory perhaps.") from error
    return damaged


def _decode_part(path, images):
    damaged = []
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd EXIF data, on which no pixel depends
        for offset, size, name, _ in images:
            image = bytearray(size)
            try:
                imagenet_subsets._read_image(file.fileno(), path, name, offset, image)
                _AS_IN_ROWS.decode_example({"path": None, "bytes": imagenet_subsets.as_benchmark(image)})
            except Exception as error:  # Pillow's errors have no common base
                told = str(error).partition(" <_io.BytesIO")[0]  # the rest is an address in memory
                damaged.append({"name": name.decode(), "offset": offset, "error": told})
    return damaged


# ----------------------------------------------------------------------------------------- for people


def format_report(report):
    """A report of ``check_archives`` as text: two tables, what is wrong, and what to do.

    Example:

        >>> print(format_report(check_archives("/data/imagenet")).splitlines()[-1])
        Every config can be given: imagenet_subsets.load_dataset("1pct", data_dir="/data/imagenet")
    """
    head = "archive", "bytes", "official size", "images", "classes", "SHA-256", ""
    archives = [head, *map(_archive_row, report["archives"])]
    splits = [("config", "split", "found", "classes short", ""), *map(_split_row, report["splits"])]
    remarks = [line for archive in report["archives"] for line in _remarks(archive)]
    blocks = [_table("<><>><<", archives), _table("<<>><", splits), remarks, _conclusion(report)]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _table(sides, rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    padded = [[f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)] for row in rows]
    return ["  ".join(cells).rstrip() for cells in padded]


def _archive_row(archive):
    numbers = {key: "-" if archive[key] is None else f"{archive[key]:,}" for key in ("bytes", "images", "classes")}
    size = {None: "-", archive["official_bytes"]: "yes"}.get(archive["bytes"], "no")
    digest = {None: "-", archive["official_sha256"]: "official"}.get(archive["sha256"], "differs")
    result = "ok" if archive["ok"] else "see below"
    return archive["name"], numbers["bytes"], size, numbers["images"], numbers["classes"], digest, result


def _split_row(split):
    place = split["config"], split["split"]
    if split["found"] is None:
        return *place, "-", "-", f"{split['archive']} cannot be read"
    wrong = []
    if split["absent"]:
        wrong.append(f"{split['listed'] - split['found']:,} absent, such as {', '.join(split['absent'])}")
    if split["damaged"]:
        wrong.append(f"{split['damaged']:,} damaged")
    found = f"{split['found']:,} of {split['listed']:,}"
    return (
        *place,
        found,
        f"{len(split['lacking_classes']):,}",
        "; ".join(wrong) or ("ok" if split["ok"] else "see below"),
    )


def _remarks(archive):
    name, damaged = archive["name"], archive["damaged"] or []
    yield from archive["errors"]
    if archive["bytes"] not in (None, archive["official_bytes"]):
        yield f"{name}: the official one has {archive['official_bytes']:,} bytes; this is a stand-in, or not whole."
    if archive["sha256"] not in (None, archive["official_sha256"]):
        yield f"{name}: its SHA-256, {archive['sha256']}, is not the official one."
        yield "Download it again, unless it is a stand-in."
    for image in damaged[:10]:
        yield f"{name}: {image['name']} at byte {image['offset']:,} is damaged: {image['error']}"
    if damaged[10:]:
        yield f"{name}: {len(damaged) - 10:,} more images are damaged; --json names them."


def _conclusion(report):
    """What can be given, and what to do about the rest."""
    splits = report["splits"]
    if all(split["ok"] for split in splits):
        call = f'imagenet_subsets.load_dataset("{splits[0]["config"]}", data_dir="{report["data_dir"]}")'
        return [f"Every config can be given: {call}"]
    given = []
    for config, lists in SUBSETS.items():
        whole = [split["split"] for split in splits if split["config"] == config and split["ok"]]
        if whole:
            given.append(config if len(whole) == len(lists) else f"{config} with splits={whole}")
    lines = [f"Can be given: {'; '.join(given) or 'nothing'}."]
    if any(split["damaged"] or split["absent"] for split in splits):
        lines.append("If the archive that lacks images or has damaged ones should be official, download it again.")
        lines.append('To load without the images that are absent or cut off, pass on_missing="skip".')
    return lines
