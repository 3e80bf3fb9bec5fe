"""Load the script as datasets 2.20 to 3.x do, which ask first: SCRIPT DATA_DIR."""

import sys

import datasets

datasets.load_dataset(sys.argv[1], data_dir=sys.argv[2])
