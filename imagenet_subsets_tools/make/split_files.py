"""Make ``split_files/`` from the published texts.

The texts are not part of this project. With those that ``split_files/sources.csv`` lists, the Parquet files can be
rebuilt byte for byte:

    python -m imagenet_subsets_tools.make.split_files FOLDER_OF_TEXTS split_files

A list of images has columns ``label`` (0 to 999, the rank of the sorted wnids) and ``number``, in published order, for
the training image ``<wnid>_<number>.JPEG``, or in ``validation.parquet`` for ``ILSVRC2012_val_<eight digits>.JPEG``, in
the order of ImageNet-LT's test list. ``real.parquet`` has the ``labels`` of the validation image of number k in row k,
from 1. A set of classes has their ``label``, in published order.
"""

import json
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_subsets_tools.lists import SOURCES, published_lines


def make_split_files(texts: Path, split_files: Path) -> None:
    """Write ``split_files/``; ``ValueError`` if a line has another format, or if the texts contradict each other."""
    classes = [line.split(" ", 1) for line in _lines(texts / "synset_words.txt")]
    label_of = {wnid: label for label, (wnid, _) in enumerate(classes)}
    split_files.mkdir(parents=True, exist_ok=True)
    _write(split_files / "classes.parquet", wnid=[c[0] for c in classes], words=[c[1] for c in classes])
    for split_file, name, line in SOURCES:
        if "{number" in line:
            labels, numbers = zip(*[_image(label_of, text) for text in _lines(texts / name)])
            _write(split_files / split_file, label=pa.array(labels, pa.int16()), number=pa.array(numbers, pa.int32()))
        elif line == "{wnid}" and split_file not in ("classes.parquet", "validation.parquet"):
            chosen = [label_of[wnid] for wnid in _lines(texts / name)]
            _write(split_files / split_file, label=pa.array(chosen, pa.int16()))
    real = json.loads((texts / "real.json").read_text(encoding="utf-8"))
    _write(split_files / "real.parquet", labels=pa.array(real, pa.list_(pa.int16())))
    for split_file, name, line in SOURCES:
        if published_lines(split_files, split_file, line) != _lines(texts / name):
            raise ValueError(f"{split_file} does not reproduce the lines of {texts / name}")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _image(label_of: dict[str, int], line: str) -> tuple[int, int]:
    """(label, number) of a published line: a file name, optionally with folders before and a label after it."""
    match = re.fullmatch(r"(?:(?:train|val)/)?(n\d{8})(?:/(?:\1|ILSVRC2012_val))?_(\d+)\.JPEG(?: \d+)?", line)
    if match is None:
        raise ValueError(f"{line!r} is not a line of a published list of images")
    return label_of[match[1]], int(match[2])


def _write(path: Path, **columns: list[str] | pa.Array) -> None:
    encodings = {name: "BYTE_STREAM_SPLIT" for name in ("label", "number") if name in columns}  # compresses best
    options = {"compression": "zstd", "compression_level": 19, "use_dictionary": False, "column_encoding": encodings}
    pq.write_table(pa.table(columns), path, **options)


if __name__ == "__main__":
    make_split_files(Path(sys.argv[1]), Path(sys.argv[2]))
