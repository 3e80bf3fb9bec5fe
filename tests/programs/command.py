"""The command ``imagenet-subsets``."""

import signal
import sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores Ctrl-C

from imagenet_subsets_tools.cli import main  # noqa: E402

sys.exit(main())
