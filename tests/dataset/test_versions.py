"""Caches survive an update: what they hold is pinned here, and changes only with the version that they are kept by."""

import base64
import hashlib
import os
import shutil

import datasets
import fsspec
import pytest
from helpers.programs import output
from helpers.rows import SCRIPT, WAYS
from makers.layouts import official_tars

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.index.kept import INDEX_VERSION
from imagenet_subsets_tools.standins.images import jpeg_segment

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.filterwarnings("ignore:.*left out")]

# A grey JPEG of 8 x 8 pixels; what Pillow writes depends on its version.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgy"
    "PC4zNDL/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEG"
    "E1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJ"
    "ipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/ACv/2Q=="
)
ROTATED = jpeg_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
TIME = 1_700_000_000
OWN_LIST = ["n01440764_10026.JPEG", "n01440764_190.JPEG", "n01443537_2.JPEG"]
VALIDATION = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 9)]
TEST = [f"ILSVRC2012_test_{k:08d}.JPEG" for k in range(1, 4)]
DAMAGED = "n01440764_1.JPEG"  # of full and unlabeled
CASES = {
    "1pct": {},
    "10pct": {},
    "lt": {},
    "full": {},
    "custom": {"train_list": OWN_LIST, "validation_list": VALIDATION[:3]},
    "custom, archive, in place": {"train_list": OWN_LIST, "image_bytes": "archive", "in_place": True},
    "1pct, words": {"label_names": "words", "splits": ["train"]},
    "1pct, archive": {"image_bytes": "archive", "splits": ["train"]},
    "1pct, unlabeled": {"unlabeled": True, "splits": ["unlabeled"]},
    "1pct, test": {"splits": ["test"]},
    "1pct, in place": {"in_place": True},
    "1pct, streaming": {"streaming": True},
    "lt, classes": {"classes": ["n01443537", "n01440764"], "splits": ["train", "validation"]},
    "1pct, ReaL labels": {"real_labels": True},
    "custom, ReaL labels in place": {
        "real_labels": True,
        "train_list": OWN_LIST,
        "splits": ["validation"],
        "in_place": True,
    },
    "10pct, imagenet100": {"classes": "imagenet100", "real_labels": True, "splits": ["validation"]},
}
PINNED_VERSION = "2.0.1"
PINNED = {
    "1pct": "74cb388464ad070d",
    "10pct": "62c2e24aa733cec2",
    "lt": "b8e63af2d61fe9f6",
    "full": "0242613cc29e2419",
    "custom": "f8c9cd1aa5b90ba3",
    "custom, archive, in place": "7bc85fdf6d8f72d9",
    "1pct, words": "44e436f9c1ef2733",
    "1pct, archive": "d41298e0b1b59028",
    "1pct, unlabeled": "4b1476837e9cc6df",
    "1pct, test": "ee4a2a6b75aa053b",
    "1pct, in place": "2d56564e0155d840",
    "1pct, streaming": "74cb388464ad070d",
    "lt, classes": "c9a420931e61eab4",
    "1pct, ReaL labels": "9806a0cdde3910aa",
    "custom, ReaL labels in place": "64e7ff104f4ea050",
    "10pct, imagenet100": "dbfb587b19b64052",
}
PINNED_INDEX_VERSION = "1"
PINNED_INDEX = {"train": "7b7a16e8c748391c", "val": "5abea0251546efcb"}


def names():
    """Some images of each list, and some that no list has."""
    listed = [
        name for key in ("1pct", "10pct", "lt_train", "lt_validation") for name, _ in lists.read_split_list(key)[:9]
    ]
    return sorted({*listed, *OWN_LIST, *VALIDATION, *TEST})


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A folder of archives with small images, of which every third is rotated by its metadata."""
    folder = tmp_path_factory.mktemp("versions")
    parts = {name: JPEG[:2] + jpeg_segment(0xFE, name.encode()) for name in names()}
    images = {name: part + ROTATED * (k % 3 == 0) + JPEG[2:] for k, (name, part) in enumerate(parts.items())}
    official_tars(images | {DAMAGED: JPEG[:200]}, folder)
    for path in folder.iterdir():
        os.utime(path, (TIME, TIME))
    return folder


def rows(split, folder):
    """The rows of a split: (path, which holds no name of the folder; SHA-256 of the image; label; file name)."""
    found = []
    for row in split.cast_column("image", datasets.Image(decode=False)):
        path, content = row["image"]["path"], row["image"]["bytes"]
        if content is None:
            content = fsspec.open(path).open().read()
            path = path.replace(str(folder), "FOLDER")
        real_labels = [row["real_labels"]] if "real_labels" in row else []
        found.append((path, hashlib.sha256(content).hexdigest(), row["label"], row["file_name"], *real_labels))
    return found


@pytest.mark.parametrize("case", CASES)
def test_rows_change_only_with_their_version(case, archives, tmp_path):
    options = {"on_missing": "skip", "cache_dir": str(tmp_path), **CASES[case]}
    loaded = imagenet_subsets.load_dataset(case.partition(",")[0], data_dir=str(archives), **options)
    features = next(iter(loaded.values())).features
    content = {split: rows(of_split, archives) for split, of_split in loaded.items()}
    assert all(content.values())
    described = [(name, type(feature).__name__) for name, feature in features.items() if name != "real_labels"]
    found = hashlib.sha256(repr((described, features["label"].names, content)).encode()).hexdigest()[:16]
    assert (imagenet_subsets.ROWS_VERSION, found) == (PINNED_VERSION, PINNED[case]), (
        f"The rows of {case} differ from those in the caches of ROWS_VERSION {PINNED_VERSION}. If that is intended, "
        f"raise ROWS_VERSION in imagenet_subsets.py, and pin it and the new digests here."
    )


@pytest.mark.parametrize("archive", PINNED_INDEX)
def test_indexes_change_only_with_their_version(archive, archives, hf_home):
    table = imagenet_subsets.read_index(archives / f"ILSVRC2012_img_{archive}.tar")
    content = [
        (column, str(table.schema.field(column).type), table[column].to_pylist()) for column in table.column_names
    ]
    found = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    assert (INDEX_VERSION, found) == (PINNED_INDEX_VERSION, PINNED_INDEX[archive]), (
        f"The index of the {archive} archive differs from those kept by INDEX_VERSION {PINNED_INDEX_VERSION}. If that "
        f"is intended, raise INDEX_VERSION in imagenet_reader/index/kept.py, and pin it and the new digests here."
    )


@pytest.mark.parametrize("way", WAYS)
def test_changed_comment_does_not_cause_a_rebuild(way, archives, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("imagenet_subsets.py", "imagenet_reader", "split_files"):
        copy = shutil.copytree if (SCRIPT.parent / name).is_dir() else shutil.copy
        copy(SCRIPT.parent / name, project / name)

    def load():
        variables = {"PYTHONPATH": str(project), "HF_HOME": str(tmp_path / "home")}
        output("load_again", way, archives, tmp_path / "cache", cwd=project, **variables)
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("cache/**/*.arrow")}

    built = load()
    for path in project.rglob("*.py"):
        path.write_text(path.read_text(encoding="utf-8") + "\n# A corrected comment.\n", encoding="utf-8")
    assert built and load() == built
