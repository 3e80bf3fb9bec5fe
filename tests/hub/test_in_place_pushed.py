"""``push_to_hub`` of datasets uploads the images of in-place rows and of selected rows, like those of a copy."""

import io

import pyarrow.parquet as pq
from helpers.hub import Hub
from helpers.programs import output
from makers.layouts import hub_parquet


def test_pushed_rows_have_their_images(val_tar, images, tmp_path):
    hub_parquet(images, tmp_path / "hub")
    with Hub({"hf_writer": "write"}) as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_writer"}
        parquet = tmp_path / "hub" / "data" / "validation-*.parquet"
        output("push", val_tar.parent, parquet, cwd=tmp_path, HF_HUB_DISABLE_XET="1", **settings)
        assert all(repo.private for repo in hub.repos.values())
        rows = {name: _rows(repo.files) for name, repo in hub.repos.items()}
    assert rows["team/in-place"].equals(rows["team/copied"])
    for pushed in (rows["team/copied"], rows["team/selected"]):
        found = zip(pushed["file_name"].to_pylist(), (image["bytes"] for image in pushed["image"].to_pylist()))
        assert dict(found) == images


def _rows(files):
    (shard,) = (file for path, file in files.items() if path.endswith(".parquet"))
    return pq.read_table(io.BytesIO(shard.content))
