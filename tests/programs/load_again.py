"""Load a split of 1pct with the package or the script: WAY DATA_DIR CACHE [SPLIT]."""

import sys

import datasets

way, data_dir, cache, *split = sys.argv[1:]
options = {"data_dir": data_dir, "cache_dir": cache, "on_missing": "skip", "splits": split or ["train"]}
if way == "package":
    import imagenet_subsets

    imagenet_subsets.load_dataset("1pct", **options)
else:
    trust = {} if datasets.__version__ < "2.20" else {"trust_remote_code": True}
    datasets.load_dataset("./imagenet_subsets.py", "1pct", **options, **trust)
