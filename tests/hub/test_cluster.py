"""Builds by a Dask cluster and other executors; failures and killed workers.

The folders are of 1pct train, in shards of 1 MB; what a thread writes is what every other way must give.
"""

import concurrent.futures
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time

import pytest
from helpers.built import digests
from helpers.rows import published_rows

from imagenet_reader import facts as official
from imagenet_reader.facts import ArchiveError
from imagenet_subsets_tools import build
from imagenet_subsets_tools.build import BuildError, build_parquet
from imagenet_subsets_tools.cli import main

pytestmark = [pytest.mark.engines, pytest.mark.once]

TRAIN = {"configs": ["1pct"], "splits": ["train"]}
SPAWN = multiprocessing.get_context("spawn")  # as on other hosts, nothing is inherited


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "SHARD_BYTES", 1_000_000)
        yield


@pytest.fixture(scope="module")
def single(standins_1pct, tmp_path_factory):
    """{relative path: SHA-256} of the folder that a single thread writes."""
    files = digests(build_parquet(tmp_path_factory.mktemp("single") / "hub", standins_1pct, **TRAIN))
    assert len(files) > 10
    return files


@pytest.fixture(scope="module")
def dask():
    """The client of a Dask cluster of two worker processes."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def archives(standins_1pct, tmp_path):
    """A copy of the archives; a test may modify it."""
    return shutil.copytree(standins_1pct, tmp_path / "archives")


def build_and_kill(processes, folder, build):
    """The result of a build during which one of the processes is killed that write shards."""

    def kill():
        while not list(folder.glob("1pct/*.tmp")):
            time.sleep(0.001)
        os.kill(next(iter(processes())), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    result = build()
    killer.join(10)
    assert not killer.is_alive()
    return result


def test_dask_gives_the_same_bytes_after_a_worker_is_killed(dask, standins_1pct, single, tmp_path, capsys):
    """The cluster replaces the worker, and its unfinished files are deleted."""
    arguments = ["build", "1pct", "--splits=train", f"--data-dir={standins_1pct}", f"--output-dir={tmp_path}"]
    workers, address = dask.run(os.getpid).values, f"--dask={dask.scheduler.address}"
    assert build_and_kill(workers, tmp_path, lambda: main([*arguments, address])) == 0
    assert f"{len(single) - 1} shards" in capsys.readouterr().out
    assert digests(tmp_path) == single


def test_shard_that_fails_finally(archives, single, tmp_path):
    """One error with the shard, the image and the host; the next build reuses the other shards."""
    path = archives / official.TRAIN_ARCHIVE
    status, content = path.stat(), path.read_bytes()
    name = published_rows("1pct", "train")[6_000][0].encode()
    at = content.index(name, content.index(name) + 1)  # in the header, and in the image's comment
    spoilt = bytearray(content)
    spoilt[at - 6 : at - 2] = bytes(4)  # where the JPEG begins

    def write(content):
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    write(spoilt)
    message = rf"1pct/train-\d+-of-\d+\.parquet could not be written on host .*{name.decode()}"
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=SPAWN) as pool, pytest.raises(ValueError, match=message):
        build_parquet(tmp_path / "hub", archives, executor=pool, **TRAIN)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("hub/1pct/*.parquet")}
    assert 0 < len(finished) < len(single) - 1
    write(content)
    build_parquet(tmp_path / "hub", archives, **TRAIN)
    assert digests(tmp_path / "hub") == single
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_pool_whose_process_is_killed(standins_1pct, single, tmp_path):
    """One error that names a shard and says what to do; the next build reuses finished shards, and deletes the rest."""

    def build():
        with pytest.raises(BuildError) as raised:
            build_parquet(tmp_path / "hub", standins_1pct, executor=pool, **TRAIN)
        return str(raised.value)

    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        error = build_and_kill(lambda: list(pool._processes), tmp_path / "hub", build)
    assert f"{tmp_path}/hub/1pct/train-" in error and "run the build again" in error
    assert not (tmp_path / "hub/README.md").exists()
    build_parquet(tmp_path / "hub", standins_1pct, num_proc=2, **TRAIN)
    assert digests(tmp_path / "hub") == single


def test_other_rows_on_the_workers(standins_1pct, tmp_path):
    """The same if archives or lists on the workers differ from those at the same path here."""
    ours, theirs = tmp_path / "ours.txt", tmp_path / "theirs.txt"
    ours.write_text("n01440764_10040.JPEG")
    theirs.write_text("n01601694_21328.JPEG")
    begin = {"initializer": os.replace, "initargs": (theirs, ours), "mp_context": SPAWN}  # before its first task
    options = {"configs": "custom", "splits": ["train"], "train_list": ours}
    message = f"on host {socket.gethostname()}: .*gives different rows here than where the build was called"
    with concurrent.futures.ProcessPoolExecutor(1, **begin) as pool, pytest.raises(ArchiveError, match=message):
        build_parquet(tmp_path / "hub", standins_1pct, executor=pool, **options)
    assert not digests(tmp_path / "hub")


class Elsewhere(concurrent.futures.Executor):
    """Reports shards as written, like processes on another file system."""

    def submit(self, *task):
        future = concurrent.futures.Future()
        future.set_result(1)
        return future


def test_output_folder_that_workers_do_not_share(standins_1pct, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "VISIBLE_WITHIN", 0)
    with pytest.raises(BuildError, match=r"train-00000-of-.* was written, but does not exist here"):
        build_parquet(tmp_path / "hub", standins_1pct, executor=Elsewhere(), **TRAIN)
    assert not (tmp_path / "hub/README.md").exists()


def test_a_second_build_of_the_folder_is_refused(standins_1pct, single, tmp_path):
    """At once, as long as the first one runs, which it does not disturb."""
    errors = []

    def build_too():
        with pytest.raises(BuildError) as raised:
            build_parquet(tmp_path / "hub", standins_1pct, **TRAIN)
        errors.append(str(raised.value))

    with concurrent.futures.ThreadPoolExecutor(1, initializer=build_too) as executor:  # before the first shard
        build_parquet(tmp_path / "hub", standins_1pct, executor=executor, **TRAIN)
    assert errors == [
        f"{tmp_path}/hub is being written by another build. Wait until it has ended, or build into another folder."
    ]
    assert digests(tmp_path / "hub") == single
