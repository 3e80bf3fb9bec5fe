"""Copy a few validation images of an archive into a dataset: DATA_DIR CACHE_DIR."""

import sys

import imagenet_subsets

options = {"splits": ["validation"], "on_missing": "skip", "cache_dir": sys.argv[2]}
imagenet_subsets.load_dataset("1pct", data_dir=sys.argv[1], **options)
