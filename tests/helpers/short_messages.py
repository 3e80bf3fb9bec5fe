"""Every message that a test provokes is short; and it is recorded, so that the manual names only real ones."""

import contextlib
import os
import pathlib
import re
import tempfile

import pytest

import imagenet_reader
import imagenet_subsets
import imagenet_subsets_tools
from helpers.rows import VERSION

MOST = 2000  # characters
PROJECT_FILES = tuple(
    str(pathlib.Path(module.__file__).parent) for module in (imagenet_reader, imagenet_subsets_tools)
) + (imagenet_subsets.__file__,)
RECORD = "RECORDED_MESSAGES"  # the variable with a folder that all processes of a test run share

OF_SOME_VERSIONS = {  # message of datasets: whether this version has it
    "Dataset scripts are no longer supported": VERSION >= (4, 0),
    "... contains custom code which must be executed ...": (2, 20) <= VERSION < (4, 0),
}

plain_raises, plain_warns = pytest.raises, pytest.warns


@contextlib.contextmanager
def raises(*args, **options):
    """``pytest.raises``, which also records messages and checks the length of ours."""
    with plain_raises(*args, **options) as raised:
        yield raised
    error, seen = raised.value, []
    while error is not None and error not in seen:
        record(str(error))
        if _is_ours(error):
            _check(str(error))
        seen.append(error)
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def warns(*args, **options):
    """``pytest.warns``, which also records messages and checks the length of ours."""
    with plain_warns(*args, **options) as warned:
        yield warned
    for warning in warned:
        if warning.category is UserWarning:
            record(str(warning.message))
            _check(str(warning.message))


def record(message):
    """Note a message that a test has seen, for the end of the test run."""
    with open(pathlib.Path(os.environ[RECORD]) / str(os.getpid()), "a", encoding="utf-8", errors="replace") as file:
        file.write(message + "\0")


def start_record():
    """Make the folder of the record; return whether this process did so, and not one that started it."""
    if RECORD in os.environ:
        return False
    os.environ[RECORD] = tempfile.mkdtemp(prefix="imagenet-subsets-messages-")
    return True


def recorded():
    """All messages that were noted in this test run."""
    files = pathlib.Path(os.environ[RECORD]).iterdir()
    return [message for file in files for message in file.read_text(encoding="utf-8").split("\0")]


def never_raised(page, messages):
    """The messages in the first column of a page's table that are none of ``messages``, where ``...`` is any text."""
    cells = re.findall(r"^\| (.+?) \| .+ \|$", page, re.MULTILINE)
    named = [cell[1:-1] for cell in cells if cell.startswith("`") and cell.endswith("`")]
    named = [name for name in named if OF_SOME_VERSIONS.get(name, True)]
    patterns = {name: re.compile(".*".join(map(re.escape, name.split("..."))), re.DOTALL) for name in named}
    return [name for name, pattern in patterns.items() if not any(map(pattern.search, messages))]


def _is_ours(error):
    """Whether code of this project raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = trace is not None and trace.tb_frame.f_code.co_filename.startswith(PROJECT_FILES)
    return ours or isinstance(error, imagenet_subsets.ArchiveError)


def _check(message):
    assert len(message) < MOST, f"a message of {len(message):,} characters: {message[:MOST]}"
