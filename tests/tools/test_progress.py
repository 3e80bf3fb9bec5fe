"""Progress bars of this project are for people: a terminal shows them, a file or pipe does not."""

import itertools
import logging
import subprocess
import sys
import time

import pytest
from helpers.programs import environment

from imagenet_reader.log import progress_bar

PROGRAM = """
import sys
from imagenet_reader.log import progress_bar

sys.stderr.isatty = lambda: {}
progress_bar("Reading images.tar.gz", 200).close()
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_shown_on_terminals(terminal, monkeypatch):
    monkeypatch.delenv("HF_DATASETS_DISABLE_PROGRESS_BARS")
    call = [sys.executable, "-c", PROGRAM.format(terminal)]
    shown = subprocess.run(call, env=environment(), stderr=subprocess.PIPE, check=True).stderr
    assert (b"Reading images.tar.gz" in shown) == terminal


def test_a_line_is_logged_each_minute_where_no_bar_is_seen(monkeypatch, caplog):
    seconds = itertools.count(0, 25)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)
    with progress_bar("Reading images.tar.gz", 200) as bar:
        for _ in range(8):
            bar.update(25)
    assert caplog.messages == ["Reading images.tar.gz: 38 %", "Reading images.tar.gz: 75 %"]
