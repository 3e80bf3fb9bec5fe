"""The walk by several processes: what one finds, and no process is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from makers.tars import BLOCK, END, member

import imagenet_subsets
from imagenet_reader.walk import archive as walk
from imagenet_reader.walk import ways as walkers
from imagenet_subsets import ArchiveError, read_index

CLASSES = [b"n01440764", b"n01443537", b"n01484850", b"n01491361"]
ROOT = Path(imagenet_subsets.__file__).parent


def class_tar(wnid, count=500, damaged_at=None):
    """The members of a class tar, of which one has no header."""
    images = [member(b"%b_%d.JPEG" % (wnid, k), b"x") for k in range(count)]
    if damaged_at is not None:
        images[damaged_at] = b"x" * len(images[damaged_at])
    return b"".join(images) + END


@pytest.fixture(params=[0, 1, 4])
def processes(request, monkeypatch):
    """The number of processes that walk, at once and even if the archive is small."""
    monkeypatch.setattr(walk, "ALONE", 0)
    monkeypatch.setattr(walk, "MEMORY_SPEED", 0)
    monkeypatch.setattr(walk, "PROCESSES", request.param)
    return request.param


def test_the_first_error_of_the_archive_is_reported_whoever_comes_upon_another_earlier(processes, write):
    damaged = {CLASSES[1]: 450, CLASSES[2]: 0, CLASSES[3]: 3}
    parts = [member(wnid + b".tar", class_tar(wnid, damaged_at=damaged.get(wnid))) for wnid in CLASSES]
    path = write(*parts, END)
    at = len(parts[0]) + BLOCK + 450 * 2 * BLOCK
    for kind in (str, Path, str):
        with pytest.raises(ArchiveError, match=f"^{path}, byte {at:,}: found no tar header"):
            read_index(kind(path))


def test_an_error_of_the_system_names_the_file(processes, tmp_path):
    for wnid in CLASSES[:2]:
        (tmp_path / f"{wnid.decode()}.tar").write_bytes(class_tar(wnid))
    (tmp_path / f"{CLASSES[2].decode()}.tar").mkdir()
    with pytest.raises(IsADirectoryError, match="while reading") as raised:
        walk.walk_class_tars(str(tmp_path), [wnid.decode() for wnid in CLASSES[:3]])
    assert raised.value.filename == str(tmp_path / f"{CLASSES[2].decode()}.tar")


@pytest.fixture
def sound(write):
    """(path, names) of an archive of four class tars."""
    names = [b"%b_%d.JPEG" % (wnid, k) for wnid in CLASSES for k in range(500)]
    return write(*(member(wnid + b".tar", class_tar(wnid)) for wnid in CLASSES), END), names


ONE_JOB = """
import sys
sys.path.append(sys.argv[1])
from imagenet_reader.walk import worker as walk_worker
walk_worker.send(sys.stdout.buffer, walk_worker.walk(*walk_worker.receive(sys.stdin.buffer)))
"""


@pytest.mark.parametrize("start", ["raise SystemExit", ONE_JOB, "import os; os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("processes", [1, 3], indirect=True)
def test_processes_that_end_before_their_time_are_done_without(start, processes, sound, monkeypatch):
    monkeypatch.setattr(walkers, "START", start)
    path, names = sound
    assert read_index(path)["name"].to_pylist() == names


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python3", "/bin/sh"])
@pytest.mark.parametrize("processes", [3], indirect=True)
def test_where_no_process_can_be_started_one_walks(executable, processes, sound, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    path, names = sound
    assert read_index(path)["name"].to_pylist() == names


@pytest.mark.parametrize("processes", [3], indirect=True)
def test_a_daemonic_process_walks_too(processes, sound):
    path, names = sound
    queue = multiprocessing.get_context("fork").Queue()
    worker = multiprocessing.get_context("fork").Process(
        target=lambda: queue.put(read_index(path)["name"].to_pylist()), daemon=True
    )
    worker.start()
    assert queue.get(timeout=60) == names
    worker.join()


SLOW = """
import os, sys, time
sys.path.append(sys.argv[1])
from imagenet_reader.walk import worker as walk_worker
pread = os.pread
def slow(*place):
    time.sleep(0.05)
    return pread(*place)
os.pread = slow
walk_worker.main()
"""
WALK = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
from imagenet_reader.walk import archive as walk, ways as walkers
from imagenet_subsets import read_index
walk.ALONE, walk.MEMORY_SPEED, walk.PROCESSES, walkers.START = 0, 0, 4, {SLOW!r}
print("begins", flush=True)
read_index(sys.argv[1])
"""


def children(pid):
    """The numbers of the processes that one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_behind(number, sound, hf_home):
    path, _ = sound
    environment = os.environ | {"HF_HOME": str(hf_home)}
    walking = subprocess.Popen(
        [sys.executable, "-c", WALK, path], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert walking.stdout.readline() == b"begins\n"
    assert within(30, lambda: len(children(walking.pid)) == 4)
    started = children(walking.pid)
    time.sleep(0.3)
    walking.send_signal(number)
    assert within(2, lambda: not any(map(is_running, [*started, walking.pid])))
    walking.communicate()
    assert walking.returncode != 0
