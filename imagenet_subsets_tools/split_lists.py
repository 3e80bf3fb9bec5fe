"""Make ``split_files/`` from the published texts, and the published lines from ``split_files/``.

The texts are not part of this project. With them (``split_files/sources.csv`` has their addresses), the folder can be
rebuilt byte for byte:

    python -m imagenet_subsets_tools.split_lists FOLDER_OF_TEXTS split_files

A training list holds one row per image, ``label`` (0 to 999, the rank of the sorted wnids) and
``number``: the file name is ``<wnid>_<number>.JPEG``. ``validation.parquet`` holds only
``label``: its row k, counted from 1, is ``ILSVRC2012_val_<k, eight digits>.JPEG``. ``real.parquet`` holds the
list ``labels`` of each of these images. A set of classes holds one row per class, ``label``, in published order.
"""

import argparse
import csv
import hashlib
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TRAIN_NAME = "{wnid}_{number}.JPEG"
VALIDATION_NAME = "ILSVRC2012_val_{number:08d}.JPEG"
JSON = "JSON"  # instead of a line format: the text is a list of lists of labels

SIMCLR_PAPER = "Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020"
OLTR_PAPER = "Liu et al., Large-Scale Long-Tailed Recognition in an Open World, CVPR 2019"
ILSVRC_PAPER = "Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015"
SIMCLR_FOLDER = "https://github.com/google-research/simclr/blob/master/imagenet_subsets/"
OLTR_DRIVE = "https://drive.google.com/file/d/"
OLTR_REPOSITORY = "https://github.com/zhmiao/OpenLongTailRecognition-OLTR"
ILSVRC_PAGE = "https://image-net.org/challenges/LSVRC/2012/"
ILSVRC_LICENSE = "ImageNet terms of access"
CMC_PAPER = "Tian et al., Contrastive Multiview Coding, ECCV 2020"
REAL_PAPER = "Beyer et al., Are we done with ImageNet?, arXiv 2006.07159, 2020"

# (split file, published text, line format, address, paper, license)
SOURCES = (
    ("1pct.parquet", "1percent.txt", TRAIN_NAME, SIMCLR_FOLDER + "1percent.txt", SIMCLR_PAPER, "Apache-2.0"),
    ("10pct.parquet", "10percent.txt", TRAIN_NAME, SIMCLR_FOLDER + "10percent.txt", SIMCLR_PAPER, "Apache-2.0"),
    (
        "lt_train.parquet",
        "ImageNet_LT_train.txt",
        "train/{wnid}/" + TRAIN_NAME + " {label}",
        OLTR_DRIVE + "1Sl1cwy6Dei1I1BMS1YKjI35fkaR1UA_7",
        OLTR_PAPER,
        "BSD-3-Clause",
    ),
    (
        "lt_validation.parquet",
        "ImageNet_LT_val.txt",
        "train/{wnid}/" + TRAIN_NAME + " {label}",
        OLTR_DRIVE + "1AjYczW4khrQrwPIygXUkHF-Qv4QGEsCF",
        OLTR_PAPER,
        "BSD-3-Clause",
    ),
    (
        "validation.parquet",
        "ImageNet_LT_test.txt",
        "val/{wnid}/" + VALIDATION_NAME + " {label}",
        OLTR_REPOSITORY,
        OLTR_PAPER,
        "BSD-3-Clause",
    ),
    ("validation.parquet", "validation_labels.txt", "{wnid}", ILSVRC_PAGE, ILSVRC_PAPER, ILSVRC_LICENSE),
    ("classes.parquet", "labels.txt", "{wnid}", ILSVRC_PAGE, ILSVRC_PAPER, ILSVRC_LICENSE),
    ("classes.parquet", "synset_words.txt", "{wnid} {words}", ILSVRC_PAGE, ILSVRC_PAPER, ILSVRC_LICENSE),
    (
        "imagenet100.parquet",
        "imagenet100.txt",
        "{wnid}",
        "https://github.com/HobbitLong/CMC/blob/master/imagenet100.txt",
        CMC_PAPER,
        "BSD-2-Clause",
    ),
    (
        "real.parquet",
        "real.json",
        JSON,
        "https://github.com/google-research/reassessed-imagenet/blob/master/real.json",
        REAL_PAPER,
        "Apache-2.0",
    ),
)
CLASS_SETS = ("imagenet100",)
SOURCE_COLUMNS = ("split_file", "published_name", "rows", "bytes", "sha256", "address", "paper", "license")


def published_lines(split_files: Path, split_file: str, line: str) -> list:
    """The lines of a published text, rebuilt from ``split_files/`` alone, in the order of the split file.

    Args:
        split_files: the folder.
        split_file: a file in it, such as ``"lt_train.parquet"``.
        line: the line format, from ``SOURCES``: ``{wnid}``, ``{words}``, ``{number}``, ``{label}``; or ``JSON``.

    Returns:
        ``list[str]`` of lines without line ends; for ``JSON``, a single string.

    Raises:
        FileNotFoundError: ``split_files`` has no such file.

    Example:

        >>> published_lines(Path("split_files"), "classes.parquet", "{wnid} {words}")[0]
        'n01440764 tench, Tinca tinca'
    """
    if line == JSON:
        return [json.dumps(pq.read_table(Path(split_files) / split_file)["labels"].to_pylist())]
    classes = pq.read_table(Path(split_files) / "classes.parquet").to_pylist()
    rows = pq.read_table(Path(split_files) / split_file).to_pylist()
    return [
        line.format(**{"number": k, "label": k - 1, **row, **classes[row.get("label", k - 1)]})
        for k, row in enumerate(rows, start=1)
    ]


def published_text(split_files: Path, split_file: str, line: str) -> str:
    """A published text with its line ends, see ``published_lines``; JSON has none."""
    lines = published_lines(split_files, split_file, line)
    return lines[0] if line == JSON else "".join(f"{line}\n" for line in lines)


def make_split_files(texts: Path, split_files: Path) -> None:
    """Write ``split_files/`` from a folder of published texts.

    Args:
        texts: folder with the texts that ``SOURCES`` names.
        split_files: folder to write; created if it does not exist.

    Raises:
        FileNotFoundError: a text does not exist.
        ValueError: a line of a text does not have the format in ``SOURCES``, or the texts contradict each other.
    """
    classes = [line.split(" ", 1) for line in _lines(texts / "synset_words.txt")]
    label_of = {wnid: label for label, (wnid, _) in enumerate(classes)}
    split_files.mkdir(parents=True, exist_ok=True)
    _write(split_files / "classes.parquet", wnid=[c[0] for c in classes], words=[c[1] for c in classes])
    for split_file, name, line, *_ in SOURCES:
        if "{number}" in line:
            images = sorted(_image(label_of, text) for text in _lines(texts / name))
            _write(
                split_files / split_file,
                label=pa.array([label for label, _ in images], pa.int16()),
                number=pa.array([number for _, number in images], pa.int32()),
            )
    labels = [label_of[wnid] for wnid in _lines(texts / "validation_labels.txt")]
    _write(split_files / "validation.parquet", label=pa.array(labels, pa.int16()))
    for name in CLASS_SETS:
        chosen = [label_of[wnid] for wnid in _lines(texts / f"{name}.txt")]
        _write(split_files / f"{name}.parquet", label=pa.array(chosen, pa.int16()))
    real = json.loads((texts / "real.json").read_text(encoding="utf-8"))
    _write(split_files / "real.parquet", labels=pa.array(real, pa.list_(pa.int16())))
    _check_against(texts, split_files)
    _write_sources(texts, split_files / "sources.csv")


def _lines(path: Path) -> list:
    return path.read_text(encoding="utf-8").splitlines()


def _image(label_of: dict, line: str) -> tuple:
    """(label, number) of a published line: a file name, optionally with folders before and a label after it."""
    match = re.fullmatch(r"(?:train/n\d{8}/)?(n\d{8})_(\d+)\.JPEG(?: \d+)?", line)
    if match is None:
        raise ValueError(f"{line!r} is not a line of a published training list")
    return label_of[match[1]], int(match[2])


def _write(path: Path, **columns) -> None:
    # The lists are sorted, so differences between neighbours are small and compress well.
    encodings = {name: "DELTA_BINARY_PACKED" for name in ("label", "number") if name in columns}
    pq.write_table(
        pa.table(columns),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        column_encoding=encodings,
    )


def _check_against(texts: Path, split_files: Path) -> None:
    for split_file, name, line, *_ in SOURCES:
        if sorted(published_lines(split_files, split_file, line)) != sorted(_lines(texts / name)):
            raise ValueError(f"{split_file} does not reproduce the lines of {texts / name}")


def _write_sources(texts: Path, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SOURCE_COLUMNS)
        for split_file, name, _, address, paper, license_name in SOURCES:
            text = (texts / name).read_bytes()
            digest = hashlib.sha256(text).hexdigest()
            rows = pq.read_metadata(path.parent / split_file).num_rows
            writer.writerow((split_file, name, rows, len(text), digest, address, paper, license_name))


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Make split_files/ from the published texts.")
    parser.add_argument("texts", type=Path, help="folder with the published texts")
    parser.add_argument("split_files", type=Path, help="folder to write")
    arguments = parser.parse_args()
    make_split_files(arguments.texts, arguments.split_files)


if __name__ == "__main__":
    main()
