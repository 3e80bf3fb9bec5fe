"""Imported first by all programs: handle Ctrl-C, and import the modules that the variable FIRST names."""

import importlib
import os
import signal

# A test run in the background ignores Ctrl-C, and so would what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in os.environ.pop("FIRST", "").split():
    importlib.import_module(name)
