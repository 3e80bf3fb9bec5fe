"""Progress bars of this project are for people: a terminal shows them, a file or pipe does not."""

import contextlib
import fcntl
import itertools
import logging
import os
import struct
import subprocess
import termios
import time

from helpers.programs import command, environment

from imagenet_reader.log import progress_bar

BARS = b"Indexing ILSVRC2012_img_val.tar", b"validation split"


def load(few, tmp_path, stderr, **variables):
    variables = environment(HF_HOME=str(tmp_path / "home"), **variables)
    loading = command("load_again", "package", few.parent, tmp_path / "cache", "validation")
    return subprocess.run(loading, env=variables, stderr=stderr, check=True, timeout=240)


def test_bars_are_shown_on_request_and_on_terminals(val_tar, tmp_path, monkeypatch):
    shown = load(val_tar, tmp_path / "1", subprocess.PIPE, HF_DATASETS_DISABLE_PROGRESS_BARS="0").stderr
    assert [bar for bar in BARS if bar not in shown] == [], shown
    monkeypatch.delenv("HF_DATASETS_DISABLE_PROGRESS_BARS")
    assert BARS[0] not in load(val_tar, tmp_path / "2", subprocess.PIPE).stderr
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
    load(val_tar, tmp_path / "3", theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", 0) as terminal:  # it has an error at its end
        while piece := terminal.read(1 << 12):
            shown += piece
    assert [bar for bar in BARS if bar not in shown] == [], shown


def test_a_line_is_logged_each_minute_where_no_bar_is_seen(monkeypatch, caplog):
    seconds = itertools.count(0, 25)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)
    with progress_bar("Reading images.tar.gz", 200) as bar:
        for _ in range(8):
            bar.update(25)
    assert caplog.messages == ["Reading images.tar.gz: 38 %", "Reading images.tar.gz: 75 %"]
