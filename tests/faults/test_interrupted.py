"""Ctrl-C, as sent by a terminal, SIGTERM and SIGKILL, at several moments.

What is interrupted ends soon and leaves nothing behind; after each, the next call gives the right rows.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pyarrow as pa
import pytest
from helpers.built import digests
from helpers.faults import files, paths_below
from helpers.hub import Hub
from helpers.programs import command, environment
from helpers.remote import served

from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import index_path, read_index

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")

TIME_LIMIT = 20  # seconds; what it takes is below two, on a machine that has nothing else to do


class Session:
    """A program and all processes that it starts, in one session, as in a terminal."""

    def __init__(self, program, *arguments, folder, **variables):
        (folder / "tmp").mkdir(exist_ok=True)
        (folder / "home").mkdir(exist_ok=True)
        self.temporary = Path(f"/tmp/{time.monotonic_ns()}")  # short, for the sockets in it have paths of 107 bytes
        self.temporary.symlink_to(folder / "tmp")
        home = {"HF_HOME": str(folder / "home"), "TMPDIR": str(self.temporary)}
        self.before = 0  # lines of stderr, when the signal is sent
        self.output, self.errors = (folder / f"{time.monotonic_ns()}.{kind}" for kind in ("out", "err"))
        self.process = subprocess.Popen(
            command(program, *arguments),
            env=environment(**home, **variables),
            cwd=folder,
            stdout=self.output.open("w"),
            stderr=self.errors.open("w"),
            start_new_session=True,
        )

    def processes(self):
        """The process ids of the running ones."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
                if session == str(self.process.pid) and state != "Z":
                    found.append(int(path.parent.name))
        return found

    def wait_until(self, condition):
        """Wait for a condition, at most 60 s."""
        by = time.monotonic() + 60
        while not self.reached(condition):
            if self.process.poll() is not None or time.monotonic() > by:
                self.kill()
                pytest.fail(f"the moment does not come: {self.errors.read_text()}")
            time.sleep(0.002)

    @staticmethod
    def reached(condition):
        with contextlib.suppress(FileNotFoundError):  # a folder was renamed while it was searched
            return condition()
        return False

    def end(self, number, alone=True):
        """Send SIGINT to all, as a terminal does on Ctrl-C, or another signal to the first process only.

        If it should be ``alone``, assert that it has not started any process.
        """
        assert not alone or self.processes() == [self.process.pid]
        self.before = len(self.errors.read_text().splitlines())
        (os.killpg if number == SIGINT else os.kill)(self.process.pid, number)

    def ended(self):
        """Wait until all have ended; return the exit code, and the lines on stdout and, since the signal, on stderr."""
        by = time.monotonic() + TIME_LIMIT
        while self.processes() and time.monotonic() < by:
            self.process.poll()
            time.sleep(0.01)
        left = self.processes()
        self.kill()
        assert not left
        output, errors = (path.read_text().splitlines() for path in (self.output, self.errors))
        return self.process.wait(), output, errors[self.before :]

    def kill(self):
        """Kill all that still run."""
        for left in self.processes():
            os.kill(left, SIGKILL)
        self.temporary.unlink(missing_ok=True)


@pytest.fixture
def indexed(standins_1pct, tmp_path):
    """The stand-ins, whose indexes are in the HF_HOME of sessions in ``tmp_path``."""
    for archive in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
        read_index(standins_1pct / archive)
        path = Path(index_path(standins_1pct / archive))
        (tmp_path / "home" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, tmp_path / "home" / path.parent.name)
    return standins_1pct


def size(folder, pattern="*"):
    """The total size in bytes of the files below a folder whose names match a pattern."""
    total = 0
    for path in Path(folder).rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def arrow_table(cache):
    """All rows of the Arrow files in a cache."""
    tables = []
    for path in sorted(cache.rglob("*.arrow")):
        with pa.memory_map(str(path)) as source:
            tables.append(pa.ipc.open_stream(source).read_all())
    return pa.concat_tables(tables)


def assert_complete(cache, complete_cache):
    assert paths_below(cache) == paths_below(complete_cache)
    assert arrow_table(cache).equals(arrow_table(complete_cache))


def reading(folder, session):
    """The archive is open."""
    opened = [path for pid in session.processes() for path in Path(f"/proc/{pid}/fd").iterdir()]
    return any(path.resolve().name == TRAIN_ARCHIVE for path in opened)


def written(pattern):
    return lambda folder, session: size(folder, pattern) > 100_000


COMMANDS = {  # the arguments, and the moment
    "sample": (["sample", "standins", "--configs", "1pct"], written(TRAIN_ARCHIVE)),
    "demo": (["demo"], written("tmp/imagenet-subsets-demo-*/cache/**/*.arrow")),
    "index": (["index", f"data/{TRAIN_ARCHIVE}"], reading),
    "check": (["check", "data", "--decode"], reading),
    "build": (["build", "1pct", "--data-dir=data", "--output-dir=hub", "--num-proc=2"], written("hub/**/*")),
}
ENDED = [(moment, SIGINT) for moment in ("demo", "check", "build")]
ENDED += [(moment, SIGTERM) for moment in ("sample", "index", "build")]


@pytest.mark.once
@pytest.mark.parametrize(("moment", "number"), ENDED)
def test_a_command_ends(moment, number, request, standins_1pct, tmp_path):
    """At once, without a word and without a trace. It has started no process."""
    arguments, condition = COMMANDS[moment]
    if moment != "index":
        request.getfixturevalue("indexed")
    (tmp_path / "data").symlink_to(standins_1pct)
    kept = files(tmp_path / "home")
    program = ["command"] if arguments[0] in ("demo", "sample") else ["faults", "command"]
    session = Session(*program, *arguments, folder=tmp_path, DELAY="0.005")
    session.wait_until(lambda: condition(tmp_path, session))
    session.end(number)
    code, _, errors = session.ended()
    assert code == 128 + number
    assert len(errors) <= 1
    assert files(tmp_path / "home") == kept
    assert not files(tmp_path / "tmp")
    assert not (tmp_path / "standins").exists()
    # Finished shards are kept for the next build.
    assert {path.suffix for path in tmp_path.glob("hub/**/*.*") if path.is_file()} <= {".lock", ".parquet"}


@pytest.mark.once
def test_push_ends(hub_folder, tmp_path):
    """Although the Hub does not answer."""
    with Hub({"hf_writer": "write"}) as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_writer"}
        variables |= dict.fromkeys(("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_PROGRESS_BARS"), "1")
        hub.fail("upload", "hold", times=3)
        session = Session("command", "push", hub_folder, "team/imagenet", folder=tmp_path, **variables)
        session.wait_until(lambda: hub.requests.count("upload") >= 3)
        session.end(SIGTERM)
        code, output, errors = session.ended()
        assert (code, output) == (128 + SIGTERM, [])
        assert len(errors) <= 1
        assert len(hub.repos["team/imagenet"].revisions) == 1
        hub.recover()


@pytest.mark.oldest_and_newest
@pytest.mark.parametrize("num_proc", ["", "4"])
def test_loading_goes_on_after_an_interrupt(num_proc, indexed, complete_cache, tmp_path):
    """As in a notebook, whose kernel continues."""
    cache, whole = tmp_path / "cache", size(complete_cache, "*.arrow")
    moments = [lambda part=part: size(cache, "*.arrow") > part * whole for part in (0, 0.1)]
    session = Session("faults", "load", indexed, cache, num_proc, len(moments), folder=tmp_path, DELAY="0.005")
    for number, moment in enumerate(moments, start=1):
        session.wait_until(moment)
        session.end(SIGINT)
        session.wait_until(lambda number=number: session.output.read_text() == "interrupted\n" * number)
    code, output, _ = session.ended()
    assert (code, output[-1]) == (0, "12811")
    assert_complete(cache, complete_cache)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_loading_ends(number, indexed, complete_cache, tmp_path):
    """By an interrupt that is not caught, and by SIGTERM, which Python does not handle."""
    session = Session("faults", "load", indexed, tmp_path / "cache", "4", folder=tmp_path, DELAY="0.005")
    session.wait_until(lambda: size(tmp_path / "cache", "*.arrow") > 0.05 * size(complete_cache, "*.arrow"))
    session.end(number)
    code, _, errors = session.ended()
    assert code == -number and (number == SIGTERM or errors[-1] == "KeyboardInterrupt")
    assert not files(tmp_path / "tmp")


@pytest.mark.once
def test_a_transfer_ends(small_images, list_options, tmp_path):
    """Although the server does not answer."""
    with served("archives", small_images, tmp_path) as server:
        arguments = server.url, tmp_path / "cache", json.dumps(list_options)
        server.fail = lambda number: "stall" if number > 12 else None
        session = Session("faults", "load_url", *arguments, folder=tmp_path)
        session.wait_until(lambda: server.requests > 12)
        time.sleep(0.3)
        session.end(SIGINT)
        assert session.ended()[:2] == (0, ["interrupted"])


@pytest.mark.parametrize(
    "method", ["", *(pytest.param(each, marks=pytest.mark.engines) for each in ("fork", "spawn", "forkserver"))]
)
def test_a_stream_ends(method, indexed, tmp_path):
    """Also in the workers of a DataLoader, however they are started."""
    if method:
        pytest.importorskip("torch")
    session = Session("faults", "stream", indexed, method, folder=tmp_path, DELAY="0.005")
    session.wait_until(lambda: len(list(tmp_path.glob("read-*"))) == (2 if method else 1))
    session.end(SIGINT, alone=not method)
    code, _, errors = session.ended()
    assert code == -SIGINT
    assert "KeyboardInterrupt" in errors  # the workers print errors of their own


@pytest.mark.once
def test_killed_while_indexing(standins_1pct, hf_home, tmp_path):
    archive = standins_1pct / TRAIN_ARCHIVE
    index = ["faults", "command", "index", archive]
    for moment in ("pread:100", "replace:1"):
        assert Session(*index, folder=tmp_path, KILL=moment).ended()[0] == -SIGKILL
    assert Session(*index, folder=tmp_path).ended()[0] == 0
    assert read_index(archive).num_rows > 12_811
    expected = Path(index_path(archive))
    (found,) = (path for path in (tmp_path / "home").rglob("*") if path.is_file() and path.suffix != ".lock")
    assert (found.name, found.read_bytes()) == (expected.name, expected.read_bytes())


def kill_at(moments, size_of, start):
    """Start a session for each moment, and kill it when a size is reached."""
    for moment in moments:
        session = start()
        session.wait_until(lambda moment=moment: size_of() > moment)
        session.process.kill()
        assert session.ended()[0] == -SIGKILL


@pytest.mark.oldest_and_newest
def test_killed_while_loading(indexed, complete_cache, tmp_path):
    cache, whole = tmp_path / "cache", size(complete_cache, "*.arrow")
    numbers = iter(["", "4", "8", "", "4"])
    kill_at(
        [part * whole for part in (0, 0.1, 0.2, 0.3, 0.4)],
        lambda: size(cache, "*.arrow"),
        lambda: Session("faults", "load", indexed, cache, next(numbers), folder=tmp_path, DELAY="0.001"),
    )
    assert Session("faults", "load", indexed, cache, folder=tmp_path).ended()[:2] == (0, ["12811"])
    assert_complete(cache, complete_cache)


@pytest.mark.once
def test_killed_while_building(indexed, hub_folder, tmp_path):
    def build(**variables):
        return Session("faults", "build", tmp_path / "hub", indexed, folder=tmp_path, **variables)

    moments = [part * size(hub_folder, "train-*") for part in (0, 0.3, 0.7)]
    kill_at(moments, lambda: size(tmp_path / "hub"), lambda: build(DELAY="0.001"))
    assert build().ended()[0] == 0
    expected = {name: digest for name, digest in digests(hub_folder).items() if "/train-" in name}
    assert {name for name, _ in digests(tmp_path / "hub").items() ^ expected.items()} == {"README.md"}


def test_several_processes_prepare_the_same_dataset_at_once(indexed, complete_cache, tmp_path):
    sessions = [Session("faults", "load", indexed, tmp_path / "cache", folder=tmp_path) for _ in range(2)]
    for session in sessions:
        session.process.wait(120)
        assert session.ended()[:2] == (0, ["12811"])
    assert_complete(tmp_path / "cache", complete_cache)
