"""The command ``imagenet-subsets``."""

import sys

import first  # noqa: F401

from imagenet_subsets_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
