"""Ctrl-C at several moments, as sent by a terminal, and SIGTERM: all processes end soon and leave nothing behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest
from helpers.faults import arrow_table, files, paths_below
from helpers.hub import Hub
from helpers.programs import command, environment
from helpers.remote import served

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")

TIME_LIMIT = 20  # seconds; what it takes is below two, on a machine that has nothing else to do


class Session:
    """A program and all processes that it starts, in one session, as in a terminal."""

    def __init__(self, program, *arguments, folder, **variables):
        (folder / "tmp").mkdir(exist_ok=True)
        self.temporary = Path(f"/tmp/{time.monotonic_ns()}")  # short, for the sockets in it have paths of 107 bytes
        self.temporary.symlink_to(folder / "tmp")
        home = {"HF_HOME": str(folder / "home"), "TMPDIR": str(self.temporary), **variables}
        self.before = 0  # lines of stderr, when the signal is sent
        self.output, self.errors = (folder / f"{time.monotonic_ns()}.{kind}" for kind in ("out", "err"))
        self.process = subprocess.Popen(
            command(program, *arguments),
            env=environment(**home),
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

    def end(self, number):
        """Send SIGINT to all, as a terminal does on Ctrl-C, or SIGTERM to the first process only."""
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


def size(folder, pattern):
    """The total size in bytes of the files below a folder whose names match a pattern."""
    total = 0
    for path in Path(folder).rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


# ------------------------------------------------------------------------------------------------ commands


def sampling(name):
    return lambda folder, session: size(folder, f"standins/.standins-*/{name}") > 500_000


def imported(module):
    return lambda folder, session: module in Path(f"/proc/{session.process.pid}/maps").read_text()


def demo_writes(pattern):
    return lambda folder, session: size(folder, f"tmp/imagenet-subsets-demo-*/{pattern}") > 100_000


COMMANDS = {  # the arguments, the moment, and the signals; for build, see test_killed.py
    "importing": (["demo"], imported("libarrow"), [SIGINT, SIGTERM]),
    "sample-train": (["sample", "standins", "--configs", "1pct"], sampling(TRAIN_ARCHIVE), [SIGTERM]),
    "sample-validation": (["sample", "standins", "--configs", "1pct"], sampling(VALIDATION_ARCHIVE), [SIGINT]),
    "demo": (["demo"], demo_writes("cache/**/*.arrow"), [SIGINT, SIGTERM]),
    "index": (["index", f"data/{TRAIN_ARCHIVE}"], lambda folder, _: any(folder.glob("home/*/*.lock")), [SIGINT]),
    "check": (["check", "data", "--decode"], lambda _, session: len(session.processes()) > 2, [SIGINT, SIGTERM]),
}


@pytest.mark.once
@pytest.mark.parametrize(
    ("moment", "number"), [(moment, number) for moment, (*_, numbers) in COMMANDS.items() for number in numbers]
)
def test_command(moment, number, standins_1pct, tmp_path):
    arguments, condition, _ = COMMANDS[moment]
    (tmp_path / "data").symlink_to(standins_1pct)
    slow = "slow_headers" if moment == "index" else "slow_images"
    session = Session("command", *arguments, folder=tmp_path, FIRST=slow)
    session.wait_until(lambda: condition(tmp_path, session))
    session.end(number)
    code, _, errors = session.ended()
    assert code == 128 + number
    assert len(errors) <= 1
    assert not files(tmp_path / "tmp")
    assert not (tmp_path / "standins").exists()
    kept = {path.suffix for path in tmp_path.glob("home/imagenet_subsets/*")}
    assert kept <= (set() if arguments == ["demo"] else {".index", ".lock"})


@pytest.mark.once
@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_signal_in_a_callback_is_not_lost(number, standins_1pct, tmp_path):
    """Python swallows an exception that is raised there."""
    variables = {"FIRST": "signal_in_callback", "NUMBER": str(number.value)}
    session = Session("command", "check", standins_1pct, "--decode", folder=tmp_path, **variables)
    code, output, errors = session.ended()
    assert (code, output, errors) == (128 + number, [], [])


@pytest.mark.once
def test_interrupt_leaves_no_lock_held(standins_1pct, tmp_path):
    """An exception raised just after a lock was acquired could leave a pool waiting for it forever."""
    (tmp_path / "data").symlink_to(standins_1pct)
    arguments = ["build", "1pct", "--data-dir=data", "--output-dir=hub", "--num-proc=2"]
    session = Session("command", *arguments, folder=tmp_path, FIRST="slow_images signal_at_lock")
    code, _, errors = session.ended()
    assert code == 130
    assert len(errors) <= 1


@pytest.mark.once
@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_push(number, hub_folder, tmp_path):
    with Hub({"hf_writer": "write"}) as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_writer"}
        variables |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        hub.fail("upload", "hold", times=3)
        session = Session("command", "push", hub_folder, "team/imagenet", folder=tmp_path, **variables)
        session.wait_until(lambda: hub.count("upload") >= 3)
        session.end(number)
        code, output, errors = session.ended()
        assert code == 128 + number
        assert not output
        assert len(errors) <= 1
        assert len(hub.repos["team/imagenet"].revisions) == 1
        hub.recover()


# ----------------------------------------------------------------------------------------- loading, in Python


@pytest.mark.oldest_and_newest
@pytest.mark.parametrize("num_proc", [None, 2])
def test_loading_goes_on_after_an_interrupt(num_proc, standins_1pct, complete_caches, tmp_path):
    """As in a notebook, whose kernel continues."""
    cache, whole = tmp_path / "cache", size(complete_caches[num_proc], "*.arrow")
    moments = [lambda part=part: size(cache, "*.arrow") > part * whole for part in (0, 0.1, 0.2)]
    session = Session("interrupted_loads", standins_1pct, cache, num_proc or 0, len(moments), folder=tmp_path)
    for number, moment in enumerate(moments, start=1):
        session.wait_until(moment)
        session.end(SIGINT)
        session.wait_until(lambda number=number: session.output.read_text() == "interrupted []\n" * number)
    code, output, _ = session.ended()
    assert (code, output[-1]) == (0, "12811")
    assert paths_below(cache) == paths_below(complete_caches[num_proc])
    assert arrow_table(cache).equals(arrow_table(complete_caches[num_proc]))


def test_interrupt_while_a_pool_starts_leaves_no_process(standins_1pct, tmp_path):
    """A pool interrupted while it starts would replace each terminated process."""
    session = Session(
        "interrupted_loads", standins_1pct, tmp_path / "cache", 2, 1, folder=tmp_path, FIRST="signal_in_pool"
    )
    code, output, _ = session.ended()
    assert (code, output) == (0, ["interrupted []", "12811"])


@pytest.mark.oldest_and_newest
@pytest.mark.parametrize("kind", ["alarm", "again", "held", "pair", "daemon"])
def test_programs_that_handle_signals_in_their_own_way(kind, standins_1pct, tmp_path):
    """And one that loads in a daemon thread. Each ends long before its load would."""
    session = Session("own_handlers", kind, standins_1pct, tmp_path / "cache", folder=tmp_path)
    if kind == "again":
        for output in ("", "once more to stop\n"):
            session.wait_until(lambda: len(list(tmp_path.rglob("*.arrow"))) == 2)
            assert session.output.read_text() == output
            session.end(SIGINT)
            session.wait_until(lambda: session.output.read_text().startswith("once more to stop\n"))
    expected = {
        "alarm": ["TimeoutError('too late') []", "default_int_handler"],
        "again": ["once more to stop", "KeyboardInterrupt() []", "default_int_handler"],
        "held": ["KeyboardInterrupt() []", "interrupt"],
        "pair": ["KeyboardInterrupt() []", "interrupt"],
        "daemon": ["default_int_handler"],
    }
    assert session.ended()[:2] == (0, expected[kind])


@pytest.mark.once
def test_loading_where_no_thread_can_be_started(standins_1pct, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", fail)
    options = {"data_dir": standins_1pct, "cache_dir": str(tmp_path), "splits": ["train"]}
    with pytest.raises(RuntimeError, match="can't start new thread"):
        imagenet_subsets.load_dataset("1pct", num_proc=2, **options)


@pytest.mark.once
@pytest.mark.parametrize("indexed", [True, False], ids=["ranges", "pass"])
def test_transfers_end(indexed, small_images, list_options, tmp_path):
    """Although the server would take minutes for the requested bytes."""
    with served("archives", small_images, tmp_path, indexed=indexed) as server:
        arguments = server.url, tmp_path / "cache", json.dumps(list_options)
        server.fail = lambda number: setattr(server, "rate", 2_000) if number > (12 if indexed else 4) else None
        session = Session("interrupted_transfer", *arguments, folder=tmp_path)
        session.wait_until(lambda: server.rate and server.in_flight)
        time.sleep(0.3)
        session.end(SIGINT)
        assert session.ended()[:2] == (0, ["interrupted"])


@pytest.mark.parametrize("num_proc", [None, 2])
def test_loading_ends(num_proc, standins_1pct, complete_caches, tmp_path):
    """By an uncaught interrupt, and by SIGTERM, which Python does not handle."""
    cache = tmp_path / "cache"
    for number in (SIGINT, SIGTERM):
        arguments = [standins_1pct, cache, num_proc or 0, 0]
        session = Session("interrupted_loads", *arguments, folder=tmp_path, FIRST="slow_folders")
        session.wait_until(lambda: size(cache, "*.arrow") > 0.05 * size(complete_caches[num_proc], "*.arrow"))
        session.end(number)
        code, _, errors = session.ended()
        assert code == -number
        assert number == SIGTERM or errors[-1] == "KeyboardInterrupt"
        assert not list((tmp_path / "tmp").iterdir())
    options = {"data_dir": standins_1pct, "cache_dir": str(cache), "num_proc": num_proc, "splits": ["train"]}
    assert len(imagenet_subsets.load_dataset("1pct", **options)["train"]) == 12_811
    assert paths_below(cache) == paths_below(complete_caches[num_proc])
    assert arrow_table(cache).equals(arrow_table(complete_caches[num_proc]))


def test_an_interrupt_in_a_callback_is_not_lost(standins_1pct, tmp_path):
    """Python swallows its exception there, for example in a fork by which datasets starts a process."""
    arguments, variables = [standins_1pct, tmp_path / "cache", 2, 0], {"FIRST": "signal_in_callback", "NUMBER": "2"}
    session = Session("interrupted_loads", *arguments, folder=tmp_path, **variables)
    code, _, errors = session.ended()
    assert code == -SIGINT
    assert errors[-1] == "KeyboardInterrupt"


def test_loading_ends_while_processes_start(standins_1pct, tmp_path):
    """With datasets alone, Python then waits forever for the last of them."""
    arguments = [standins_1pct, tmp_path / "cache", 2, 0]
    session = Session("interrupted_loads", *arguments, folder=tmp_path, FIRST="signal_while_starting")
    code, _, errors = session.ended()
    assert code == -SIGINT
    assert errors[-1] == "KeyboardInterrupt"


@pytest.mark.engines
@pytest.mark.parametrize(("kind", "readers"), [("one process", 1), ("processes", 2), ("DataLoader", 2)])
def test_streaming(kind, readers, standins_1pct, tmp_path):
    if kind == "DataLoader":
        pytest.importorskip("torch")
    session = Session("streaming", kind, standins_1pct, folder=tmp_path)
    session.wait_until(lambda: len(list(tmp_path.glob("read-*"))) == readers)
    session.end(SIGINT)
    code, _, errors = session.ended()
    assert code == -SIGINT
    assert "KeyboardInterrupt" in errors  # the workers print errors of their own
