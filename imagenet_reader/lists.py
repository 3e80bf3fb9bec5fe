"""The published lists and classes."""

import collections
import functools
import hashlib
import json
import pathlib

import pyarrow.parquet as pq

from imagenet_reader.official import TEST_IMAGES

# The published lists: their length, and the SHA-256 of their sorted lines "<wnid>/<file name>".
LISTS = {
    "1pct": (12_811, "4bf22215662d17171c1127736d5a35e2c4f90a8a0ccff5736704750bda262fa9"),
    "10pct": (128_116, "aa10f36888b064f948c12a01c6945d70ae550f790a055eb16ce9d3ac69a17d12"),
    "lt_train": (115_846, "e60cda136ab1aee768433154b2e3d01f41b4a9ecf5b726afb0108533532c9a3b"),
    "lt_validation": (20_000, "483be09644f9bbdc3967149a4d4e61c906ab840d7d94d76032cf69082ae26005"),
    "validation": (50_000, "7aec631d6f9e7e0e6b79804a178f00b5b42094a29e66ffa62955518dd740cb14"),
}
# The published sets of classes: the SHA-256 of their lines, one wnid per line in published order.
CLASS_SETS = {"imagenet100": "79f3f1552ccc478ce24bd934b4573625db584ddc1f4643ae23c994a94cb11397"}
REAL_SHA256 = "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b"  # of real.json; TFDS pins the same
TRAIN_IMAGES = 1_281_167  # in ILSVRC 2012; no list names them all
TRAIN_IMAGES_PER_CLASS = 732, 1300  # minimum and maximum, Russakovsky et al. 2015, table 2

# split_files/ is in this package in an installed wheel, and beside it in a clone.
_HERE = pathlib.Path(__file__).resolve().parent
SPLIT_FILES = next(path for path in (_HERE / "split_files", _HERE.parent / "split_files") if path.is_dir())


@functools.cache
def read_classes() -> list[tuple[str, str]]:
    """The 1,000 classes, ``list[tuple[str, str]]`` of (wnid, words), in label order, that of the sorted wnids."""
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
        classes: the result of ``read_classes``.
        kind: ``"wnid"`` or ``"words"``. If two classes have the same words, both get their wnids added, as in
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
        ``list[tuple[str, int]]``, (file name, label) per image, sorted by file name.

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
            f"{found[1]}; expected {LISTS[name][0]:,} and {LISTS[name][1]}. Restore split_files/ from the project."
        )
    return sorted(zip(images, labels))


@functools.cache
def read_class_set(name: str) -> list[str]:
    """The wnids of a published set of classes, in published order.

    Args:
        name: a key of ``CLASS_SETS``.

    Raises:
        FileNotFoundError: ``split_files/`` has no such file.
        ValueError: the file does not hold the published set.
    """
    wnids, path = read_wnids(), SPLIT_FILES / f"{name}.parquet"
    chosen = [wnids[label] for label in read_table(path)["label"].to_pylist()]
    _check_digest(path, "".join(f"{wnid}\n" for wnid in chosen), CLASS_SETS[name])
    return chosen


@functools.cache
def read_real_labels() -> list[list[int]]:
    """The ReaL labels of the 50,000 official validation images, in order of their file names.

    Source: Beyer et al., Are we done with ImageNet?, arXiv 2006.07159. Labels are 0 to 999, in published order; 3,163
    images have none.

    Raises:
        FileNotFoundError: ``split_files/`` has no such file.
        ValueError: the file does not hold the published labels.
    """
    path = SPLIT_FILES / "real.parquet"
    labels = read_table(path)["labels"].to_pylist()
    _check_digest(path, json.dumps(labels), REAL_SHA256)
    return labels


def _check_digest(path: pathlib.Path, text: str, expected: str) -> None:
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} differs from what was published: the SHA-256 of its content as text is {found}; expected "
            f"{expected}. Restore split_files/ from the project."
        )


def test_images():
    """The official test images, ``list[tuple[str, int]]``, (file name, -1) per image, since they have no labels."""
    return [(f"ILSVRC2012_test_{k:08d}.JPEG", -1) for k in range(1, TEST_IMAGES + 1)]


def read_table(source):
    """Read a Parquet file as ``pa.Table``.

    No threads are used: with them, Arrow may abort a process that exits soon after ("terminate called without an active
    exception").
    """
    return pq.read_table(source, use_threads=False)
