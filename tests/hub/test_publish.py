"""Pushing to the Hub, with the real ``huggingface_hub``, command lines and ``datasets``, and a stand-in for the Hub."""

import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import huggingface_hub
import pyarrow.parquet as pq
import pytest
from helpers.hub import File, Hub, Repo
from helpers.programs import command, output
from helpers.remote import files_of

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.oldest_packages]

WRITER, READER = "hf_writersSecret", "hf_readersSecret"
SHARDS = [f"1pct/train-{k:05d}-of-00003.parquet" for k in range(3)]
FILES = {"README.md", *SHARDS}


@pytest.fixture(scope="module")
def hub():
    """A stand-in for the Hub, shared by all tests; each uses a separate repository."""
    with Hub({WRITER: "write", READER: "read"}) as hub:
        yield hub


@pytest.fixture(scope="module")
def environment(hub, tmp_path_factory):
    """The environment of a client; huggingface_hub reads it when it is imported."""
    off = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK")  # they need other services
    places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_TOKEN": WRITER}
    return {**places, **dict.fromkeys(off, "1"), "HF_UPDATE_DOWNLOAD_COUNTS": "0"}


@pytest.fixture(scope="module")
def client(environment):
    """A process that has imported everything anew in that environment."""
    spawn = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch, concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for name, value in environment.items():
            patch.setenv(name, value)
        pool.submit(os.getpid).result()
        yield pool


@pytest.fixture
def push(hub, client):
    """``push_to_hub`` in the client: ``push(folder, repo_id, ...)`` -> (revision, error, everything printed)."""
    hub.recover()

    def push(*arguments, **options):
        return client.submit(_push, *arguments, **options).result()

    return push


def _push(*arguments, **options):
    from imagenet_subsets_tools.publish import push_to_hub

    printed = io.StringIO()
    # The client waits between its own attempts; here, nobody gains by that.
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), mock.patch("time.sleep"):
        try:
            return push_to_hub(*arguments, **options), None, printed.getvalue()
        except OSError as error:
            return None, error, printed.getvalue()


@pytest.fixture
def repo(request):
    """An id that no other test uses."""
    return f"team/{request.node.name.translate(str.maketrans('[]', '--')).strip('-')}"


@pytest.fixture
def folder(tmp_path):
    """A folder with the files of ``build_parquet``: 3 shards."""
    return make_folder(tmp_path / "folder")


def make_folder(folder, shards=SHARDS):
    for name in shards:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(5000))
    files = [{"split": "train", "path": f"1pct/train-*-of-{len(shards):05d}.parquet"}]
    data = huggingface_hub.DatasetCardData(configs=[{"config_name": "1pct", "data_files": files}])
    (folder / "README.md").write_text(f"---\n{data.to_yaml()}\n---\n", encoding="utf-8")
    return folder


def files_on_hub(hub, repo):
    """{path: content} of the newest revision, except the files that the Hub adds."""
    return {path: file.content for path, file in hub.repos[repo].files.items() if path != ".gitattributes"}


def test_push_creates_a_private_repository_and_uploads_each_file_once(push, hub, folder, repo):
    """Of the folder, only the files that the card lists; a second push uploads nothing."""
    built = files_of(folder)
    for name in (".cache/huggingface/x", "1pct/train-00000-of-00003.parquet.77.unfinished", "1pct/notes.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    revision, error, _ = push(folder, repo)
    assert error is None
    assert hub.repos[repo].private
    assert files_on_hub(hub, repo) == built
    assert len(hub.repos[repo].revisions) == 2  # its creation, and ours
    assert revision == hub.repos[repo].revisions[-1][0]
    hub.recover()
    revision, error, _ = push(folder, repo)
    assert (error, revision) == (None, hub.repos[repo].revisions[-1][0])
    assert hub.requests.count("upload") == 0
    assert files_on_hub(hub, repo) == built


def test_push_of_a_new_build_uploads_changed_files_and_deletes_absent_ones(push, hub, folder, repo):
    push(folder, repo)
    hub.repos[repo].commit({**hub.repos[repo].files, "notes.txt": File(b"ours", is_lfs=False)})
    hub.recover()
    again = make_folder(folder.parent / "again", [f"1pct/train-{k:05d}-of-00002.parquet" for k in range(2)])
    assert push(again, repo)[1] is None
    assert files_on_hub(hub, repo) == {**files_of(again), "notes.txt": b"ours"}
    assert (hub.requests.count("upload"), hub.requests.count("commit")) == (2, 1)


@pytest.mark.parametrize("is_there", [True, False])
def test_public_repository_is_refused_before_any_upload(push, hub, folder, repo, is_there):
    """Also if an organization overrides the requested visibility. With explicit consent, the push succeeds."""
    if is_there:
        hub.repos[repo] = Repo(private=False)
    else:
        hub.fail("create", "public")
    _, error, _ = push(folder, repo)
    assert isinstance(error, PermissionError)
    assert f"{repo} is public" in str(error) and "--public-i-have-the-right-to-distribute" in str(error)
    assert set(hub.requests) == ({"info"} if is_there else {"info", "create"})
    assert push(folder, repo, public_i_have_the_right_to_distribute=True)[1] is None
    assert files_on_hub(hub, repo) == files_of(folder)
    assert not hub.repos[repo].private


def test_unfinished_folder_is_refused_before_any_request(push, hub, folder, repo):
    (folder / SHARDS[0]).unlink()
    _, error, _ = push(folder, repo)
    assert isinstance(error, FileNotFoundError)
    assert "found 2 of 3 shards: run `imagenet-subsets build`" in str(error)
    assert hub.requests == []


@pytest.mark.parametrize(("token", "is_there"), [("hf_wrongSecret", False), (READER, True)], ids=["wrong", "read"])
def test_token_without_the_right_to_write(push, hub, folder, repo, token, is_there):
    """401, and 403 on upload: the error says how to log in; the token appears nowhere."""
    if is_there:
        hub.repos[repo] = Repo(private=True)
    _, error, printed = push(folder, repo, token=token)
    assert f"Could not push {folder} to {repo}" in str(error)
    assert "hf auth login" in str(error)
    assert token != READER or ("403" in str(error) and "write token" in str(error))
    assert "Secret" not in f"{error}{printed}"
    assert hub.requests.count("upload") == 0


ALWAYS = 100


@pytest.mark.once
@pytest.mark.parametrize(
    ("route", "how"),
    [("create", 500), ("upload", "drop"), ("commit", "lose")],
)
def test_failure_keeps_the_old_revision_and_a_second_push_succeeds(push, hub, folder, repo, route, how):
    """No new file is visible, unless only the answer is lost; what had arrived is not sent again."""
    old = {".gitattributes": File(b"", is_lfs=False), "README.md": File(b"old", is_lfs=False)}
    if route != "create":
        hub.repos[repo] = Repo(private=True)
        hub.repos[repo].commit(old)
    if route == "upload":
        hub.fail("upload", None)  # the first shard arrives
    hub.fail(route, how, times=ALWAYS)
    _, error, printed = push(folder, repo)
    assert type(error).__name__ == "PushError"
    assert repo in str(error) and "or the complete new one" in str(error)
    assert (str(how) if isinstance(how, int) else "push again") in str(error)
    assert "\n" not in str(error)
    assert "Secret" not in f"{error}{printed}"
    if route != "create" and how != "lose":
        assert files_on_hub(hub, repo) == {"README.md": b"old"}
    arrived = {"upload": 1, "commit": 3}.get(route, 0)
    hub.recover()
    assert push(folder, repo)[1] is None
    assert files_on_hub(hub, repo) == files_of(folder)
    assert hub.requests.count("upload") == len(SHARDS) - arrived


def test_push_without_a_network(environment, folder, repo):
    variables = os.environ | environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(command("command", "push", folder, repo), env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Could not reach the Hub" in done.stderr and "token" not in done.stderr


def test_push_and_load_back(hub, environment, hub_folder, dataset_1pct, tmp_path, repo):
    printed = output("command", "push", hub_folder, repo, **environment)
    assert f'datasets.load_dataset("{repo}", "1pct")' in printed
    assert "Secret" not in printed
    assert files_on_hub(hub, repo) == files_of(hub_folder)
    output("load_pushed", repo, tmp_path, **environment)
    for file, due in {**dataset_1pct, "stream": dataset_1pct["train"].select(range(3000, 3500))}.items():
        loaded = pq.read_table(tmp_path / f"{file}.parquet").replace_schema_metadata()
        assert loaded == due.with_format("arrow")[:].replace_schema_metadata()


def test_plain_upload_gives_the_same(hub, environment, folder, repo):
    programs = (Path(sys.executable).with_name(name) for name in ("hf", "huggingface-cli"))
    program = next(program for program in programs if program.exists())
    upload = [program, "upload", repo, folder, "--repo-type", "dataset", "--private"]
    subprocess.run(upload, env=os.environ | environment, check=True)
    assert hub.repos[repo].private
    assert files_on_hub(hub, repo) == files_of(folder)
