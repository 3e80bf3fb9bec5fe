"""Images in a repository of the Hub, and in an S3 bucket, read with the clients of each."""

import contextlib
import hashlib
import json

import pytest
from helpers.hub import File, Hub, Repo
from helpers.programs import output
from helpers.remote import files_of, indexes_of
from makers.layouts import official_tars

TOKEN = "hf_reader"
SETTINGS = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}


@pytest.fixture
def files(small_images, tmp_path):
    """The files of the official archives, with their indexes."""
    official_tars(small_images, tmp_path / "served")
    return files_of(tmp_path / "served") | indexes_of(tmp_path / "served", tmp_path / "indexes")


def digests(images):
    return {name: hashlib.sha256(content).hexdigest() for name, content in images.items()}


@pytest.mark.once
def test_private_repository(files, small_images, list_options, tmp_path):
    with Hub({TOKEN: "read"}) as hub:
        hub.repos["team/archives"] = Repo(private=True)
        hub.repos["team/archives"].commit({name: File(content, is_lfs=True) for name, content in files.items()})
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), **SETTINGS}
        found = output("load_remote", "hf://datasets/team/archives", tmp_path, json.dumps(list_options), **settings)
    assert json.loads(found.splitlines()[-1]) == digests(small_images)
    assert TOKEN not in str([path.read_bytes() for path in (tmp_path / "home").rglob("*.json")])


@contextlib.contextmanager
def bucket(files):
    """The variables of a process that reads a bucket with these files, ``imagenet``."""
    server = pytest.importorskip("moto.server", reason="needs moto").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    boto3 = pytest.importorskip("boto3", reason="needs boto3")
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "geheim", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=endpoint, **keys)
        client.create_bucket(Bucket="imagenet")
        for name, content in files.items():
            client.put_object(Bucket="imagenet", Key=f"folder/{name}", Body=content)
        variables = {name.upper(): value for name, value in keys.items() if name != "region_name"}
        yield {**variables, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint}
    finally:
        server.stop()


@pytest.mark.engines
def test_bucket(files, small_images, list_options, tmp_path):
    pytest.importorskip("s3fs", reason="needs s3fs")
    with bucket(files) as variables:
        settings = {**variables, "HF_HOME": str(tmp_path / "home")}
        found = output("load_remote", "s3://imagenet/folder", tmp_path, json.dumps(list_options), **settings)
    assert json.loads(found.splitlines()[-1]) == digests(small_images)
    written = [path for place in ("home", "cache") for path in (tmp_path / place).rglob("*") if path.is_file()]
    assert written and not [path for path in written if b"geheim" in path.read_bytes()]
