"""Messages of the manual that no other test raises; ``conftest.py`` compares the manual with those of all tests."""

import contextlib
import shutil
import subprocess

import pytest
from helpers.pages import PAGES
from helpers.programs import command, environment
from helpers.short_messages import VERSION, never_raised, plain_raises, record

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, ArchiveError


@pytest.mark.once
def test_messages_that_nothing_raises_are_found():
    page = "| what is seen | what to do |\n| `... has ... images` | x |\n| `... ends` | x |\n| a label of -1 | x |\n"
    assert never_raised(page, ["/data has 3\nsmall images.", "it starts"]) == ["... ends"]
    assert never_raised(page, ["/data has 3\nsmall images.", "it ends"]) == []
    assert len(never_raised(PAGES["docs/troubleshooting.md"], [])) > 30


@pytest.mark.once
@pytest.mark.parametrize("length", [1999, 2000])
def test_long_messages_are_found(length):
    """Also those that others wrap."""
    expected = plain_raises(AssertionError, match="a message of 2,000 characters")
    with contextlib.nullcontext() if length < 2000 else expected, pytest.raises(RuntimeError):
        raise RuntimeError("datasets wraps errors") from ArchiveError("x" * length)


@pytest.mark.once
def test_an_archive_instead_of_its_folder(standins_1pct):
    with pytest.raises(FileNotFoundError, match="is a file: pass the folder that it is in"):
        imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct / TRAIN_ARCHIVE)


def error_of(program, *arguments, **variables):
    call = {"env": environment(**variables), "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    result = subprocess.run(command(program, *arguments), **call)
    assert result.returncode
    record(result.stderr)
    return result.stderr


@pytest.mark.once
def test_the_script_alone(tmp_path):
    """In a folder where the package cannot be imported."""
    script = shutil.copy(imagenet_subsets.__file__, tmp_path)
    assert "This script needs the package that it is a part of" in error_of("script", "alone", script)


@pytest.mark.skipif(not (2, 20) <= VERSION < (4, 0), reason="other versions do not ask")
def test_the_script_is_not_trusted(standins_1pct, tmp_path):
    """In a separate process, because datasets sets an alarm; and a separate home, because it asks only once."""
    error = error_of("script", "untrusted", imagenet_subsets.__file__, standins_1pct, HF_HOME=str(tmp_path))
    assert "contains custom code which must be executed" in error
