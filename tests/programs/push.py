"""Push to the Hub: copied rows and rows in place of a DATA_DIR, or rows that are selected from a PARQUET_PATTERN."""

import sys

import datasets

import imagenet_subsets

options = {"split": "validation", "on_missing": "skip"}
if sys.argv[1].endswith(".parquet"):
    rows = datasets.load_dataset("parquet", data_files={"validation": sys.argv[1]})
    pushed = {"selected": imagenet_subsets.select(rows, "1pct", **options)}
else:
    options |= {"data_dir": sys.argv[1], "splits": ["validation"]}
    ways = {"in-place": True, "copied": False}
    pushed = {name: imagenet_subsets.load_dataset("1pct", in_place=way, **options) for name, way in ways.items()}
for name, rows in pushed.items():
    rows.push_to_hub(f"team/{name}", private=True)
