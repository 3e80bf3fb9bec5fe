"""``push_to_hub`` of datasets puts the images of rows in place into the repository, as it does those of a copy."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from helpers.hub import Hub

import imagenet_subsets

TOKEN = "hf_writer"
PUSH = """
import sys
import imagenet_subsets

options = {"data_dir": sys.argv[1], "splits": ["validation"], "split": "validation", "on_missing": "skip"}
for name, in_place in (("in-place", True), ("copied", False)):
    rows = imagenet_subsets.load_dataset("1pct", in_place=in_place, **options)
    rows.push_to_hub(f"team/{name}", private=True)
"""


def shard(repo):
    """The rows of a repository of one shard."""
    (content,) = (file.content for name, file in repo.files.items() if name.endswith(".parquet"))
    return pq.read_table(io.BytesIO(content))


def test_pushed_rows_have_their_images(few, images, tmp_path):
    project = str(Path(imagenet_subsets.__file__).parent)
    settings = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": project}
    with Hub({TOKEN: "write"}) as hub:
        environment = os.environ | settings | {"HF_ENDPOINT": hub.url}
        command = [sys.executable, "-c", PUSH, str(few.parent)]
        result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert hub.repos["team/in-place"].private
        in_place, copied = (shard(hub.repos[f"team/{name}"]) for name in ("in-place", "copied"))
    assert in_place.equals(copied)
    assert (
        dict(zip(in_place["file_name"].to_pylist(), (image["bytes"] for image in in_place["image"].to_pylist())))
        == images
    )
