"""The dataset ``imagenet2012`` as prepared by TensorFlow Datasets: TFRecord files and their metadata.

Written without TensorFlow; see ``imagenet_reader/formats/tfrecord.py`` for the format. As in TensorFlow, features have
no fixed order: in half of the records, the name follows the image.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from imagenet_reader.formats.crc32c import masked_crc32c
from imagenet_subsets_tools.standins.forms.names import Images, by_split, label_of, shuffled_shards, wnids

NAME, VERSION = "imagenet2012", "5.1.0"
SHARDS = {"train": 1024, "validation": 64, "test": 128}
FILE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
FEATURES = "tensorflow_datasets.core.features"


def write_tfds(
    images: Images, target: Path, shards: Mapping[str, int] = SHARDS, folder: str = f"{NAME}/{VERSION}"
) -> None:
    """Write ``imagenet2012/5.1.0/imagenet2012-train.tfrecord-00000-of-01024`` and so on.

    Args:
        images: official file name -> bytes.
        target: the folder to write into, TensorFlow Datasets' ``data_dir``.
        shards: files per split.
        folder: the folder of the files, below ``target``.
    """
    directory = target / folder
    directory.mkdir(parents=True, exist_ok=True)
    splits = []
    for split, names in by_split(images).items():
        count, size, lengths = shards[split], 0, []
        for number, shard in enumerate(shuffled_shards(names, count)):
            path = directory / f"{NAME}-{split}.tfrecord-{number:05d}-of-{count:05d}"
            with path.open("wb") as file:
                for name in shard:
                    data = example(name, images[name], label_of(name))
                    file.write(record(data))
                    size += len(data)
            lengths.append(str(len(shard)))
        splits.append({"filepathTemplate": FILE, "name": split, "numBytes": str(size), "shardLengths": lengths})
    _write_metadata(directory, splits)


def record(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(content)) for content in (length, data))
    return b"".join((length, next(checksums), data, next(checksums)))


def example(name: str, image: bytes, label: int) -> bytes:
    """A ``tf.train.Example`` of an image."""
    features = [
        _feature(b"file_name", _field(1, _field(1, name.encode()))),
        _feature(b"image", _field(1, _field(1, image))),
        _feature(b"label", _field(3, _field(1, _varint(label % (1 << 64))))),
    ]
    if sum(name.encode()) % 2:
        features.reverse()
    return _field(1, b"".join(features))


def _feature(key: bytes, value: bytes) -> bytes:
    return _field(1, _field(1, key) + _field(2, value))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return b"".join((bytes([number << 3 | 2]), _varint(len(content)), content))


def _varint(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def _write_metadata(directory: Path, splits: list[dict]) -> None:
    """Write the metadata with which TensorFlow Datasets finds the records."""
    info = {
        "description": "Stand-ins for ILSVRC 2012.",
        "fileFormat": "tfrecord",
        "location": {"urls": ["https://www.image-net.org/"]},
        "moduleName": "tensorflow_datasets.image_classification.imagenet2012.imagenet2012",
        "name": NAME,
        "splits": splits,
        "supervisedKeys": {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}},
        "version": VERSION,
    }
    image = {"dtype": "uint8", "encodingFormat": "jpeg", "shape": {"dimensions": ["-1", "-1", "3"]}}
    features = {
        "file_name": {"pythonClassName": f"{FEATURES}.text_feature.Text", "text": {}},
        "image": {"pythonClassName": f"{FEATURES}.image_feature.Image", "image": image},
        "label": {
            "pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(len(wnids()))},
        },
    }
    described = {
        "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }
    (directory / "dataset_info.json").write_text(json.dumps(info, indent=2))
    (directory / "features.json").write_text(json.dumps(described, indent=4))
    (directory / "label.labels.txt").write_text("".join(f"{wnid}\n" for wnid in wnids()))
