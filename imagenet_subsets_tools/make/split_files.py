"""Make ``split_files/`` from the published texts, and the published lines from ``split_files/``.

The texts are not part of this project. With those that ``split_files/sources.csv`` lists, the Parquet files can be
rebuilt byte for byte:

    python -m imagenet_subsets_tools.make.split_files FOLDER_OF_TEXTS split_files

A training list has columns ``label`` (0 to 999, the rank of the sorted wnids) and ``number``, for the image
``<wnid>_<number>.JPEG``. ``validation.parquet`` has the ``label``, and ``real.parquet`` the ``labels``, of
``ILSVRC2012_val_<k, eight digits>.JPEG`` in row k, from 1. A set of classes has their ``label``, in published order.
"""

import csv
import json
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_reader.lists import SPLIT_FILES

TRAIN_NAME = "{wnid}_{number}.JPEG"
VALIDATION_NAME = "ILSVRC2012_val_{number:08d}.JPEG"
JSON = "JSON"  # instead of a line format: the text is a list of lists of labels
LINES = json.loads(Path(__file__).with_name("lines.json").read_text())  # published text -> line format
with open(SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
    # (split file, published text, line format)
    SOURCES = [(row["split_file"], row["published_name"], LINES[row["published_name"]]) for row in csv.DictReader(file)]


def published_lines(split_files: Path, split_file: str, line: str) -> list[str]:
    """The lines of a published text in the order of the split file; ``line`` is their format, from ``LINES``."""
    if line == JSON:
        return [json.dumps(pq.read_table(Path(split_files) / split_file)["labels"].to_pylist())]
    classes = pq.read_table(Path(split_files) / "classes.parquet").to_pylist()
    rows = pq.read_table(Path(split_files) / split_file).to_pylist()
    return [
        line.format(**{"number": k, "label": k - 1, **row, **classes[row.get("label", k - 1)]})
        for k, row in enumerate(rows, start=1)
    ]


def published_text(split_files: Path, split_file: str, line: str) -> str:
    """A published text with its line ends; JSON has none."""
    lines = published_lines(split_files, split_file, line)
    return lines[0] if line == JSON else "".join(f"{line}\n" for line in lines)


def make_split_files(texts: Path, split_files: Path) -> None:
    """Write ``split_files/``; ``ValueError`` if a line has another format, or if the texts contradict each other."""
    classes = [line.split(" ", 1) for line in _lines(texts / "synset_words.txt")]
    label_of = {wnid: label for label, (wnid, _) in enumerate(classes)}
    split_files.mkdir(parents=True, exist_ok=True)
    _write(split_files / "classes.parquet", wnid=[c[0] for c in classes], words=[c[1] for c in classes])
    for split_file, name, line in SOURCES:
        if "{number}" in line:
            images = sorted(_image(label_of, text) for text in _lines(texts / name))
            labels, numbers = zip(*images)
            _write(split_files / split_file, label=pa.array(labels, pa.int16()), number=pa.array(numbers, pa.int32()))
        elif line == "{wnid}" and split_file != "classes.parquet":
            chosen = [label_of[wnid] for wnid in _lines(texts / name)]
            _write(split_files / split_file, label=pa.array(chosen, pa.int16()))
    real = json.loads((texts / "real.json").read_text(encoding="utf-8"))
    _write(split_files / "real.parquet", labels=pa.array(real, pa.list_(pa.int16())))
    for split_file, name, line in SOURCES:
        if sorted(published_lines(split_files, split_file, line)) != sorted(_lines(texts / name)):
            raise ValueError(f"{split_file} does not reproduce the lines of {texts / name}")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _image(label_of: dict[str, int], line: str) -> tuple[int, int]:
    """(label, number) of a published line: a file name, optionally with folders before and a label after it."""
    match = re.fullmatch(r"(?:train/n\d{8}/)?(n\d{8})_(\d+)\.JPEG(?: \d+)?", line)
    if match is None:
        raise ValueError(f"{line!r} is not a line of a published training list")
    return label_of[match[1]], int(match[2])


def _write(path: Path, **columns: list[str] | pa.Array) -> None:
    # The lists are sorted, so differences between neighbours are small and compress well.
    encodings = {name: "DELTA_BINARY_PACKED" for name in ("label", "number") if name in columns}
    options = {"compression": "zstd", "compression_level": 19, "use_dictionary": False, "column_encoding": encodings}
    pq.write_table(pa.table(columns), path, **options)


if __name__ == "__main__":
    make_split_files(Path(sys.argv[1]), Path(sys.argv[2]))
