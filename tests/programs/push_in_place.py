"""Push rows in place and copied rows to the Hub: DATA_DIR."""

import sys

import imagenet_subsets

options = {"data_dir": sys.argv[1], "splits": ["validation"], "split": "validation", "on_missing": "skip"}
for name, in_place in (("in-place", True), ("copied", False)):
    rows = imagenet_subsets.load_dataset("1pct", in_place=in_place, **options)
    rows.push_to_hub(f"team/{name}", private=True)
