"""A command that imports nothing of Dask."""

import sys

from imagenet_subsets_tools.cli import main

assert main(sys.argv[1:]) == 0
assert not {"dask", "distributed"} & set(sys.modules)
