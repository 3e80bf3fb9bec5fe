"""Push rows to the Hub: of a DATA_DIR, copied and in place, and those that are selected from a PARQUET_PATTERN."""

import sys

import datasets

import imagenet_subsets

data_dir, pattern = sys.argv[1:]
options = {"split": "validation", "on_missing": "skip"}
of_folder = {"data_dir": data_dir, "splits": ["validation"], **options}
rows = datasets.load_dataset("parquet", data_files={"validation": pattern})
pushed = {
    "copied": imagenet_subsets.load_dataset("1pct", **of_folder),
    "in-place": imagenet_subsets.load_dataset("1pct", in_place=True, **of_folder),
    "selected": imagenet_subsets.select(rows, "1pct", **options),
}
for name, rows in pushed.items():
    rows.push_to_hub(f"team/{name}", private=True)
