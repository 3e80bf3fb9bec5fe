"""Caches survive an update: what they hold is pinned here, and changes only with the version that they are kept by."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys

import datasets
import fsspec
import pytest
from makers.layouts import official_tars
from rows import SCRIPT, WAYS

import imagenet_subsets
from imagenet_reader import lists
from imagenet_subsets_tools.standins.images import jpeg_segment

pytestmark = pytest.mark.filterwarnings("ignore:.*left out")

# A grey JPEG of 8 x 8 pixels; what Pillow writes depends on its version.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgy"
    "PC4zNDL/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEG"
    "E1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJ"
    "ipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/ACv/2Q=="
)
ROTATED = jpeg_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
TIME = 1_700_000_000
OWN = ["n01440764_10026.JPEG", "n01440764_190.JPEG", "n01443537_2.JPEG"]
VALIDATION = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 9)]
TEST = [f"ILSVRC2012_test_{k:08d}.JPEG" for k in range(1, 4)]
CASES = {
    "1pct": {},
    "10pct": {},
    "lt": {},
    "full": {},
    "custom": {"train_list": OWN, "validation_list": VALIDATION[:3]},
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
        "train_list": OWN,
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


def names():
    """Some images of each list, and some of none."""
    listed = [
        name for key in ("1pct", "10pct", "lt_train", "lt_validation") for name, _ in lists.read_split_list(key)[:9]
    ]
    return sorted({*listed, *OWN, *VALIDATION, *TEST})


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A folder of archives with small images, of which every third is rotated by its metadata."""
    folder = tmp_path_factory.mktemp("versions")
    parts = {name: JPEG[:2] + jpeg_segment(0xFE, name.encode()) for name in names()}
    official_tars(
        {name: part + ROTATED * (k % 3 == 0) + JPEG[2:] for k, (name, part) in enumerate(parts.items())}, folder
    )
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
        f"The rows of {case} are others than those that caches of this ROWS_VERSION hold. If that is intended, raise "
        f"ROWS_VERSION in imagenet_subsets.py, and pin the new digests here."
    )


PROGRAM = """
import sys, datasets
way, data_dir, cache = sys.argv[1:]
options = {"data_dir": data_dir, "cache_dir": cache, "on_missing": "skip", "splits": ["train"]}
if way == "package":
    import imagenet_subsets
    imagenet_subsets.load_dataset("1pct", **options)
else:
    trust = {} if datasets.__version__ < "2.20" else {"trust_remote_code": True}
    datasets.load_dataset("./imagenet_subsets.py", "1pct", **options, **trust)
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_corrected_comment_costs_no_rebuild(way, archives, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("imagenet_subsets.py", "imagenet_reader", "split_files"):
        copy = shutil.copytree if (SCRIPT.parent / name).is_dir() else shutil.copy
        copy(SCRIPT.parent / name, project / name)

    def load():
        command = [sys.executable, "-c", PROGRAM, way, str(archives), str(tmp_path / "cache")]
        environment = {**os.environ, "PYTHONPATH": str(project), "HF_HOME": str(tmp_path / "home")}
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("cache/**/*.arrow")}

    built = load()
    for path in project.rglob("*.py"):
        path.write_text(path.read_text(encoding="utf-8") + "\n# A corrected comment.\n", encoding="utf-8")
    assert built and load() == built
