"""A build or push that is killed at many moments and then repeated ends like an undisturbed one.

And an interrupted build ends at once.
"""

import os
import signal
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.hub import Hub
from helpers.programs import command, environment

pytestmark = pytest.mark.oldest_and_newest

TOKEN = "hf_writer"


def start(program, *arguments, **variables):
    options = {"env": environment(**variables), "stderr": subprocess.PIPE, "start_new_session": True}
    return subprocess.Popen(command(program, *arguments), **options)


def kill_once(process, reached):
    """Send SIGKILL once ``reached()`` is true; return whether the process was still running."""
    while process.poll() is None and not reached():
        time.sleep(0.001)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode == -signal.SIGKILL


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.once
@pytest.mark.parametrize("num_proc", [1, 2])
def test_a_killed_build(num_proc, hub_folder, standins_1pct, tmp_path):
    folder = tmp_path / "hub"
    killed = 0
    for files in (1, 2, 6, 11, 17):  # of 18, those that are being written included
        process = start("build", folder, standins_1pct, 3_000_000, num_proc)
        killed += kill_once(process, lambda files=files: len(list(folder.rglob("*.*"))) >= files)
    assert killed >= 3
    process = start("build", folder, standins_1pct, 3_000_000, num_proc)
    assert process.wait(120) == 0, process.stderr.read()
    assert contents(folder) == contents(hub_folder)


def interrupt(process, group, sent):
    """Send a signal to a process, or to its group, as a terminal does; return the seconds until it ended."""
    begin = time.monotonic()
    (os.killpg if group else os.kill)(process.pid, sent)
    process.wait(20)
    return time.monotonic() - begin


@pytest.mark.once
@pytest.mark.parametrize("num_proc", [1, 2])
@pytest.mark.parametrize(("sent", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_an_interrupted_build(num_proc, sent, group, standins_1pct, tmp_path):
    """It ends at once, prints nothing and leaves no unfinished file and no process."""
    arguments = ["build", "1pct", f"--data-dir={standins_1pct}", f"--output-dir={tmp_path}"]
    for size in (4, 500_000):  # bytes of a shard that is being written
        variables = {"FIRST": "large_shards slow_images", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        process = start("command", *arguments, f"--num-proc={num_proc}", **variables)
        while process.poll() is None and not any(path.stat().st_size >= size for path in unfinished(tmp_path)):
            time.sleep(0.0005)
        assert process.poll() is None
        assert interrupt(process, group, sent) < 5  # it is 1 s on a machine that has nothing else to do
        assert process.returncode in (130, 128 + sent)
        assert process.communicate()[1] == b""
        assert unfinished(tmp_path) == []
        time.sleep(0.3)  # in which a process that lived on would write
        assert unfinished(tmp_path) == []
        assert not list(tmp_path.glob("*/*"))


def unfinished(folder):
    return [path for path in folder.glob("*/*.unfinished") if path.exists()]


@pytest.mark.once
def test_a_killed_push(tmp_path):
    folder = tmp_path / "hub"
    names = [f"1pct/train-{k:05d}-of-00012.parquet" for k in range(12)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": [os.urandom(4 << 20)]}), folder / name)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: 1pct\n  data_files:\n  - split: train\n"
        "    path: 1pct/train-*-of-00012.parquet\n"
        "dataset_info:\n  config_name: 1pct\n  splits:\n  - name: train\n    num_examples: 12\n---\n"
    )
    settings = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    with Hub({TOKEN: "write"}) as hub:
        settings["HF_ENDPOINT"] = hub.url
        killed = 0
        for uploads in (1, 3, 7):
            before = hub.count("upload")
            process = start("push", folder, "team/killed", **settings)
            killed += kill_once(process, lambda before=before, uploads=uploads: hub.count("upload") - before >= uploads)
        assert killed >= 1
        process = start("push", folder, "team/killed", **settings)
        assert process.wait(120) == 0, process.stderr.read()
        files = {name: file.content for name, file in hub.repos["team/killed"].files.items()}
        assert {name: files[name] for name in contents(folder)} == contents(folder)
        sent = sum(request.received for request in hub.requests if request.route == "upload" and request.status == 200)
        assert sent <= sum(map(len, contents(folder).values())) + 5 * killed * (5 << 20)
