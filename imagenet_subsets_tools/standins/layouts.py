"""Write any images in the layouts in which people have ImageNet.

Each writer takes ``images``, a mapping of official file name -> bytes for training, validation and test images, and
``target``, the folder to write, a ``data_dir``. Absent images are left out.
"""

import gzip
import itertools
import json
import random
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_reader.facts import TEST_ARCHIVES, TRAIN_ARCHIVE, VALIDATION_ARCHIVE, WNID
from imagenet_reader.formats.tfrecord import masked_crc32c
from imagenet_reader.lists import label_of, read_classes, read_wnids

ImageFiles = Mapping[str, bytes]  # official file name -> content; stand-ins are drawn on access
Files = Iterable[tuple[str, bytes]]  # path -> content
Counts = Mapping[str, int]  # split -> files
PREFIXES = {"ILSVRC2012_val_": "validation", "ILSVRC2012_test_": "test"}
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
ZIP, TAR_GZ = "imagenet-object-localization-challenge.zip", "imagenet_object_localization_patched2019.tar.gz"
DATA = "ILSVRC/Data/CLS-LOC"
EXTRAS = json.loads(Path(__file__).with_name("kaggle.json").read_text())  # other files of the competition, by path
PARQUET_FILES = {"train": 294, "validation": 14, "test": 28}
ROW_GROUP = 100  # rows
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
SHARDS = {"train": 1024, "validation": 64, "test": 128}
DIGITS = {"train": 4, "validation": 2, "test": 3}  # of the number of a WebDataset shard
NAME, VERSION = "imagenet2012", "5.1.0"
BLOCK, RECORD = 512, 10_240  # bytes
_EMPTY_HEADER = tarfile.TarInfo("").tobuf(tarfile.GNU_FORMAT)
_EMPTY_CHECKSUM = int(_EMPTY_HEADER[148:154], 8) - sum(_EMPTY_HEADER[124:135])


def split_of(name: str) -> str:
    return next((split for prefix, split in PREFIXES.items() if name.startswith(prefix)), "train")


def wnid_of(name: str) -> str | None:
    """The wnid of an image's class; ``None`` in the test set."""
    label = label_of(name)
    return None if label == -1 else read_wnids()[label]


def by_split(names: Collection[str]) -> dict[str, list[str]]:
    """The names in each split that is not empty, in their order."""
    return {split: found for split in FOLDERS if (found := [name for name in names if split_of(name) == split])}


def by_class(names: Collection[str]) -> dict[str, list[str]]:
    """The names of the training images of each class, in their order."""
    found: dict[str, list[str]] = {}
    for name in by_split(names).get("train", ()):
        found.setdefault(name[WNID], []).append(name)
    return found


def hub_name(name: str) -> str:
    """The name that an image has on the Hub, such as ``n01440764_10026_n01440764.JPEG``."""
    wnid = wnid_of(name)
    return name if wnid is None else f"{name.removesuffix('.JPEG')}_{wnid}.JPEG"


def write_archives(images: ImageFiles, target: Path) -> None:
    """Write ``ILSVRC2012_img_train.tar``, a tar of class tars, and the flat archives of validation and test images."""
    if classes := by_class(images):
        tars = ((f"{wnid}.tar", _class_tar(images, names)) for wnid, names in classes.items())
        write_tar(_made(target) / TRAIN_ARCHIVE, tars)
    for split, archive in (("validation", VALIDATION_ARCHIVE), ("test", TEST_ARCHIVES[0])):
        if names := by_split(images).get(split, []):
            write_tar(_made(target) / archive, ((name, images[name]) for name in names))


def _class_tar(images: ImageFiles, names: list[str]) -> bytes:
    return b"".join(_tar_pieces((name, images[name]) for name in names))


def write_class_tars(images: ImageFiles, target: Path) -> None:
    """Write ``train/n01440764.tar`` and so on, and the other images as files, in ``val/`` and ``test/``."""
    for wnid, names in by_class(images).items():
        (_made(target / "train") / f"{wnid}.tar").write_bytes(_class_tar(images, names))
    _write_files(((f"{_folder(name)}/{name}", images[name]) for name in images if split_of(name) != "train"), target)


def write_folders(images: ImageFiles, target: Path) -> None:
    """Write ``train/<wnid>/*.JPEG``, ``val/*.JPEG`` and ``test/*.JPEG``."""
    _write_files(((f"{_folder(name, 'train')}/{name}", images[name]) for name in images), target)


def write_hub_folders(images: ImageFiles, target: Path, *by_class: str) -> None:
    """Write the extracted ``tar.gz`` files of the Hub, with the file names used there; flat but for some splits."""
    _write_files(((f"{_folder(name, *by_class)}/{hub_name(name)}", images[name]) for name in images), target)


def _folder(name: str, *by_class: str) -> str:
    """The folder of an image: that of its split, or of its class in the splits that are sorted by class."""
    split = split_of(name)
    return f"{FOLDERS[split]}/{wnid_of(name)}" if split in by_class else FOLDERS[split]


def _write_files(files: Files, target: Path) -> None:
    for path, content in files:
        file = target / path
        (_made(file.parent) / file.name).write_bytes(content)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_kaggle_folders(images: ImageFiles, target: Path) -> None:
    """Write the extracted folders below ``ILSVRC/Data/CLS-LOC``, and the other files of the competition."""
    _write_files(kaggle_members(images), target)


def write_kaggle_zip(images: ImageFiles, target: Path) -> None:
    """Write ``imagenet-object-localization-challenge.zip``, whose members are compressed."""
    with zipfile.ZipFile(_made(target) / ZIP, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in kaggle_members(images):
            archive.writestr(path, content)


def write_kaggle_tar_gz(images: ImageFiles, target: Path) -> None:
    """Write ``imagenet_object_localization_patched2019.tar.gz``."""
    write_tar(_made(target) / TAR_GZ, kaggle_members(images))


def kaggle_members(images: ImageFiles) -> Iterator[tuple[str, bytes]]:
    """The members of both archives, (path, content), in their order; extracted, they are the folders."""
    splits = by_split(images) | {"train": list(itertools.chain(*by_class(images).values()))}
    yield from ((path, text.encode()) for path, text in EXTRAS.items())
    for split in ("test", "train", "validation"):
        for name in splits.get(split, ()):
            yield f"{DATA}/{_folder(name, 'train')}/{name}", images[name]


def write_hub_parquet(images: ImageFiles, target: Path, shards: Counts = PARQUET_FILES) -> None:
    """Write ``data/train-00000-of-00294.parquet`` and so on; ``shards`` has the number of files per split."""
    words = [words for _, words in read_classes()]
    names = [f"{name}2" if name in words[:label] else name for label, name in enumerate(words)]  # the second crane
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema({"image": IMAGE, "label": pa.int64()}, metadata=metadata)
    for split, number, shard in _shards(images, shards):
        path = _made(target / "data") / f"{split}-{number:05d}-of-{shards[split]:05d}.parquet"
        with pq.ParquetWriter(path, schema) as writer:  # with the defaults, Snappy and dictionary pages
            for start in range(0, len(shard), ROW_GROUP):
                group = shard[start : start + ROW_GROUP]
                rows = [{"bytes": images[name], "path": hub_name(name)} for name in group]
                columns = [pa.array(rows, IMAGE), pa.array(map(label_of, group), pa.int64())]
                writer.write_table(pa.table(columns, schema), len(group))


def _shards(images: ImageFiles, counts: Counts) -> Iterator[tuple[str, int, list[str]]]:
    """(split, number, names) per shard; names are shuffled, always in the same way, and divided evenly."""
    for split, names in by_split(images).items():
        names = random.Random(0).sample(sorted(names), len(names))
        ends = [len(names) * shard // counts[split] for shard in range(counts[split] + 1)]
        for number, (start, end) in enumerate(itertools.pairwise(ends)):
            yield split, number, names[start:end]


def write_hub_tar_gz(images: ImageFiles, target: Path) -> None:
    """Write ``data/train_images_0.tar.gz`` to ``_4``, ``val_images.tar.gz`` and ``test_images.tar.gz``, all flat."""
    for split, number, shard in _shards(images, {"train": 5, "validation": 1, "test": 1}):
        file = f"train_images_{number}.tar.gz" if split == "train" else f"{FOLDERS[split]}_images.tar.gz"
        write_tar(_made(target / "data") / file, ((hub_name(name), images[name]) for name in shard))


def write_webdataset(images: ImageFiles, target: Path, shards: Counts = SHARDS, numbered: bool = False) -> None:
    """Write ``imagenet1k-train-0000.tar`` and so on, as ``timm/imagenet-1k-wds``; ``numbered`` ones are in folders."""
    count = dict.fromkeys(shards, 0)
    for split, number, shard in _shards(images, shards):
        stems = [f"{count[split] + k:08d}" if numbered else name.removesuffix(".JPEG") for k, name in enumerate(shard)]
        path = _made(target / split if numbered else target) / f"imagenet1k-{split}-{number:0{DIGITS[split]}d}.tar"
        write_tar(path, (member for stem, name in zip(stems, shard) for member in _sample(images, stem, name)))
        count[split] += len(shard)


def _sample(images: ImageFiles, stem: str, name: str) -> Iterator[tuple[str, bytes]]:
    label, wnid = label_of(name), wnid_of(name)
    filename = name if wnid is None else f"{wnid}/{name}"
    yield f"{stem}.cls", str(label).encode()
    yield f"{stem}.jpg", images[name]
    yield f"{stem}.json", json.dumps({"filename": filename, "label": label}).encode()


def write_tfds(images: ImageFiles, target: Path, shards: Counts = SHARDS) -> None:
    """Write ``imagenet2012/5.1.0/imagenet2012-train.tfrecord-00000-of-01024`` and so on, without TensorFlow."""
    directory, lengths, sizes = _made(target / NAME / VERSION), dict[str, list[str]](), dict.fromkeys(shards, 0)
    for split, number, shard in _shards(images, shards):
        with open(directory / f"{NAME}-{split}.tfrecord-{number:05d}-of-{shards[split]:05d}", "wb") as file:
            for name in shard:
                data = example(name, images[name], label_of(name))
                file.write(record(data))
                sizes[split] += len(data)
        lengths.setdefault(split, []).append(str(len(shard)))
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    info = json.loads(Path(__file__).with_name("dataset_info.json").read_text())
    info["splits"] = [
        {"filepathTemplate": template, "name": split, "numBytes": str(sizes[split]), "shardLengths": of_shards}
        for split, of_shards in lengths.items()
    ]
    (directory / "dataset_info.json").write_text(json.dumps(info, indent=2))
    shutil.copyfile(Path(__file__).with_name("features.json"), directory / "features.json")
    (directory / "label.labels.txt").write_text("".join(f"{wnid}\n" for wnid in read_wnids()))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc32c(length)), data, struct.pack("<I", masked_crc32c(data))))


def example(name: str, image: bytes, label: int) -> bytes:
    """A ``tf.train.Example`` of an image. In half of them, the name follows the image: features have no order."""
    values = {
        b"file_name": _field(1, _field(1, name.encode())),
        b"image": _field(1, _field(1, image)),
        b"label": _field(3, _field(1, _varint(label % (1 << 64)))),
    }
    features = [_field(1, _field(1, key) + _field(2, value)) for key, value in values.items()]
    return _field(1, b"".join(features[:: -1 if sum(name.encode()) % 2 else 1]))


def _field(number: int, content: bytes) -> bytes:
    return b"".join((bytes([number << 3 | 2]), _varint(len(content)), content))


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    return bytes([number & 127 | 128]) + _varint(number >> 7)


def write_tar(path: Path, members: Files) -> None:
    """Write a tar of members; compressed, if the name ends in ``.gz``."""
    gz = path.suffix == ".gz"
    with gzip.open(path, "wb", compresslevel=1) if gz else path.open("wb", buffering=1 << 20) as file:
        file.writelines(_tar_pieces(members))


def _tar_pieces(members: Files) -> Iterator[bytes]:
    """The bytes of a tar: its members, two zero blocks, and zeros up to a full record."""
    length = 0
    for name, content in members:
        piece = b"".join((header(name, len(content)), content, bytes(-len(content) % BLOCK)))
        length += len(piece)
        yield piece
    yield bytes(2 * BLOCK + -(length + 2 * BLOCK) % RECORD)


def header(name: str, size: int) -> bytes:
    """The header of a file of ``size`` bytes, 20 times as fast as ``TarInfo.tobuf``, for up to 1.3 million files."""
    field, digits, empty = name.encode(), b"%011o" % size, _EMPTY_HEADER
    checksum = b"%06o" % (_EMPTY_CHECKSUM + sum(field) + sum(digits))
    return b"".join((field.ljust(100, b"\0"), empty[100:124], digits, empty[135:148], checksum, empty[154:]))


FORMS: dict[str, Callable[[ImageFiles, Path], None]] = {
    "archives": write_archives,
    "class-tars": write_class_tars,
    "folders": write_folders,
    "kaggle-folders": write_kaggle_folders,
    "kaggle-zip": write_kaggle_zip,
    "kaggle-tar-gz": write_kaggle_tar_gz,
    "hub-parquet": write_hub_parquet,
    "hub-tar-gz": write_hub_tar_gz,
    "hub-folders": write_hub_folders,
    "webdataset": write_webdataset,
    "tfds": write_tfds,
}
