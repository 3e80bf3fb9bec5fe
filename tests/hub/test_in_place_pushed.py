"""``push_to_hub`` of datasets uploads the images of in-place rows and of selected rows, like those of a copy."""

import io

import pyarrow.parquet as pq
from helpers.hub import Hub
from helpers.programs import output
from makers.hub_parquet import hub_parquet

TOKEN = "hf_writer"
SETTINGS = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}


def shard(repo):
    """The rows of a repository of one shard."""
    (content,) = (file.content for name, file in repo.files.items() if name.endswith(".parquet"))
    return pq.read_table(io.BytesIO(content))


def images_in(rows):
    return dict(zip(rows["file_name"].to_pylist(), (image["bytes"] for image in rows["image"].to_pylist())))


def test_pushed_rows_have_their_images(val_tar, images, tmp_path):
    with Hub({TOKEN: "write"}) as hub:
        home = str(tmp_path / "home")
        output("push_in_place", val_tar.parent, cwd=tmp_path, HF_ENDPOINT=hub.url, HF_HOME=home, **SETTINGS)
        assert hub.repos["team/in-place"].private
        in_place, copied = (shard(hub.repos[f"team/{name}"]) for name in ("in-place", "copied"))
    assert in_place.equals(copied)
    assert images_in(in_place) == images


def test_selected_rows_are_pushed_with_their_images(images, tmp_path):
    hub_parquet(images, tmp_path)
    with Hub({TOKEN: "write"}) as hub:
        pattern, home = tmp_path / "data" / "validation-*.parquet", str(tmp_path / "home")
        output("push_selected", pattern, cwd=tmp_path, HF_ENDPOINT=hub.url, HF_HOME=home, **SETTINGS)
        assert hub.repos["team/selected"].private
        assert images_in(shard(hub.repos["team/selected"])) == images
