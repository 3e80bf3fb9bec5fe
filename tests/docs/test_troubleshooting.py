"""Messages of the manual that no other test raises; ``conftest.py`` compares the manual with those of all tests."""

import runpy
import subprocess
import sys

import pytest
from helpers.pages import PAGES
from helpers.programs import command, environment
from helpers.short_messages import VERSION, never_raised, record

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE


@pytest.mark.once
def test_messages_that_nothing_raises_are_found():
    page = "| what is seen | what to do |\n| `... has ... images` | x |\n| `... ends` | x |\n| a label of -1 | x |\n"
    assert never_raised(page, ["/data has 3\nsmall images.", "it starts"]) == ["... ends"]
    assert never_raised(page, ["/data has 3\nsmall images.", "it ends"]) == []
    assert len(never_raised(PAGES["docs/troubleshooting.md"], [])) > 30


@pytest.mark.once
def test_an_archive_instead_of_its_folder(standins_1pct):
    with pytest.raises(FileNotFoundError, match="is a file: pass the folder that it is in"):
        imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct / TRAIN_ARCHIVE)


@pytest.mark.once
def test_the_script_alone(monkeypatch):
    """Where the package cannot be imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "imagenet_reader"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match="This script needs the package that it is a part of"):
        runpy.run_path(imagenet_subsets.__file__)


@pytest.mark.skipif(not (2, 20) <= VERSION < (4, 0), reason="other versions do not ask")
def test_the_script_is_not_trusted(standins_1pct, tmp_path):
    """In a separate process, because datasets sets an alarm; and a separate home, because it asks only once."""
    arguments = command("script", "untrusted", imagenet_subsets.__file__, standins_1pct)
    call = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    error = subprocess.run(arguments, env=environment(HF_HOME=str(tmp_path)), **call).stderr
    record(error)
    assert "contains custom code which must be executed" in error
