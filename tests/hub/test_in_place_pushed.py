"""``push_to_hub`` of datasets uploads the images of in-place rows and of selected rows, like those of a copy."""

import io

import pyarrow.parquet as pq
from helpers.hub import Hub
from helpers.programs import output
from makers.layouts import hub_parquet

TOKEN = "hf_writer"
SETTINGS = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}


def pushed(source, tmp_path):
    """{repository: its rows}, as pushed by a program; each has one shard."""
    with Hub({TOKEN: "write"}) as hub:
        output("push", source, cwd=tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"), **SETTINGS)
        assert all(repo.private for repo in hub.repos.values())
        files = {(name, path): file.content for name, repo in hub.repos.items() for path, file in repo.files.items()}
    return {name: pq.read_table(io.BytesIO(files[name, path])) for name, path in files if path.endswith(".parquet")}


def images_in(rows):
    return dict(zip(rows["file_name"].to_pylist(), (image["bytes"] for image in rows["image"].to_pylist())))


def test_pushed_rows_have_their_images(val_tar, images, tmp_path):
    rows = pushed(val_tar.parent, tmp_path)
    assert rows["team/in-place"].equals(rows["team/copied"])
    assert images_in(rows["team/in-place"]) == images


def test_selected_rows_are_pushed_with_their_images(images, tmp_path):
    hub_parquet(images, tmp_path)
    rows = pushed(tmp_path / "data" / "validation-*.parquet", tmp_path)
    assert images_in(rows["team/selected"]) == images
