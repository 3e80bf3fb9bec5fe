"""Make each temporary folder 0.3 seconds before its maker hears of it."""

import tempfile
import time

make = tempfile.mkdtemp


def mkdtemp(*args, **kwargs):
    folder = make(*args, **kwargs)
    time.sleep(0.3)
    return folder


tempfile.mkdtemp = mkdtemp
