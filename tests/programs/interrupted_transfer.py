"""Load images from a slow server until Ctrl-C: URL CACHE LISTS."""

import json
import sys

import first  # noqa: F401

import imagenet_subsets

url, cache, lists = sys.argv[1:]
try:
    imagenet_subsets.load_dataset("custom", data_dir=url, cache_dir=cache, **json.loads(lists))
except KeyboardInterrupt:
    print("interrupted", flush=True)
