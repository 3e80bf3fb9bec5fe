"""ImageNet subsets as a Hugging Face dataset, read by position from the official archives, or what became of them.

Configs: ``1pct`` and ``10pct`` (SimCLR's semi-supervised training lists), ``lt`` (ImageNet-LT), ``full``, ``custom``.
``data_dir`` is the folder that holds ``ILSVRC2012_img_train.tar`` and ``ILSVRC2012_img_val.tar``, or the same images
in one of the other layouts of ``find_source``.

    datasets.load_dataset("./imagenet_subsets.py", "1pct", data_dir=...)   # datasets 2.19, 3.x
    imagenet_subsets.load_dataset("1pct", data_dir=...)                    # any datasets

The sections: the facts, the split lists, the tar format, the index of an archive, the layouts, reading images,
the builder, ``load_dataset``. The file stands alone; beside it, it needs ``split_files/``.
"""

import collections
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import functools
import glob
import gzip
import hashlib
import io
import itertools
import os
import pathlib
import re
import signal
import struct
import sys
import tarfile
import time
import warnings
import zipfile
import zlib

import datasets
import filelock
import huggingface_hub
import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageChops
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets.exceptions import DatasetGenerationError
from datasets.iterable_dataset import ExamplesIterable
from datasets.utils.info_utils import is_small_dataset

# ---------------------------------------------------------------------------------------- the facts

VERSION = "1.1.0"
TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VALIDATION_ARCHIVE = "ILSVRC2012_img_val.tar"
TEST_ARCHIVES = "ILSVRC2012_img_test.tar", "ILSVRC2012_img_test_v10102019.tar"
OFFICIAL_SIZES = {TRAIN_ARCHIVE: 147_897_477_120, VALIDATION_ARCHIVE: 6_744_924_160}  # bytes
CLASS_TAR = re.compile(rb"n\d{8}\.tar")
TRAIN_NAME = re.compile(rb"n\d{8}_\d+\.JPEG")
VALIDATION_NAME = re.compile(rb"ILSVRC2012_val_\d{8}\.JPEG")
TEST_NAME = re.compile(rb"ILSVRC2012_test_\d{8}\.JPEG")
FIRST_MEMBERS = {TRAIN_ARCHIVE: CLASS_TAR, VALIDATION_ARCHIVE: VALIDATION_NAME} | dict.fromkeys(
    TEST_ARCHIVES, TEST_NAME
)
WNID = slice(0, 9)  # of a training image's name

DESCRIPTION = """\
ImageNet (ILSVRC 2012) subsets for semi-supervised and long-tailed learning: 1pct and 10pct, the training \
lists of SimCLR, with the official validation set; lt, ImageNet-LT of OLTR, with its validation list and, as \
test, the official validation set; full, all of ILSVRC 2012. Images, labels and file names are those of the \
published lists."""
HOMEPAGE = "https://image-net.org/challenges/LSVRC/2012/"
LICENSE = """\
The images are ImageNet's and may be used under its terms of access (https://image-net.org/download.php): for \
non-commercial research and education, and not to be handed on."""
MANUAL_DOWNLOAD = f"""\
ImageNet cannot be downloaded by a program: register at https://image-net.org/download-images.php, accept the \
terms, download {TRAIN_ARCHIVE} (138 GB) and {VALIDATION_ARCHIVE} (6.3 GB) of ILSVRC2012 into one folder, leave \
them as they are, and pass that folder as data_dir=..."""
TEST_DOWNLOAD = f"""\
The test images are of use with the evaluation server alone: download {TEST_ARCHIVES[1]} (13 GB) from \
https://image-net.org/download-images.php."""
OTHER_LAYOUTS = """\
In place of an archive, data_dir may hold the class tars (train/n01440764.tar), the extracted images \
(train/n01440764/*.JPEG, val/*.JPEG or val/<wnid>/*.JPEG), or Kaggle's tree (ILSVRC/Data/CLS-LOC), its \
imagenet-object-localization-challenge.zip or its imagenet_object_localization_patched2019.tar.gz."""

# The published lists: rows, and the SHA-256 of the sorted lines "<wnid>/<file name>".
LISTS = {
    "1pct": (12_811, "4bf22215662d17171c1127736d5a35e2c4f90a8a0ccff5736704750bda262fa9"),
    "10pct": (128_116, "aa10f36888b064f948c12a01c6945d70ae550f790a055eb16ce9d3ac69a17d12"),
    "lt_train": (115_846, "e60cda136ab1aee768433154b2e3d01f41b4a9ecf5b726afb0108533532c9a3b"),
    "lt_validation": (20_000, "483be09644f9bbdc3967149a4d4e61c906ab840d7d94d76032cf69082ae26005"),
    "validation": (50_000, "7aec631d6f9e7e0e6b79804a178f00b5b42094a29e66ffa62955518dd740cb14"),
}
TRAIN_IMAGES = 1_281_167  # of ILSVRC 2012; no list names them all
TEST_IMAGES = 100_000
SUBSETS = {  # config -> split -> list
    "1pct": {"train": "1pct", "validation": "validation"},
    "10pct": {"train": "10pct", "validation": "validation"},
    "lt": {"train": "lt_train", "validation": "lt_validation", "test": "validation"},
    "full": {"train": "full", "validation": "validation"},
}
CUSTOM = {"train": "train_list", "validation": "validation_list"}  # split -> option that gives the user's list
UNLABELED = ("1pct", "10pct")  # configs that can have a split of all other training images
OPTIONS = {
    "label_names": ("wnid", "words"),
    "on_missing": ("error", "skip"),
    "image_bytes": ("benchmark", "archive"),
}
SHARDS = 128  # of each split: enough for 16 nodes of 8 workers, and still 100 rows each in the smallest

# -------------------------------------------------------------------------------------- split lists

# An installed wheel keeps split_files/ in the package of tools, a clone beside this file.
_HERE = pathlib.Path(__file__).resolve().parent
_PACKED = _HERE / "imagenet_subsets_tools"
HOME = _PACKED if (_PACKED / "split_files").is_dir() else _HERE
SPLIT_FILES = HOME / "split_files"

# Where an image is: its file name (bytes), label, byte in its file, size in bytes, and size as packed, in bytes.
Row = collections.namedtuple("Row", "name label offset size packed")
# A line of a user's list: folders, of which the last may be a class, the name, and perhaps a label.
LISTED = re.compile(
    r"(?:.*?/)??(?:(?P<wnid>n\d{8})/)?(?P<name>(?:n\d{8}_\d+|ILSVRC2012_val_\d{8})\.JPEG)(?:\s+(?P<label>\d+))?"
)
# With threads, Arrow may abort a process that ends soon after ("terminate called without an active exception").
_read_table = functools.partial(pq.read_table, use_threads=False)


def read_classes(path):
    """The 1,000 classes as ``list[tuple[str, str]]``, (wnid, words), in label order: the sorted wnids."""
    table = _read_table(path)
    return list(zip(table["wnid"].to_pylist(), table["words"].to_pylist()))


def label_names(classes, kind):
    """The 1,000 label names: wnids, or words, where words of two classes get the wnid, ``crane (n02012849)``."""
    count = collections.Counter(words for _, words in classes)
    return [wnid if kind == "wnid" else words if count[words] == 1 else f"{words} ({wnid})" for wnid, words in classes]


def read_split_list(path, name, wnids):
    """The images of a published list, sorted by file name.

    Args:
        path: the list's file in ``split_files/``.
        name: which of ``LISTS`` must be in it.
        wnids: the 1,000 wnids in label order.

    Returns:
        ``list[tuple[str, int]]``, (file name, label) an image.

    Raises:
        ValueError: the file does not hold the published list.
    """
    table = _read_table(path)
    labels = table["label"].to_pylist()
    if "number" in table.column_names:
        images = [f"{wnids[label]}_{number}.JPEG" for label, number in zip(labels, table["number"].to_pylist())]
    else:
        images = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, len(labels) + 1)]
    lines = sorted(f"{wnids[label]}/{image}\n" for image, label in zip(images, labels))
    found = len(lines), hashlib.sha256("".join(lines).encode()).hexdigest()
    if found != LISTS[name]:
        raise ValueError(
            f"{path} is not the published list: it has {found[0]:,} images, and the SHA-256 of their sorted lines is "
            f"{found[1]}; expected are {LISTS[name][0]:,} and {LISTS[name][1]}. Take split_files/ anew."
        )
    return sorted(zip(images, labels))


def read_image_list(path, wnids, validation):
    """The images of a user's own list.

    Args:
        path: a text file with an image a line: its name, after any folders and before its label, if there is one, as
            in ``n01440764_190.JPEG`` and ``train/n01440764/n01440764_190.JPEG 0``.
        wnids: the 1,000 wnids in label order.
        validation: ``dict[str, int]``, the labels of the official validation images.

    Returns:
        ``list[tuple[str, int]]``, (file name, label) an image, sorted by file name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is none of the above, or what it says of its image is wrong. The message has every such line.
    """
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    images, wrong = {}, []
    with open(os.path.expanduser(path), encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(map(str.strip, file), start=1):
            match = LISTED.fullmatch(line)
            name = match["name"] if match else ""
            label = validation.get(name, label_of.get(name[WNID]))
            if label is None and line:
                wrong.append(f"line {number}: {line!r} is the name of no training or validation image")
            elif name in images:
                wrong.append(f"line {number}: {name} is listed twice")
            elif line and (match["wnid"] or wnids[label]) != wnids[label]:
                wrong.append(f"line {number}: {name} is of class {wnids[label]}, not {match['wnid']}")
            elif line and int(match["label"] or label) != label:
                wrong.append(f"line {number}: the label of {name} is {label}, not {match['label']}")
            elif line:
                images[name] = label
    if wrong or not images:
        raise ValueError(f"{path} is not a list of images: " + ("; ".join(wrong) or "it is empty") + ".")
    if 0 < len(images.keys() & validation.keys()) < len(images):
        raise ValueError(f"{path} lists training and validation images: make two lists of them.")
    return sorted(images.items())


def test_images():
    """The official test images, ``list[tuple[str, int]]``, (file name, -1) an image: no labels were published."""
    return [(f"ILSVRC2012_test_{k:08d}.JPEG", -1) for k in range(1, TEST_IMAGES + 1)]


def training_images(index, wnids):
    """All training images in the index of a source, in its order, as rows of ``locate``."""
    label_of = {wnid.encode(): label for label, wnid in enumerate(wnids)}
    names = index["name"].to_pylist()
    places = [k for k, name in enumerate(names) if TRAIN_NAME.fullmatch(name) and name[WNID] in label_of]
    names = [names[k] for k in places]
    return _rows(names, [label_of[name[WNID]] for name in names], index, pa.array(places, pa.int32()))


def locate(images, index):
    """Where images are, by the index of their source.

    Args:
        images: ``list[tuple[str, int]]``, (file name, label) an image.
        index: the table of ``Source.index``.

    Returns:
        structured array ``[n]`` with the fields of ``Row``, of which ``size`` is 0 where the source has no such image.
    """
    names = [image.encode() for image, _ in images]
    places = pc.index_in(pa.array(names, pa.binary()), value_set=index["name"])
    return _rows(names, [label for _, label in images], index, places)


def _rows(names, labels, index, places):
    numbers = [(field, "i8") for field in Row._fields[1:]]
    rows = np.empty(len(names), [("name", f"S{max(map(len, names), default=1)}"), *numbers])
    rows["name"], rows["label"] = names, labels
    for field in ("offset", "size", "packed"):
        rows[field] = pc.fill_null(index[field if field in index.column_names else "size"].take(places), 0)
    return rows


# ----------------------------------------------------------------------------------- the tar format

# POSIX ustar and GNU tar agree on these fields; numbers are octal digits or, in GNU tar, base 256.
BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NAME = slice(0, 100)
SIZE = slice(124, 136)
CHECKSUM = slice(148, 156)
TYPE = 156
REGULAR = b"0\x007"
WITHOUT_PAYLOAD = b"123456"  # links, devices, folders, pipes: tar ignores their size
EXTENSIONS = b"LSxgX"  # GNU long names and sparse files, PAX records: they overrule the header
MAX_PAX = 1 << 16  # bytes
PAX_OVERRULES = re.compile(rb"\d (?:path|size|GNU\.sparse\.[a-z]+)=")

NOT_TAR = {
    b"\x1f\x8b": "gzip data (a .tar.gz): unpack it with gunzip",
    b"BZh": "bzip2 data: unpack it with bunzip2",
    b"\xfd7zXZ": "xz data: unpack it with unxz",
    b"PK\x03\x04": "a zip archive",
    b"<": "a web page, such as a log-in page saved under the archive's name",
}


class ArchiveError(ValueError):
    """An archive is not what it should be. The message says which, what was found and what to do."""


def _octal(field):
    """The number in a field of a header; ``ValueError`` where there is none."""
    if field[0] in b"\x80\xff":  # base 256: a positive or a negative number follows
        return int.from_bytes(field[1:], "big") - (field[0] == 0xFF) * 256 ** (len(field) - 1)
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def _payload_size(header):
    """How many bytes follow a header; ``ValueError`` if it is none."""
    if len(header) < BLOCK:
        raise ValueError("the end of the archive within a header")
    if header[TYPE] in WITHOUT_PAYLOAD or (header[TYPE] == 0 and header[NAME].split(b"\0", 1)[0].endswith(b"/")):
        return 0
    try:  # nearly every size is 11 octal digits and a NUL, and int() is fast
        return int(header[124:135], 8) if header[135] in b"\0 " else _octal(header[SIZE])
    except ValueError:
        return _octal(header[SIZE])


def _base_name(field):
    """The file name in a name field, which ends at its first NUL, without folders."""
    return field.split(b"\0", 1)[0].rpartition(b"/")[2]


def _headers_fit(headers):
    """Whether each header, of ``list[bytes]``, holds the checksum of its own bytes: ``list[bool]``."""
    table = np.frombuffer(b"".join(headers), "u1").reshape(-1, BLOCK)
    field = table[:, CHECKSUM]
    sums = table.sum(axis=1, dtype=np.int64) - field.sum(axis=1, dtype=np.int64) + sum(b" " * 8)
    fit = (field[:, :6].astype(np.int64) - ord("0")) @ 8 ** np.arange(6)[::-1] == sums
    for odd in np.flatnonzero(~fit):  # the number may be written in another way
        with contextlib.suppress(ValueError):
            fit[odd] = _octal(field[odd].tobytes()) == sums[odd]
    return fit.tolist()


class TarWalk:
    """The walk from header to header over one tar, from byte ``start`` to ``end`` of an archive; it can pause.

    ``tables`` holds the regular members passed so far, ``list[pa.Table]`` of ``INDEX_SCHEMA``: those whose
    names begin with ``prefix``. ``position`` is where the next header stands, ``done`` whether the end is reached.
    """

    CHUNK = 4096  # headers parsed at once; bounds the memory

    def __init__(self, fd, path, start, end, prefix=b""):
        self.fd, self.path, self.position, self.end, self.prefix = fd, path, start, end, prefix
        self.tables = []
        self.done = False

    def advance(self, read, limit, progress=lambda passed: None):
        """Pass ``limit`` headers, or all that are left, and return their number.

        ``read(position)`` gives the 512 bytes there; ``progress(passed)`` is told of bytes passed.

        Raises:
            ArchiveError: the tar is damaged, truncated, or of a kind that ImageNet's are not.
        """
        headers = 0
        while headers < limit and not self.done:
            start = self.position
            headers += self._advance_chunk(read, min(limit - headers, self.CHUNK))
            progress(self.position - start)
        return headers

    def _advance_chunk(self, read, limit):
        headers, offsets, sizes = [], [], []
        position, end = self.position, self.end
        while len(headers) < limit:
            header = read(position) if position + BLOCK <= end else ZERO_BLOCK  # tar forgives a missing end
            if header == ZERO_BLOCK:
                self.done = True
                break
            try:
                size = _payload_size(header)
            except ValueError:
                raise self._error(position, "no tar header, where one is due") from None
            headers.append(header)
            offsets.append(position)
            sizes.append(size)
            position += BLOCK + (size + BLOCK - 1 & -BLOCK)
            if not 0 <= size <= end - offsets[-1] - BLOCK:
                break
        self._keep(headers, offsets, sizes)
        self.position = position
        return len(headers)

    def _keep(self, headers, offsets, sizes):
        fit = _headers_fit(headers)
        if not all(fit):
            raise self._error(offsets[fit.index(False)], "no tar header, where one is due")
        members = []
        for header, offset, size in zip(headers, offsets, sizes):
            name, kind = _base_name(header[NAME]), header[TYPE]
            if not 0 <= size <= self.end - offset - BLOCK:
                what = f"{name.decode(errors='replace')!r} is said to have {size:,} bytes, but its tar ends at byte"
                raise self._error(offset, f"{what} {self.end:,}: the archive is cut off or damaged")
            if kind in REGULAR and name and name.startswith(self.prefix):
                members.append((name, offset, size))
            elif kind in REGULAR and TRAIN_NAME.fullmatch(name):
                raise self._error(offset, f"{name.decode()} stands in the class tar of {self.prefix[:-1].decode()}")
            elif kind in EXTENSIONS and self._overrules(kind, offset, size):
                raise self._error(offset, "a header for long names or sparse files, which ImageNet's archives have not")
        self.tables.append(_table(members, INDEX_SCHEMA))

    def _overrules(self, kind, offset, size):
        blocks = size + -size % BLOCK  # as tar reads it
        return kind in b"LS" or size > MAX_PAX or PAX_OVERRULES.search(os.pread(self.fd, blocks, offset + BLOCK))

    def _error(self, position, found):
        advice = "Compare its SHA-256 with the official one (README), and download it again if they differ."
        return ArchiveError(f"{self.path}, byte {position:,}: found {found}. {advice}")


# -------------------------------------------------------------------------- the index of an archive

# name: without folders; offset: of the header, in the archive; size: of the image, in bytes
INDEX_SCHEMA = pa.schema({"name": pa.binary(), "offset": pa.int64(), "size": pa.int64()})
INDEX_VERSION = "1"
SAMPLES = 16  # places in the archive whose bytes are part of its identity
SAMPLE_BYTES = 4096
PROBE = 256  # headers passed to measure how fast the storage is
WARM = 50e-6  # seconds a header: below, the bytes come from memory and threads would only wait for each other
THREADS = 16
STREAM_BYTES = 8 << 20
NO_LIMIT = 1 << 62


@contextlib.contextmanager
def _naming(path, doing):
    """Errors of the system that name no file name ``path``."""
    try:
        yield
    except (OSError, DatasetGenerationError) as error:
        system = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(system, OSError) or system.errno is None or system.filename is not None:
            raise
        raise OSError(system.errno, f"{os.strerror(system.errno)}, while {doing}", path) from error


@contextlib.contextmanager
def _opened(path):
    """An archive's file descriptor."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with _naming(path, "reading"):
            yield fd
    finally:
        os.close(fd)


def _stamp(status):
    """What changes when a file is replaced: (size, time of change)."""
    return status.st_size, status.st_mtime_ns


def archive_identity(path):
    """What tells one archive from another: SHA-256 (hex) over size, time of change and 16 samples of 4 KiB."""
    with _opened(path) as fd:
        status = os.fstat(fd)
        digest = hashlib.sha256(f"{INDEX_VERSION} {status.st_size} {status.st_mtime_ns}".encode())
        for k in range(SAMPLES):
            digest.update(os.pread(fd, SAMPLE_BYTES, max(0, status.st_size - SAMPLE_BYTES) * k // (SAMPLES - 1)))
    return digest.hexdigest()


def _digest(value):
    """SHA-256 (hex) of a value's text."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def index_path(path):
    """Where the index of an archive is kept: one place per user, one file per path, which a new archive replaces.

    The file is the SHA-256 of what follows, and a Parquet file.
    """
    name = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:16]
    return os.path.join(huggingface_hub.constants.HF_HOME, "imagenet_subsets", f"{name}.index")


def read_index(path):
    """The members of an archive, from its index, which is made by walking the archive where there is none yet.

    Returns:
        ``pa.Table`` with columns ``name``, ``offset`` and ``size`` (see ``INDEX_SCHEMA``), each name once.

    Raises:
        FileNotFoundError: there is no archive at ``path``.
        ArchiveError: it is not a tar, damaged, or not the one that its name says.

    Example:

        >>> read_index("/data/ILSVRC2012_img_val.tar").num_rows
        50000
    """
    return Tar(path).index(None)


def _kept_index(path, identity, find):
    """The index that is kept of ``path``, with its identity as metadata; ``find(path)`` makes it anew."""
    file = index_path(path)
    table = _load_index(file, identity)
    if table is None:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with filelock.FileLock(file + ".lock"):  # one process walks, the others wait for what it finds
            table = _load_index(file, identity)
            if table is None:
                table = find(path).replace_schema_metadata({"identity": identity})
                _save_index(table, file)
    return table


def _load_index(file, identity):
    try:
        with open(file, "rb") as stream:
            digest, content = stream.read(32), stream.read()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).digest() != digest:  # damaged
        return None
    table = _read_table(pa.BufferReader(content))
    return table if table.schema.metadata[b"identity"] == identity.encode() else None


def _save_index(table, file):
    encodings = dict.fromkeys(table.column_names, "DELTA_BINARY_PACKED") | {"name": "DELTA_BYTE_ARRAY"}
    content = io.BytesIO()
    options = {"compression": "zstd", "use_dictionary": False, "column_encoding": encodings}
    pq.write_table(table, content, row_group_size=1 << 17, **options)
    try:
        with _naming(file, "writing the index"), open(file + ".tmp", "wb") as stream:
            stream.write(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
        os.replace(file + ".tmp", file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file + ".tmp")


def check_archive(path):
    """Look at the head of an archive, and raise as ``read_index`` does if it cannot be the one its name says."""
    if not os.path.isfile(path):
        raise FileNotFoundError(_absent(path))
    with _opened(path) as fd:
        size, start = os.fstat(fd).st_size, os.pread(fd, BLOCK, 0)
        for magic, what in NOT_TAR.items():
            if start.lstrip().startswith(magic):
                raise ArchiveError(f"{path} is {what}; expected is the tar as image-net.org has it.")
        if len(start) < BLOCK or start == ZERO_BLOCK:
            raise ArchiveError(f"{path} is no tar archive: it has {size:,} bytes and no member. Download it again.")
        name = _first_member(fd, path, size)
    expected = FIRST_MEMBERS.get(os.path.basename(path))
    if expected is not None and not expected.fullmatch(name):
        kinds = {
            CLASS_TAR: "the training archive, a tar of 1,000 class tars",
            VALIDATION_NAME: "the validation archive, a flat tar of 50,000 images",
            TEST_NAME: "the test archive, a flat tar of 100,000 images",
            TRAIN_NAME: "a class tar, or the training images in one flat tar",
        }
        found = next((what for pattern, what in kinds.items() if pattern.fullmatch(name)), "some other tar")
        raise ArchiveError(
            f"{path} begins with the member {name.decode(errors='replace')!r}: found {found}; expected "
            f"{kinds[expected]}. Put each archive, as it was downloaded, under its official name."
        )


def _absent(path, hint=""):
    folder = os.path.dirname(os.path.abspath(path))
    there = ", ".join(sorted(os.listdir(folder))[:8]) or "nothing" if os.path.isdir(folder) else "no such folder"
    found = "is a folder" if os.path.isdir(path) else f"is not there (its folder holds: {there})"
    download = TEST_DOWNLOAD if os.path.basename(path) in TEST_ARCHIVES else f"{MANUAL_DOWNLOAD} {OTHER_LAYOUTS}"
    return f"{path} {found}.{hint} {download} Splits that do not read it can be built without: splits=[...]."


def _first_member(fd, path, size):
    walk, headers = TarWalk(fd, path, 0, size), 1
    while not walk.done and not (walk.tables and len(walk.tables[-1])):
        walk.advance(functools.partial(_hop, fd), headers)
        headers = walk.CHUNK
    return walk.tables[-1]["name"][0].as_py() if walk.tables and len(walk.tables[-1]) else b""


def _hop(fd, position):
    return os.pread(fd, BLOCK, position)


class _Stream:
    """Reads headers as ``_hop`` does, out of large pieces read one after the other."""

    def __init__(self, fd):
        self.fd, self.start, self.piece = fd, 0, b""

    def __call__(self, position):
        end = self.start + len(self.piece)
        if not self.start <= position <= end - BLOCK:  # the next piece begins where this one ends, if that will do
            self.start = end if end <= position <= end + STREAM_BYTES - BLOCK else position
            self.piece = os.pread(self.fd, STREAM_BYTES, self.start)
        at = position - self.start
        return self.piece[at : at + BLOCK]


def _bar(doing, size):
    return datasets.utils.tqdm(total=size, desc=doing, unit="B", unit_scale=True)


def _walk_archive(path):
    with _opened(path) as fd:
        size = os.fstat(fd).st_size
        outer = TarWalk(fd, path, 0, size)
        walks = [outer]
        if CLASS_TAR.fullmatch(_first_member(fd, path, size)):
            outer.advance(functools.partial(_hop, fd), size)
            class_tars = [tar for tar in _last_of_each_name(outer).to_pylist() if CLASS_TAR.fullmatch(tar["name"])]
            starts = [tar["offset"] + BLOCK for tar in class_tars]
            walks = [
                TarWalk(fd, path, start, start + tar["size"], prefix=tar["name"][:9] + b"_")
                for start, tar in zip(starts, class_tars)
            ]
        with _bar(f"Indexing {os.path.basename(path)}", size) as bar:
            _walk_all(fd, walks, bar.update)
    return pa.concat_tables(_last_of_each_name(walk) for walk in walks)  # a class tar holds names of its class alone


def _table(rows, schema):
    columns = zip(*rows) if rows else ((),) * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema)], schema)


def _last_of_each_name(walk):
    return _unique(pa.concat_tables([INDEX_SCHEMA.empty_table(), *walk.tables]), walk.path)


def _unique(table, path):
    """A table of members without all but the last of each name: the one that unpacking leaves."""
    count = len(table) - pc.count_distinct(table["name"]).as_py()
    if count == 0:
        return table
    last = {name: row for row, name in enumerate(table["name"].to_pylist())}
    warnings.warn(f"{path} holds {count:,} members twice; the later one counts, as in tar.", stacklevel=2)
    return table.take(sorted(last.values()))


def _walk_all(fd, walks, progress):
    """Take every walk to its end, by hopping from header to header or by streaming, whichever is faster here."""
    hop, stream = functools.partial(_hop, fd), _Stream(fd)
    if min(_seconds_per_header(walks, hop, progress) for _ in range(8)) < WARM:  # other work on the machine slows some
        _advance_some(walks, hop, progress, limit=NO_LIMIT)
        return
    stream_pace = _pace(walks, lambda: _stream_some(walks, stream, progress))
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:

        def hop_all(limit, some):
            list(pool.map(lambda walk: walk.advance(hop, limit, progress), some))

        some = [walk for walk in walks if not walk.done][:THREADS]
        hop_pace = _pace(walks, lambda: hop_all(PROBE // THREADS, some))
        if hop_pace > stream_pace:
            hop_all(NO_LIMIT, walks)
    _advance_some(walks, stream, progress, limit=NO_LIMIT)


def _advance_some(walks, read, progress, limit=PROBE):
    passed = 0
    for walk in walks:
        passed += walk.advance(read, limit - passed, progress)
    return passed


def _stream_some(walks, stream, progress):
    goal = sum(walk.position for walk in walks) + 4 * STREAM_BYTES  # a piece that is hardly used would tell nothing
    while sum(walk.position for walk in walks) < goal and not all(walk.done for walk in walks):
        _advance_some(walks, stream, progress)


def _seconds_per_header(walks, read, progress):
    started = time.perf_counter()
    headers = _advance_some(walks, read, progress, limit=PROBE // 8)
    return (time.perf_counter() - started) / max(headers, 1)


def _pace(walks, advance):
    """How fast ``advance()`` takes the walks along, in bytes of archive a second."""
    before, started = sum(walk.position for walk in walks), time.perf_counter()
    advance()
    return (sum(walk.position for walk in walks) - before) / (time.perf_counter() - started)


# -------------------------------------------------------------------------------------- the layouts

KAGGLE_TREE = "ILSVRC/Data/CLS-LOC"
KAGGLE_ZIP = "imagenet-object-localization-challenge*.zip"
KAGGLE_TAR_GZ = "imagenet_object_localization*.tar.gz"
LAYOUTS = {  # kind of images -> the official archives, folders for all else, and the names of images side by side
    "train": ((TRAIN_ARCHIVE,), ("train", "ILSVRC2012_img_train", ""), None),
    "validation": (
        (VALIDATION_ARCHIVE,),
        ("val", "validation", "ILSVRC2012_img_val", ""),
        re.compile(r"ILSVRC2012_val_\d+\.jpe?g", re.IGNORECASE),
    ),
    "test": (
        TEST_ARCHIVES,
        ("test", "ILSVRC2012_img_test", ""),
        re.compile(r"ILSVRC2012_test_\d+\.jpe?g", re.IGNORECASE),
    ),
}
WNID_FOLDER = re.compile(r"n\d{8}")
OTHER_SUFFIXES = ".jpeg", ".jpg", ".JPG"  # of images that were renamed
OF_SYSTEMS = ".", "Thumbs.db"  # beginnings of files that systems put into folders
# The header before a member of a zip: magic, flags, method, CRC-32, and the lengths of the name and of an extra field.
ZIP_HEADER, ZIP_MAGIC = struct.Struct("<4s2xHH4xL8xHH"), b"PK\3\4"
ZIP_NAMES = 1024  # bytes; what is read for the name and the extra field
ZIP_CRC_AFTER, ZIP_AFTER = 8, b"PK\7\x08"  # flag: the CRC-32 stands behind the member, perhaps after this magic
ZIP_METHODS, ZIP_LOCKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1  # flag: a password is needed
PIECE_BYTES = 1 << 20
MAX_FOLDERS = 200  # looked into for images that are one or two levels too deep


def find_source(kind, data_dir, wnids):
    """Where the images of a kind are in a folder: the first of the layouts that is there.

    Args:
        kind: ``"train"``, ``"validation"`` or ``"test"``.
        data_dir: the folder.
        wnids: the 1,000 wnids in label order.

    Returns:
        ``Source``; a ``Missing`` one, which raises when it is used, if there is none.
    """
    archives, folders, _ = LAYOUTS[kind]
    for name in archives:
        if os.path.lexists(os.path.join(data_dir, name)):
            return Tar(os.path.join(data_dir, name))
    for base in (data_dir, os.path.join(data_dir, KAGGLE_TREE)):
        for name in folders:
            source = _find_folder(kind, os.path.normpath(os.path.join(base, name)), wnids)
            if source is not None:
                return source
    for reader, pattern in ((Zip, KAGGLE_ZIP), (TarGz, KAGGLE_TAR_GZ)):
        for path in sorted(glob.glob(os.path.join(glob.escape(data_dir), pattern)), reverse=True):  # "_patched2019"
            return reader(path)
    return Missing(os.path.join(data_dir, archives[0]), kind, wnids)


def _find_folder(kind, path, wnids):
    try:
        entries = list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    tars = sum(CLASS_TAR.fullmatch(os.fsencode(entry.name)) is not None for entry in entries)
    classes = sorted(entry.path for entry in entries if WNID_FOLDER.fullmatch(entry.name) and entry.is_dir())
    if kind == "train" and tars >= max(len(classes), 1):
        return ClassTars(path)
    inside = (entry.name for folder in classes for entry in os.scandir(folder))
    first = next((name for name in inside if not name.startswith(OF_SYSTEMS)), None)
    by_label = first is not None and LAYOUTS["validation"][2].fullmatch(first) is not None
    if first is not None and kind == ("validation" if by_label else "train"):
        return Folder(path, wnids, by_label)
    if kind != "train" and any(LAYOUTS[kind][2].fullmatch(entry.name) for entry in entries):
        return Folder(path)
    return None


@dataclasses.dataclass
class Source:
    """Where images are: one of the layouts, behind one interface. Subclasses give ``identity`` and ``index``.

    ``layout`` is what to call it, ``path`` the file or folder.
    """

    path: str
    layout = ""

    def check(self):
        """Raise what ``index`` would, as far as a look at the head of the archive shows it."""

    def identity(self, wanted):
        """What tells these images from others: SHA-256 (hex). ``wanted`` as for ``index``."""
        return archive_identity(self.path)

    def index(self, wanted):
        """The images that are there, ``pa.Table`` of ``INDEX_SCHEMA`` with the ``identity`` as metadata.

        Args:
            wanted: gives the images that will be asked for, ``set[tuple[str, int]]`` of (file name, label), or ``None``
                for all; called where they matter.
        """
        raise NotImplementedError

    def opened(self):
        """Context in which images are read: ``(read, confirm)``.

        ``read(row, buffer)`` fills the buffer with the image of a ``Row``, and ``confirm()``, called before what was
        read is used, raises ``ArchiveError`` if it may not be what was indexed.
        """
        raise NotImplementedError

    def place(self, row):
        """The place of an image, in words."""
        return f"{self.path}: the image {row.name.decode()} at byte {row.offset:,}"

    def explain(self, missing):
        """Why images may be missing, ``list[tuple[str, int]]``, and what to do."""
        return "Download it again."


class Tar(Source):
    """An official archive, as downloaded; or any flat tar of images."""

    layout = "official archive"
    stamp = None

    def check(self):
        check_archive(self.path)

    def identity(self, wanted):
        return super().identity(wanted) if os.path.isfile(self.path) else ""

    def index(self, wanted):
        check_archive(self.path)
        self.stamp = _stamp(os.stat(self.path))
        return _kept_index(self.path, archive_identity(self.path), _walk_archive)

    @contextlib.contextmanager
    def opened(self):
        with _opened(self.path) as fd:
            yield functools.partial(_read_member, fd, self.path), functools.partial(_confirm, fd, self.path, self.stamp)

    def explain(self, missing):
        official = OFFICIAL_SIZES.get(os.path.basename(self.path))
        sizes = f"It has {os.path.getsize(self.path):,} bytes, the official archive {official:,}. " if official else ""
        return sizes + super().explain(missing)


class ClassTars(Source):
    """A folder of the 1,000 class tars, as they are in the training archive."""

    layout = "class tars"

    def _tars(self):
        """{wnid: what changes when its tar is replaced} of the class tars that are there."""
        names = sorted(name for name in os.listdir(self.path) if CLASS_TAR.fullmatch(os.fsencode(name)))
        return {name[WNID]: _stamp(os.stat(os.path.join(self.path, name))) for name in names}

    def identity(self, wanted):
        return _digest(self._tars())

    def index(self, wanted):
        self.stamps = self._tars()
        return _kept_index(self.path, _digest(self.stamps), self._walk)

    def _walk(self, path):
        total = sum(size for size, _ in self.stamps.values())
        with _bar(f"Indexing {path}", total) as bar, concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            return pa.concat_tables(pool.map(functools.partial(self._walk_tar, bar), self.stamps))

    def _walk_tar(self, bar, wnid):
        path, (size, _) = self._file(wnid), self.stamps[wnid]
        with _opened(path) as fd:
            walk = TarWalk(fd, path, 0, size, prefix=f"{wnid}_".encode())
            walk.advance(functools.partial(_hop, fd), NO_LIMIT, bar.update)
        return _last_of_each_name(walk)

    def _file(self, wnid):
        return os.path.join(self.path, f"{wnid}.tar")

    @contextlib.contextmanager
    def opened(self):
        def read(row, image):  # not all kept open: 1,000 files are more than some systems allow
            wnid = row.name[WNID].decode()
            with _opened(self._file(wnid)) as fd:
                _read_member(fd, self._file(wnid), row, image)
                _confirm(fd, self._file(wnid), self.stamps[wnid])

        yield read, bool  # each image is confirmed as it is read

    def explain(self, missing):
        absent = sorted({name[WNID] for name, _ in missing} - self.stamps.keys())
        if absent:
            return f"{len(absent):,} class tars are not there: {', '.join(f'{wnid}.tar' for wnid in absent)}."
        return super().explain(missing)


def _read_member(fd, path, row, image):
    """Fill the buffer ``image`` with a member of a tar, whose header stands before it."""
    name, offset, header = row.name, row.offset, bytearray(BLOCK)
    count = os.preadv(fd, [header, image], offset)
    with contextlib.suppress(ValueError):
        if count == BLOCK + len(image) and _base_name(header[NAME]) == name and _payload_size(header) == len(image):
            return
    raise _moved(path, row)


def _confirm(fd, path, stamp):
    if stamp is not None and stamp != _stamp(os.fstat(fd)):
        raise ArchiveError(f"{path} was changed after it was indexed. Load again once it is whole.")


def _moved(path, row):
    return ArchiveError(
        f"{path} does not hold {row.name.decode()} ({row.size:,} bytes) at byte {row.offset:,}, where its "
        "index has it: the archive was changed or cut off. Load again once it is whole."
    )


@dataclasses.dataclass
class Folder(Source):
    """Extracted images, side by side, or in a folder a class: of their name in training, of their label in validation.

    In its index, ``offset`` is the time of change (ns) of an image.
    """

    wnids: list = None
    by_label: bool = False
    layout = "extracted images"

    def _file(self, name, label):
        folder = "" if self.wnids is None else self.wnids[label] if self.by_label else name[WNID]
        return os.path.join(self.path, folder, name)

    def identity(self, wanted):
        return self.index(wanted).schema.metadata[b"identity"].decode()

    def index(self, wanted):
        images = wanted()
        images = sorted(self._everything() if images is None else images)
        first, *parts = [images[start : start + BATCH_ROWS] for start in range(0, len(images), BATCH_ROWS)] or [[]]
        started = time.perf_counter()
        members = self._look_up(first)
        warm = time.perf_counter() - started < WARM * len(first)
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            members += itertools.chain.from_iterable((map if warm else pool.map)(self._look_up, parts))
        return _table(members, INDEX_SCHEMA).replace_schema_metadata({"identity": _digest(members)})

    def _everything(self):
        for wnid in self.wnids:
            for name in _listed(os.path.join(self.path, wnid)):
                if TRAIN_NAME.fullmatch(os.fsencode(name)) and name[WNID] == wnid:
                    yield name, -1

    def _look_up(self, images):
        members = []
        for name, label in images:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                size, changed = _stamp(os.stat(self._file(name, label)))
                members.append((name.encode(), changed, size))
        return members

    @contextlib.contextmanager
    def opened(self):
        def read(row, image):
            path = self._file(row.name.decode(), row.label)
            with _opened(path) as fd:
                count = os.preadv(fd, [image], 0)
                _confirm(fd, path, (row.size, row.offset))
                if count != len(image):
                    raise ArchiveError(f"{path}: {count:,} of its {len(image):,} bytes were read. Load again.")

        yield read, bool  # each image is confirmed as it is read

    def place(self, row):
        return f"The image {self._file(row.name.decode(), row.label)}"

    def explain(self, missing):
        folders = {os.path.dirname(self._file(*image)): image for image in missing}
        absent = sorted(folder for folder in folders if not os.path.isdir(folder))
        if absent:
            return f"{len(absent):,} class folders are not there: {', '.join(map(os.path.basename, absent))}."
        for folder, (name, _) in folders.items():
            there = {os.path.splitext(entry): entry for entry in sorted(os.listdir(folder))}
            stem = os.path.splitext(name)[0]
            other = [entry for parts, entry in there.items() if parts[0] == stem and parts[1] in OTHER_SUFFIXES]
            if other:
                return f"{folder} has {other[0]}: rename the files, so that they end in .JPEG as in the archive."
            deeper = [entry for entry in there.values() if os.path.isdir(os.path.join(folder, entry))]
            if deeper and self.wnids is not None:
                deeper = os.path.join(folder, deeper[0])
                return f"There is a folder {deeper}: move what is in such folders one level up."
        return self._explain_classes(missing) or "Unpack the archive again."

    def _explain_classes(self, missing):
        """How many of the missing images are in the folder of another class."""
        classes = dict(missing)
        found = {
            name: wnid
            for wnid in self.wnids or ()
            for name in _listed(os.path.join(self.path, wnid))
            if name in classes
        }
        if not found:
            return ""
        name, wnid = next(iter(found.items()))
        expected = os.path.basename(os.path.dirname(self._file(name, classes[name])))
        advice = f" Put all images into {self.path} itself, where no class is needed." if self.by_label else ""
        told = f"{len(found):,} of them are in the folder of a wrong class: {name} is in {wnid}, and is of class"
        return f"{told} {expected}.{advice}"


def _listed(folder):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []


class Zip(Source):
    """Kaggle's zip of all images, read in place. In its index, ``packed`` is the size of an image in it, in bytes."""

    layout = "Kaggle's zip"

    def index(self, wanted):
        self.stamp = _stamp(os.stat(self.path))
        return _kept_index(self.path, archive_identity(self.path), self._list)

    def _list(self, path):
        try:
            with _naming(path, "reading"), zipfile.ZipFile(path) as archive:
                images = [info for info in archive.infolist() if info.filename.endswith(".JPEG")]
        except zipfile.BadZipFile as error:
            raise ArchiveError(f"{path} is cut off or damaged ({error}). Download it again.") from error
        if any(image.compress_type not in ZIP_METHODS or image.flag_bits & ZIP_LOCKED for image in images):
            raise ArchiveError(f"{path} has images that are locked, or packed in another way than Kaggle's are.")
        members = [
            (image.filename.rpartition("/")[2].encode(), image.header_offset, image.file_size, image.compress_size)
            for image in images
        ]
        schema = INDEX_SCHEMA.append(pa.field("packed", pa.int64()))
        return _unique(_table(members, schema), path)

    @contextlib.contextmanager
    def opened(self):
        with _opened(self.path) as fd:
            yield functools.partial(self._read, fd), functools.partial(_confirm, fd, self.path, self.stamp)

    def _read(self, fd, row, image):
        size = row.packed
        member = os.pread(fd, ZIP_HEADER.size + ZIP_NAMES + size, row.offset)
        magic, flags, method, crc, name, extra = ZIP_HEADER.unpack_from(member.ljust(ZIP_HEADER.size))
        begin = ZIP_HEADER.size + name + extra
        packed, after = member[begin : begin + size], member[begin + size :]
        path = member[ZIP_HEADER.size : begin - extra]
        if magic != ZIP_MAGIC or path.rpartition(b"/")[2] != row.name or len(packed) != size:
            raise _moved(self.path, row)
        if flags & ZIP_CRC_AFTER:
            crc = int.from_bytes(after.removeprefix(ZIP_AFTER)[:4], "little")
        data = zlib.decompress(packed, -zlib.MAX_WBITS) if method == zipfile.ZIP_DEFLATED else packed
        if len(data) != len(image) or zlib.crc32(data) != crc:
            raise zlib.error("its size or checksum is not that of the zip")
        image[:] = data


class TarGz(Source):
    """Kaggle's .tar.gz of all images. It can be read only from its beginning: what is wanted of it is kept in a tar."""

    layout = "Kaggle's .tar.gz"

    def index(self, wanted):
        identity, images = archive_identity(self.path), wanted()
        stem = index_path(self.path).removesuffix(".index")
        key = _digest(images and sorted(images))[:16]
        self.kept = Tar(f"{stem}-{identity[:16]}-{key}.tar")
        os.makedirs(os.path.dirname(stem), exist_ok=True)
        with filelock.FileLock(f"{stem}.tar.lock"):  # one process reads it through
            for old in set(glob.glob(f"{glob.escape(stem)}-*.tar")) - set(glob.glob(f"{stem}-{identity[:16]}-*.tar")):
                for path in (old, index_path(old)):  # of another .tar.gz, that was there
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
            if not os.path.exists(self.kept.path):
                self._keep(images and {name for name, _ in images}, f"{stem}.tar.tmp", identity)
        return self.kept.index(wanted).replace_schema_metadata({"identity": identity})

    def _keep(self, names, unfinished, identity):
        size = os.path.getsize(self.path)
        warnings.warn(
            f"{self.path}: a .tar.gz can be read only from beginning to end, here {size / 1e9:.1f} GB, once for each "
            f"config. The images that are wanted are kept in {self.kept.path}. Unpacked, it would do for all.",
            stacklevel=2,
        )
        try:
            with (
                open(self.path, "rb") as file,
                _bar(f"Reading {os.path.basename(self.path)}", size) as bar,
                _naming(unfinished, f"unpacking {self.path}"),
                open(unfinished, "wb") as kept,
            ):
                self._copy(file, names, kept, bar)
                os.fsync(kept.fileno())
            if archive_identity(self.path) != identity:
                raise ArchiveError(f"{self.path} was changed while it was read. Load again once it is whole.")
            os.replace(unfinished, self.kept.path)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ArchiveError(f"{self.path} is cut off or damaged ({error}). Download it again.") from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)

    def _copy(self, file, names, kept, bar):
        """Copy the images of these names, or all, into a tar."""
        with (
            gzip.open(file) as content,
            tarfile.open(fileobj=content, mode="r|") as source,
            tarfile.open(fileobj=kept, mode="w", format=tarfile.GNU_FORMAT) as target,
        ):
            for member in source:
                source.members = []  # else all headers stay in memory
                name = member.name.rpartition("/")[2]
                if member.isreg() and (name.endswith(".JPEG") if names is None else name in names):
                    image = tarfile.TarInfo(name)
                    image.size = member.size
                    target.addfile(image, source.extractfile(member))
                    bar.update(file.tell() - bar.n)
            if not target.offset:
                raise ArchiveError(f"{self.path} holds none of the images that are asked for.")
            while piece := content.read(PIECE_BYTES):  # to the end, where the checksum stands
                if piece.strip(b"\0"):
                    raise tarfile.ReadError("no tar header, where one is due")

    def opened(self):
        return self.kept.opened()

    def place(self, row):
        return f"{self.path}: the image {row.name.decode()}"

    def explain(self, missing):
        return f"Download it again; or if it is whole, delete {self.kept.path}, which is then made anew."


@dataclasses.dataclass
class Missing(Source):
    """No layout is there; ``path`` is where the official archive would be."""

    kind: str
    wnids: list

    def check(self):
        folder = os.path.dirname(self.path)
        if os.path.isfile(folder):
            raise FileNotFoundError(f"data_dir={folder!r} is a file: pass the folder that it is in.")
        raise FileNotFoundError(_absent(self.path, self._hint(folder)))

    def _hint(self, folder):
        """Where such images are after all: one or two folders deeper, or in an archive of another name."""
        deeper = (glob.iglob(os.path.join(glob.escape(folder), pattern, "")) for pattern in ("*", "*/*"))
        for found in itertools.islice(itertools.chain.from_iterable(deeper), MAX_FOLDERS):
            with contextlib.suppress(PermissionError):
                if not isinstance(find_source(self.kind, found.rstrip("/"), self.wnids), Missing):
                    return (
                        f" But {found} has such images: pass data_dir={found!r}, or move what is in there one level up."
                    )
        expected = FIRST_MEMBERS[os.path.basename(self.path)]
        for found in sorted(glob.glob(os.path.join(glob.escape(folder), "*.tar"))):
            with contextlib.suppress(ArchiveError, OSError), _opened(found) as fd:
                if expected.fullmatch(_first_member(fd, found, os.fstat(fd).st_size)):
                    return f" But {found} looks like it: rename it."
        return ""

    def identity(self, wanted):
        return ""

    def index(self, wanted):
        self.check()


# ----------------------------------------------------------------------------------- reading images

BATCH_ROWS = 100  # of a record batch: what one random access reads at the most
BATCH_BYTES = 64 << 20
MAX_IMAGE = 1 << 28  # bytes; the largest image of ImageNet has 16 MB

# Damage and peculiarities of an image are read from the markers of its own file.
JPEG_START, JPEG_END = b"\xff\xd8", re.compile(rb"\xff\xd9")
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN, APP1, ADOBE = 0xDA, 0xE1, 0xEE
# An orientation other than "as it is", in EXIF (of either byte order) or XMP, and what makes it "as it is".
ORIENTATION = re.compile(
    rb"\x01\x12\0\x03\0\0\0\x01(\0[\2-\x08])|\x12\x01\x03\0\x01\0\0\0([\2-\x08]\0)|tiff:Orientation(?:=\"|>)([2-8])"
)
UPRIGHT = {1: b"\0\1", 2: b"\1\0", 3: b"1"}

# A batch of rows: their plan, one buffer with their images side by side (uint8), where each begins (int32[n + 1]),
# and the images that are not as in the buffer, by their place: bytes, or None for a damaged one.
Batch = collections.namedtuple("Batch", "rows buffer begins changed")


def read_batches(source, rows, image_bytes="benchmark", on_damage="error"):
    """Read rows ahead of their use: in the order of the archive by several threads, given in row order.

    Args:
        source: where the images are, a ``Source``.
        rows: structured array with the fields of ``Row``, from ``locate``.
        image_bytes: ``"benchmark"`` or ``"archive"``, see ``ImagenetSubsetsConfig``.
        on_damage: ``"error"``, or ``"skip"`` to give ``None`` for an image that cannot be decoded.

    Yields:
        ``Batch`` of up to 100 rows, whose buffer is written again once the next batch is asked for.

    Raises:
        ArchiveError: the source was changed, what is at the place of an image is not the image, or it is damaged.
    """
    with source.opened() as (read_image, confirm), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        read = functools.partial(_read_piece, source, read_image, image_bytes, on_damage)
        threads, ahead, free, worked = 2, collections.deque(), [], float("inf")
        try:
            for window in itertools.chain(_windows(rows), [None]):
                if window is not None:
                    ahead.append(_submit(pool, read, window, free.pop() if free else b"", threads))
                while len(ahead) > (window is not None):
                    batch, pieces = ahead.popleft()
                    asked = time.perf_counter()
                    for piece in pieces:
                        batch.changed.update(piece.result())
                    given = time.perf_counter()
                    confirm()
                    if given - asked > worked:  # the storage keeps us waiting: more threads hide its latency
                        threads = min(2 * threads, THREADS)
                    yield batch
                    free.append(batch.buffer)
                    worked = time.perf_counter() - given
        finally:
            pool.shutdown(cancel_futures=True)


def _windows(rows):
    """Consecutive runs of at most ``BATCH_ROWS`` rows and about ``BATCH_BYTES``."""
    for start in range(0, len(rows), BATCH_ROWS):
        run = rows[start : start + BATCH_ROWS]
        number = np.cumsum(run["size"]) // BATCH_BYTES
        yield from np.split(run, np.flatnonzero(np.diff(number)) + 1)


def _submit(pool, read, rows, buffer, threads):
    begins = np.concatenate([[0], np.cumsum(rows["size"])]).astype(np.int32)
    if len(buffer) < begins[-1]:
        buffer = np.empty(begins[-1], np.uint8)
    order = np.lexsort((rows["offset"], rows["name"].astype("S9")))  # by class first: it may have a file of its own
    pieces = np.array_split(order, min(threads, len(rows)))
    batch = Batch(rows, buffer, begins, {})
    return batch, [pool.submit(read, batch, piece.tolist()) for piece in pieces]


def _read_piece(source, read, image_bytes, on_damage, batch, places):
    changed = {}
    for place, row in zip(places, map(Row._make, batch.rows[places].tolist())):
        image = memoryview(batch.buffer)[batch.begins[place] : batch.begins[place + 1]]
        try:
            read(row, image)
            benchmark = as_benchmark(image)
        except Exception as error:  # Pillow's errors have no common base
            # of the file, or of the system
            if isinstance(error, (ArchiveError, MemoryError)) or getattr(error, "errno", None) is not None:
                raise
            told = f"{source.place(row)} is damaged ({str(error).partition(' <_io')[0]})."
            if on_damage == "error":
                raise ArchiveError(f"{told} Download the archive again, or pass on_missing='skip'.") from error
            warnings.warn(f"{told} It is left out.", stacklevel=2)
            benchmark = None
        if benchmark is None or (benchmark is not image and image_bytes == "benchmark"):
            changed[place] = benchmark
    return changed


def as_benchmark(data):
    """An image as TFDS and torchvision users see it once ``datasets`` has decoded it.

    A JPEG of four colours (CMYK, YCCK), or anything but a JPEG, becomes an RGB JPEG (quality 100, 4:4:4). An EXIF or
    XMP orientation, which ``datasets`` alone would heed, becomes 1, "as it is". Other bytes stay as they are.

    Args:
        data: ``bytes``, or a view of bytes: an image file.

    Returns:
        ``data`` itself in all but a few cases in a thousand, else ``bytes`` of a JPEG file.

    Raises:
        OSError: Pillow cannot decode it all (other errors of Pillow's come through, too).
    """
    colours, adobe, turned, whole = 0, False, None, False
    for marker, start, end in _segments(data):
        if marker in FRAMES:
            colours = data[start + 5]
        elif marker == ADOBE:
            adobe = True
        elif marker == APP1:
            turned = turned or ORIENTATION.search(data, start, end)
        elif marker == SCAN:
            whole = JPEG_END.match(data, len(data) - 2) or JPEG_END.search(data, end)
    if whole and colours in (1, 3) and not turned:
        return data
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()  # the judge of what is damaged
        if colours == 4 and not adobe:  # Pillow takes every CMYK JPEG for inverted, as Adobe writes them
            image = PIL.ImageChops.invert(image)
        if colours not in (1, 3):
            file = io.BytesIO()
            image.convert("RGB").save(file, "JPEG", quality=100, subsampling=0)
            return file.getvalue()
        if turned and image.getexif().get(PIL.ExifTags.Base.Orientation, 1) != 1:
            at, end = turned.span(turned.lastindex)
            return b"".join((data[:at], UPRIGHT[turned.lastindex], data[end:]))
    return data


def _segments(data):
    """(marker, start, end) of the segments of a JPEG file, up to its first scan; none of another file."""
    at, marker = 2 if data[:2] == JPEG_START else len(data), None
    while marker != SCAN and at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") if marker != 0xFF else at + 1  # 0xFF: padding
        yield marker, at + 4, min(end, len(data))
        at = end


# -------------------------------------------------------------------------------------- the builder


@dataclasses.dataclass
class ImagenetSubsetsConfig(datasets.BuilderConfig):
    """A subset and how to build it.

    Args:
        label_names: ``"wnid"`` (``n01440764``) or ``"words"`` (``tench, Tinca tinca``).
        splits: names of the splits to build; only the archives that they read are needed. By default all but ``test``
            of the official test archive (label -1), which ``lt`` cannot have.
        on_missing: ``"error"``, or ``"skip"`` to leave out images that are absent or damaged.
        image_bytes: ``"benchmark"``, the images as TFDS and torchvision decode them (see ``as_benchmark``), or
            ``"archive"``, the bytes of the archive.
        unlabeled: of ``1pct`` and ``10pct``: add the split ``unlabeled``, all other training images (label -1).
        train_list: of ``custom``: file with the images of ``train``, see ``read_image_list``.
        validation_list: of ``custom``: file with those of ``validation``; by default the official validation images.
        fetch_split_file: set by the builder: gives the path of a file of ``split_files/``.
    """

    label_names: str = "wnid"
    splits: list = None
    on_missing: str = "error"
    image_bytes: str = "benchmark"
    unlabeled: bool = False
    train_list: str = None
    validation_list: str = None
    fetch_split_file: object = dataclasses.field(default=None, compare=False)

    def create_config_id(self, config_kwargs, custom_features=None):
        """The key of the cache: the options, and what the images and lists are instead of where they are."""
        self._check_options()
        self.classes = read_classes(self.fetch_split_file("classes.parquet"))
        self.wnids = [wnid for wnid, _ in self.classes]
        self._images = {}
        key = {name: getattr(self, name) for name in (*OPTIONS, "splits", "unlabeled")}
        key = {name: value for name, value in key.items() if value != getattr(type(self), name)}
        if self.name == "custom":
            key["lists"] = _digest([self.images(split) for split in self.subset])
        self.sources = self._find_sources() if self.data_dir is not None else {}
        self.identities = {
            kind: source.identity(functools.partial(self.wanted, source)) for kind, source in self.sources.items()
        }
        key |= {kind: identity or self.sources[kind].path for kind, identity in self.identities.items()}
        return super().create_config_id(key, custom_features)

    def __getstate__(self):
        return {**self.__dict__, "_images": {}}  # processes have no use for the lists, which take seconds to pickle

    def _check_options(self):
        for name, allowed in OPTIONS.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not known; choose one of {list(allowed)}.")
        if self.unlabeled and self.name not in UNLABELED:
            raise ValueError(f"unlabeled=True is for {list(UNLABELED)}, which {self.name!r} is not.")
        if bool(self.train_list) != (self.name == "custom") or (self.validation_list and not self.train_list):
            raise ValueError(
                "The config 'custom' needs train_list=..., and may have validation_list=...; no other has."
            )
        splits, known = self.splits, list(self._possible)
        if splits is not None and not (isinstance(splits, list) and splits and set(splits) <= set(known)):
            raise ValueError(f"splits={splits!r}: expected a list out of {known}, the splits of {self.name!r}.")

    @property
    def _possible(self):
        """The splits that there can be and their lists; ``lt`` has a test split without the official test images."""
        lists = dict(SUBSETS.get(self.name, CUSTOM))
        if self.name == "custom" and self.validation_list is None:
            lists["validation"] = "validation"
        if self.unlabeled:
            lists["unlabeled"] = "unlabeled"
        lists.setdefault("test", "test")
        return lists

    @property
    def subset(self):
        """The splits to build and their lists, ``dict[str, str]``."""
        lists = self._possible.items()
        return {name: of for name, of in lists if (of != "test" if self.splits is None else name in self.splits)}

    def images(self, split):
        """The images of a split, ``list[tuple[str, int]]`` of file name and label; ``None``: those no list names."""
        return self.listed(self.subset[split])

    def listed(self, of):
        """The images of a list, as ``images`` has them."""
        if of not in self._images:
            self._images[of] = self._read_images(of)
        return self._images[of]

    def _read_images(self, of):
        if of in LISTS:
            return read_split_list(self.fetch_split_file(f"{of}.parquet"), of, self.wnids)
        if of in CUSTOM.values():
            return read_image_list(getattr(self, of), self.wnids, dict(self.listed("validation")))
        return test_images() if of == "test" else None

    def rows(self, split):
        """How many images a split has."""
        of = self.subset[split]
        if of == "full":
            return TRAIN_IMAGES
        if of == "unlabeled":
            return TRAIN_IMAGES - LISTS[self.name][0]
        return LISTS[of][0] if of in LISTS else len(self.images(split))

    def source(self, split):
        """Where the images of a split are, a ``Source``."""
        return self.sources[self.kind(split)]

    def wanted(self, source):
        """The images that all splits together want of a source, as what ``Source.index`` calls gives them."""
        lists = [self.images(split) for split in self.subset if self.source(split) is source]
        return None if None in lists else set(itertools.chain.from_iterable(lists))

    def kind(self, split):
        """``"train"``, ``"validation"`` or ``"test"``: which of the archives has the images of a split."""
        of = self.subset[split]
        is_validation = of == "validation" or (of in CUSTOM.values() and self.images(split)[0][0][0] == "I")
        return "validation" if is_validation else "test" if of == "test" else "train"

    def _find_sources(self):
        sources = {}
        for kind in dict.fromkeys(self.kind(split) for split in self.subset):
            source = find_source(kind, self.data_dir, self.wnids)
            sources[kind] = next((other for other in sources.values() if other == source), source)  # one file, one pass
        return sources


def _fetch_split_file(base_path, token, name):
    settings = datasets.DownloadConfig(token=token)
    return datasets.DownloadManager(base_path=base_path, download_config=settings).download(f"split_files/{name}")


class ImagenetSubsets(datasets.GeneratorBasedBuilder):
    """Builder of the subsets. Rows: ``image`` (decodes to RGB), ``label`` (0 to 999), ``file_name``."""

    VERSION = datasets.Version(VERSION)
    BUILDER_CONFIG_CLASS = ImagenetSubsetsConfig
    BUILDER_CONFIGS = [ImagenetSubsetsConfig(name=name, version=VERSION) for name in (*SUBSETS, "custom")]  # noqa: RUF012
    DEFAULT_CONFIG_NAME = "1pct"
    DEFAULT_WRITER_BATCH_SIZE = BATCH_ROWS

    def __init__(self, *args, data_dir=None, base_path=None, token=None, **kwargs):
        if data_dir is not None:  # one place, one cache, however it is written
            data_dir = os.path.abspath(os.path.expanduser(data_dir))
            if "::" in data_dir:
                raise ValueError(f"data_dir={data_dir!r}: in '::', datasets sees two paths. Pass a link to the folder.")
        base_path = base_path or str(HOME)
        kwargs["fetch_split_file"] = functools.partial(_fetch_split_file, base_path, token)
        super().__init__(*args, data_dir=data_dir, base_path=base_path, token=token, **kwargs)

    def _info(self):
        with open(self.config.fetch_split_file("citation.bib"), encoding="utf-8") as file:
            citation = file.read()
        names = label_names(self.config.classes, self.config.label_names)
        return datasets.DatasetInfo(
            description=DESCRIPTION,
            citation=citation,
            homepage=HOMEPAGE,
            license=LICENSE,
            features=datasets.Features(
                {
                    "image": datasets.Image(mode="RGB"),
                    "label": datasets.ClassLabel(names=names),
                    "file_name": datasets.Value("string"),
                }
            ),
            supervised_keys=("image", "label"),
            splits=_split_infos({split: self.config.rows(split) for split in self.config.subset}),
        )

    def _split_generators(self, dl_manager):
        if self.config.data_dir is None:
            raise ValueError(f"data_dir is missing. {MANUAL_DOWNLOAD} {OTHER_LAYOUTS}")
        indexes = self._indexes()
        plans = {split: self._plan(split, indexes[id(self.config.source(split))]) for split in self.config.subset}
        # datasets compares what it has written with this, on every version; skipped damage shows only in reading.
        prepares_skipping = self.config.on_missing == "skip" and not getattr(dl_manager, "is_streaming", False)
        rows = {split: len(plan) for split, plan in plans.items()}
        self.info.splits = None if prepares_skipping else _split_infos(rows)
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs={
                    "source": self.config.source(split),
                    "shards": np.array_split(plan, min(SHARDS, len(plan))),
                },
            )
            for split, plan in plans.items()
        ]

    def _indexes(self):
        """{id of a source: its index}; errors that a look can show come before any work."""
        sources = self.config.sources
        for source in sources.values():
            source.check()
        indexes = {}
        for kind, source in sources.items():
            if id(source) not in indexes:
                index = indexes[id(source)] = source.index(functools.partial(self.config.wanted, source))
                if index.schema.metadata[b"identity"].decode() != self.config.identities[kind]:
                    raise ArchiveError(
                        f"{source.path} was changed after this builder was made. Make it anew, or load again."
                    )
        return indexes

    def _plan(self, split, index):
        """Where the images of a split are: a structured array with a row for each, in row order."""
        source = self.config.source(split)
        images = self.config.images(split)
        plan = self._unlisted(split, index) if images is None else locate(images, index)
        if split in ("train", "unlabeled"):  # by the SHA-256 of the name, so that any run of rows mixes the classes
            digests = [hashlib.sha256(name).digest() for name in plan["name"].tolist()]
            plan = plan[sorted(range(len(plan)), key=digests.__getitem__)]
        if plan["size"].max() > MAX_IMAGE:
            name = plan["name"][plan["size"].argmax()].decode()
            raise ArchiveError(f"{source.path}: {name} is said to have {plan['size'].max():,} bytes, as no image has.")
        there = plan[plan["size"] > 0]
        if len(there) < len(plan) and (self.config.on_missing == "error" or not len(there)):
            missing = [(name.decode(), label) for name, label in plan[plan["size"] == 0][["name", "label"]].tolist()]
            shown = missing if self.config.name == "custom" else missing[:3]  # a user's list may have names in error
            raise ArchiveError(
                f"{source.path}: {len(missing):,} of the {len(plan):,} images that {self.config.name} lists for "
                f"{split} are absent or empty, {'namely' if shown is missing else 'such as'} "
                f"{', '.join(name for name, _ in shown)}. {source.explain(missing)} "
                "To leave out what is missing: on_missing='skip'."
            )
        return there

    def _unlisted(self, split, index):
        """The training images, ``full``, or those outside the subset, ``unlabeled``."""
        source, wnids, rows = self.config.source(split), self.config.wnids, self.config.rows(split)
        images = training_images(index, wnids)
        absent = [(f"{wnids[label]}_1.JPEG", label) for label in set(range(len(wnids))) - set(images["label"].tolist())]
        if split == "unlabeled":
            listed = {name.encode() for name, _ in self.config.listed(self.config.name)}
            images = images[[name not in listed for name in images["name"].tolist()]]
            images["label"] = -1
        if len(images) > rows or (len(images) < rows and (self.config.on_missing == "error" or not len(images))):
            raise ArchiveError(
                f"{source.path} has {len(images):,} training images for {split}; in ILSVRC 2012 there are {rows:,}. "
                f"{source.explain(absent)}"
            )
        return images

    def _download_and_prepare(self, *args, **kwargs):
        for left in os.scandir(self._output_dir) if self._output_dir.endswith(".incomplete") else ():
            os.unlink(left.path)  # by a preparation that was killed; it must not become part of this one
        with _children_end_with_us():
            super()._download_and_prepare(*args, **kwargs)

    def _get_examples_iterable_for_split(self, split_generator):
        if self.config.on_missing == "skip":  # a position among the examples is not one among the rows
            return super()._get_examples_iterable_for_split(split_generator)
        return _ResumingExamples(self._generate_examples, split_generator.gen_kwargs)

    def _generate_examples(self, source, shards):
        for batch in self._read(source, shards):
            for place, (name, label) in enumerate(batch.rows[["name", "label"]].tolist()):
                image = batch.changed.get(place, batch.buffer[batch.begins[place] : batch.begins[place + 1]])
                if image is not None:
                    name = name.decode()
                    yield name, {"image": {"path": name, "bytes": bytes(image)}, "label": label, "file_name": name}

    def _generate_tables(self, source, shards):
        """What ``_generate_examples`` yields, as ``(number, pa.Table)`` a batch, without a copy of image bytes."""
        for number, batch in enumerate(self._read(source, shards)):
            kept = [place for place in range(len(batch.rows)) if batch.changed.get(place, b"") is not None]
            names = pa.array([name.decode() for name in batch.rows["name"][kept].tolist()], pa.string())
            images = pa.StructArray.from_arrays([_image_array(batch, kept), names], ["bytes", "path"])
            labels = pa.array(batch.rows["label"][kept], pa.int64())
            yield number, pa.table({"image": images, "label": labels, "file_name": names})

    def _read(self, source, shards):
        rows = np.concatenate(shards)
        return read_batches(source, rows, self.config.image_bytes, on_damage=self.config.on_missing)

    def _prepare_split_single(self, gen_kwargs, fpath, file_format, max_shard_size, job_id, **of_examples):
        # Writing tables, as datasets does for builders of tables, takes half the time of writing examples.
        with _naming(self._output_dir, "writing the dataset"):
            yield from datasets.ArrowBasedBuilder._prepare_split_single(
                self, gen_kwargs, fpath, file_format, max_shard_size, job_id
            )

    def as_dataset(self, *args, **kwargs):
        """As in ``datasets``; warns of images that were skipped."""
        self._warn_of_skipped()
        return super().as_dataset(*args, **kwargs)

    def as_streaming_dataset(self, *args, **kwargs):
        """As in ``datasets``; warns of images that are skipped."""
        dataset = super().as_streaming_dataset(*args, **kwargs)
        self._warn_of_skipped()
        return dataset

    def _warn_of_skipped(self):
        rows = {split: self.config.rows(split) for split in self.config.subset}
        missing = {split: count - self.info.splits[split].num_examples for split, count in rows.items()}
        counts = ", ".join(f"{count:,} of {rows[split]:,} in {split}" for split, count in missing.items() if count)
        if counts:
            warnings.warn(f"{self.config.name}: images that the archive lacks are left out: {counts}.", stacklevel=3)


def _image_array(batch, kept):
    """The images of a batch, ``pa.BinaryArray``; over its buffer where all are in there.

    A table of one row is copied: datasets 5 keeps those to write them later, when the buffer has other images.
    """
    if not batch.changed and len(kept) > 1:
        buffers = [None, pa.py_buffer(batch.begins), pa.py_buffer(batch.buffer)]
        return pa.Array.from_buffers(pa.binary(), len(batch.rows), buffers)
    views = [memoryview(batch.buffer)[begin:end] for begin, end in itertools.pairwise(batch.begins)]
    return pa.array([bytes(batch.changed.get(place, views[place])) for place in kept], pa.binary())


@contextlib.contextmanager
def _children_end_with_us():
    """On Linux, let a killed preparation take its processes along: else they write, and hold locks, for ever."""
    _preparing.append(os.getpid())
    try:
        yield
    finally:
        _preparing.pop()


def _end_with_parent():
    if _preparing and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != _preparing[-1]:  # it was killed before we asked
            os._exit(1)
        _preparing[-1] = os.getpid()  # what it forks ends with it


_preparing = []
PR_SET_PDEATHSIG = 1
os.register_at_fork(after_in_child=_end_with_parent)


class _ResumingExamples(ExamplesIterable):
    """Examples that go on from a ``state_dict()`` at once, where ``datasets`` reads the shard up to there again."""

    def __iter__(self):
        state = getattr(self, "_state_dict", None)  # datasets 2.19 has none
        if not state:
            yield from super().__iter__()
            return
        for shard in self.kwargs["shards"][state["shard_idx"] :]:
            rest = {**self.kwargs, "shards": [shard[state["shard_example_idx"] :]]}
            for example in self.generate_examples_fn(**rest):
                state["shard_example_idx"] += 1
                yield example
            state["shard_idx"] += 1
            state["shard_example_idx"] = 0

    def shard_data_sources(self, *args, **kwargs):
        return self._resuming(super().shard_data_sources(*args, **kwargs))

    def shuffle_data_sources(self, *args, **kwargs):
        return self._resuming(super().shuffle_data_sources(*args, **kwargs))

    def _resuming(self, examples):
        plain = type(examples) is ExamplesIterable
        return type(self)(examples.generate_examples_fn, examples.kwargs) if plain else examples


def _split_infos(rows):
    return datasets.SplitDict.from_split_dict([{"name": split, "num_examples": count} for split, count in rows.items()])


# ------------------------------------------------------------------------------------- load_dataset


def load_dataset(
    name=None,
    data_dir=None,
    split=None,
    cache_dir=None,
    features=None,
    download_mode=None,
    verification_mode=None,
    keep_in_memory=None,
    streaming=False,
    num_proc=None,
    **config_kwargs,
):
    """``datasets.load_dataset`` for this builder, on any version of datasets.

    Args:
        name: ``"1pct"`` (default), ``"10pct"``, ``"lt"``, ``"full"`` or ``"custom"``.
        data_dir: the folder that holds the images, see ``find_source``.
        **config_kwargs: options of ``ImagenetSubsetsConfig``.

    The other arguments, and what is returned, are those of ``datasets.load_dataset``.

    Raises:
        FileNotFoundError: an archive is not there.
        ArchiveError: an archive is not what it should be, or lacks images.
        ValueError: an unknown name or option.

    Example:

        >>> imagenet_subsets.load_dataset("1pct", data_dir="/data/imagenet", split="train").num_rows
        12811
    """
    if streaming and num_proc is not None:
        raise NotImplementedError("A streaming dataset is not prepared, so num_proc does not go with streaming=True.")
    with open(__file__, "rb") as source:  # a changed builder must not serve what another has cached
        digest = hashlib.sha256(source.read()).hexdigest()
    builder = ImagenetSubsets(
        config_name=name, data_dir=data_dir, cache_dir=cache_dir, features=features, hash=digest, **config_kwargs
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(download_mode=download_mode, verification_mode=verification_mode, num_proc=num_proc)
    if keep_in_memory is None:
        keep_in_memory = is_small_dataset(builder.info.dataset_size)
    return builder.as_dataset(split=split, in_memory=keep_in_memory)
