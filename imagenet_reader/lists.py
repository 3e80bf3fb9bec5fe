"""The published lists, and the classes."""

import collections
import functools
import hashlib
import pathlib

import pyarrow.parquet as pq

from imagenet_reader.official import TEST_IMAGES

# The published lists: rows, and the SHA-256 of the sorted lines "<wnid>/<file name>".
LISTS = {
    "1pct": (12_811, "4bf22215662d17171c1127736d5a35e2c4f90a8a0ccff5736704750bda262fa9"),
    "10pct": (128_116, "aa10f36888b064f948c12a01c6945d70ae550f790a055eb16ce9d3ac69a17d12"),
    "lt_train": (115_846, "e60cda136ab1aee768433154b2e3d01f41b4a9ecf5b726afb0108533532c9a3b"),
    "lt_validation": (20_000, "483be09644f9bbdc3967149a4d4e61c906ab840d7d94d76032cf69082ae26005"),
    "validation": (50_000, "7aec631d6f9e7e0e6b79804a178f00b5b42094a29e66ffa62955518dd740cb14"),
}
TRAIN_IMAGES = 1_281_167  # of ILSVRC 2012; no list names them all

# An installed wheel keeps split_files/ in this package, a clone beside it.
_HERE = pathlib.Path(__file__).resolve().parent
SPLIT_FILES = next(path for path in (_HERE / "split_files", _HERE.parent / "split_files") if path.is_dir())


@functools.cache
def read_classes() -> list[tuple[str, str]]:
    """The 1,000 classes as ``list[tuple[str, str]]``, (wnid, words), in label order: that of the sorted wnids."""
    table = read_table(SPLIT_FILES / "classes.parquet")
    return list(zip(table["wnid"].to_pylist(), table["words"].to_pylist()))


@functools.cache
def read_wnids() -> list[str]:
    """The 1,000 wnids in label order, ``list[str]``."""
    return [wnid for wnid, _ in read_classes()]


@functools.cache
def label_of_wnid() -> dict[str, int]:
    """The label of each of the 1,000 wnids."""
    return {wnid: label for label, wnid in enumerate(read_wnids())}


def label_names(classes, kind):
    """The 1,000 label names, ``list[str]``.

    Args:
        classes: what ``read_classes`` returns.
        kind: ``"wnid"``, or ``"words"``; where two classes have the same words, the wnid is added to both, as in
            ``crane (n02012849)``.
    """
    if kind == "wnid":
        return [wnid for wnid, _ in classes]
    count = collections.Counter(words for _, words in classes)
    return [words if count[words] == 1 else f"{words} ({wnid})" for wnid, words in classes]


def read_split_list(name):
    """The images of a published list.

    Args:
        name: a key of ``LISTS``.

    Returns:
        ``list[tuple[str, int]]``, (file name, label) an image, sorted by file name.

    Raises:
        FileNotFoundError: ``split_files/`` has no such file.
        ValueError: the file does not hold the published list.
    """
    wnids, path = read_wnids(), SPLIT_FILES / f"{name}.parquet"
    table = read_table(path)
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
            f"{found[1]}; expected {LISTS[name][0]:,} and {LISTS[name][1]}. Take split_files/ from the project "
            "again."
        )
    return sorted(zip(images, labels))


def test_images():
    """The official test images, ``list[tuple[str, int]]``, (file name, -1) an image: no labels were published."""
    return [(f"ILSVRC2012_test_{k:08d}.JPEG", -1) for k in range(1, TEST_IMAGES + 1)]


def read_table(source):
    """A Parquet file as ``pa.Table``.

    Without threads: with them, Arrow may abort a process that ends soon after ("terminate called without an active
    exception").
    """
    return pq.read_table(source, use_threads=False)
