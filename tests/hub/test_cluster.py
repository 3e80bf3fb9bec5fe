"""Builds by a Dask cluster and other executors; failures and killed workers.

The folders are of 1pct train, in shards of 1 MB; what a thread writes is what every other way must give.
"""

import concurrent.futures
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import threading
import time

import pytest
from helpers.built import digests
from helpers.programs import output

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


def build_and_kill(processes, folder, *arguments, **options):
    """Build while one of the processes is killed that write shards; return the error of the build, or ``None``."""

    def kill():
        while not list(folder.glob("1pct/*.tmp")):
            time.sleep(0.001)
        os.kill(next(iter(processes())), signal.SIGKILL)

    killer, error = threading.Thread(target=kill, daemon=True), None
    killer.start()
    try:
        build_parquet(folder, *arguments, **options)
    except BuildError as raised:
        error = raised
    killer.join(10)
    assert not killer.is_alive()
    return error


# ------------------------------------------------------------------------------------------------- Dask


def test_dask_gives_the_same_bytes_after_a_worker_is_killed(dask, standins_1pct, single, tmp_path):
    """The cluster replaces the worker, and its unfinished files are deleted."""
    workers = dask.run(os.getpid).values
    error = build_and_kill(workers, tmp_path / "hub", standins_1pct, executor=dask.get_executor(), **TRAIN)
    assert error is None
    assert digests(tmp_path / "hub") == single


def test_dask_from_the_command_line(dask, standins_1pct, single, tmp_path, capsys):
    """By the address of the scheduler."""
    arguments = ["build", "1pct", "--splits", "train", "--data-dir", str(standins_1pct)]
    assert main([*arguments, "--output-dir", str(tmp_path), "--dask", dask.scheduler.address]) == 0
    assert f"{len(single) - 1} shards" in capsys.readouterr().out
    assert digests(tmp_path) == single


def test_shard_that_fails_finally_on_dask(dask, archives, single, tmp_path):
    """One error with the shard, the image and the host; the next build reuses the other shards."""
    path = archives / official.TRAIN_ARCHIVE
    status, content = path.stat(), path.read_bytes()
    name = sorted(digests_of_rows(archives))[len(single) // 2]
    at = content.index(name.encode(), content.index(name.encode()) + 1)  # in the header, and in the image's comment
    spoilt = bytearray(content)
    spoilt[at - 6 : at - 2] = bytes(4)  # where the JPEG begins
    path.write_bytes(spoilt)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ValueError, match=rf"1pct/train-\d+-of-\d+\.parquet could not be written on host .*{name}"):
        build_parquet(tmp_path / "hub", archives, executor=dask.get_executor(), **TRAIN)
    wait_until_idle(tmp_path / "hub")
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("hub/1pct/*.parquet")}
    assert 0 < len(finished) < len(single) - 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    build_parquet(tmp_path / "hub", archives, executor=dask.get_executor(), **TRAIN)
    assert digests(tmp_path / "hub") == single
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def digests_of_rows(archives):
    """The names of the rows."""
    from imagenet_subsets import ImagenetSubsets

    plan = ImagenetSubsets(config_name="1pct", data_dir=str(archives)).plan()
    return [name.decode() for name in plan.splits["train"].rows["name"].tolist()]


def wait_until_idle(folder):
    """Dask cannot stop a running task: it continues after the build has failed."""
    while list(folder.glob("1pct/*.tmp")):
        time.sleep(0.05)


def test_dask_is_not_imported_without_need(standins_1pct, tmp_path):
    arguments = ["build", "1pct", "--splits=train", f"--data-dir={standins_1pct}", f"--output-dir={tmp_path}"]
    output("build_without_dask", *arguments)


# ---------------------------------------------------------------------------------------- any executor


def test_own_pool_gives_the_same_bytes(standins_1pct, single, tmp_path):
    """With spawned processes; the pool is not shut down."""
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        build_parquet(tmp_path / "hub", standins_1pct, executor=pool, **TRAIN)
        assert pool.submit(os.getpid).result() != os.getpid()
    assert digests(tmp_path / "hub") == single


def test_a_pool_whose_process_is_killed(standins_1pct, single, tmp_path):
    """One error that names a shard and says what to do; the next build reuses finished shards, and deletes the rest."""
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        error = build_and_kill(lambda: list(pool._processes), tmp_path / "hub", standins_1pct, executor=pool, **TRAIN)
    assert f"{tmp_path}/hub/1pct/train-" in str(error)
    assert "run the build again" in str(error)
    assert not (tmp_path / "hub/README.md").exists()
    build_parquet(tmp_path / "hub", standins_1pct, num_proc=2, **TRAIN)
    assert digests(tmp_path / "hub") == single


class Recording(concurrent.futures.ThreadPoolExecutor):
    """Runs tasks and records what would have to be sent to other processes."""

    def __init__(self):
        super().__init__(2)
        self.sent = []

    def submit(self, *task):
        self.sent.append(len(pickle.dumps(task)))
        return super().submit(*task)


def test_tasks_are_small(standins_1pct, single, tmp_path):
    """Tasks do not contain rows: a shard here has 800 rows of about 30 bytes."""
    with Recording() as executor:
        build_parquet(tmp_path / "hub", standins_1pct, executor=executor, **TRAIN)
    assert len(executor.sent) == len(single) - 1
    assert max(executor.sent) < 1500
    assert digests(tmp_path / "hub") == single


def error_of_a_host_where(act, arguments, tmp_path, data_dir, **options):
    """The error of a build whose one process calls ``act(*arguments)`` before its first task."""
    begin = {"initializer": act, "initargs": arguments, "mp_context": SPAWN}
    with concurrent.futures.ProcessPoolExecutor(1, **begin) as pool, pytest.raises(ArchiveError) as raised:
        build_parquet(tmp_path / "hub", data_dir, executor=pool, **options)
    assert socket.gethostname() in str(raised.value)
    assert not digests(tmp_path / "hub")
    return str(raised.value)


def test_archives_at_another_path_on_the_workers(archives, tmp_path):
    """The error names the path and the host; nothing is written."""
    error = error_of_a_host_where(os.rename, (archives, tmp_path / "elsewhere"), tmp_path, archives, **TRAIN)
    assert f"data_dir='{archives}': there is no such folder" in error
    assert f"Every host needs the same files at {archives}" in error


def test_other_rows_on_the_workers(standins_1pct, tmp_path):
    """The same if archives or lists on the workers differ from those at the same path here."""
    ours, theirs = tmp_path / "ours.txt", tmp_path / "theirs.txt"
    ours.write_text("n01440764_10040.JPEG")
    theirs.write_text("n01601694_21328.JPEG")
    options = {"configs": "custom", "splits": ["train"], "train_list": ours}
    error = error_of_a_host_where(os.replace, (theirs, ours), tmp_path, standins_1pct, **options)
    assert f"{standins_1pct} gives different rows here than where the build was called" in error


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


# ------------------------------------------------------------------------------------ two builds of one folder


class Meanwhile(concurrent.futures.ThreadPoolExecutor):
    """Calls ``act()`` before its first task."""

    def __init__(self, act):
        super().__init__(1, initializer=act)


def test_a_second_build_of_the_folder_is_refused(standins_1pct, single, tmp_path):
    """At once, as long as the first one runs, which it does not disturb."""
    errors = []

    def build_too():
        with pytest.raises(BuildError) as raised:
            build_parquet(tmp_path / "hub", standins_1pct, **TRAIN)
        errors.append(str(raised.value))

    with Meanwhile(build_too) as executor:
        build_parquet(tmp_path / "hub", standins_1pct, executor=executor, **TRAIN)
    assert errors == [
        f"{tmp_path}/hub is being written by another build. Wait until it has ended, or build into another folder."
    ]
    assert digests(tmp_path / "hub") == single


def test_either_threads_or_an_executor(standins_1pct, tmp_path):
    with pytest.raises(ValueError, match="pass only one of them"):
        build_parquet(tmp_path / "hub", standins_1pct, num_proc=2, executor=Elsewhere(), **TRAIN)
