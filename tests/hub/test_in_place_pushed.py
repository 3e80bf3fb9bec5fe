"""``push_to_hub`` of datasets puts the images of rows in place into the repository, as it does those of a copy."""

import io

import pyarrow.parquet as pq
from helpers.hub import Hub
from helpers.programs import output

TOKEN = "hf_writer"


def shard(repo):
    """The rows of a repository of one shard."""
    (content,) = (file.content for name, file in repo.files.items() if name.endswith(".parquet"))
    return pq.read_table(io.BytesIO(content))


def test_pushed_rows_have_their_images(few, images, tmp_path):
    settings = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    with Hub({TOKEN: "write"}) as hub:
        output("push_in_place", few.parent, cwd=tmp_path, HF_ENDPOINT=hub.url, **settings)
        assert hub.repos["team/in-place"].private
        in_place, copied = (shard(hub.repos[f"team/{name}"]) for name in ("in-place", "copied"))
    assert in_place.equals(copied)
    assert (
        dict(zip(in_place["file_name"].to_pylist(), (image["bytes"] for image in in_place["image"].to_pylist())))
        == images
    )
