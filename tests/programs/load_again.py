"""Load 1pct with the package or the script: WAY DATA_DIR CACHE."""

import sys

import datasets

way, data_dir, cache = sys.argv[1:]
options = {"data_dir": data_dir, "cache_dir": cache, "on_missing": "skip", "splits": ["train"]}
if way == "package":
    import imagenet_subsets

    imagenet_subsets.load_dataset("1pct", **options)
else:
    trust = {} if datasets.__version__ < "2.20" else {"trust_remote_code": True}
    datasets.load_dataset("./imagenet_subsets.py", "1pct", **options, **trust)
