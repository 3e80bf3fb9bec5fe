"""Push rows that were selected from a dataset to the Hub: PARQUET_PATTERN."""

import sys

import datasets

import imagenet_subsets

rows = datasets.load_dataset("parquet", data_files={"validation": sys.argv[1]})
selected = imagenet_subsets.select(rows, "1pct", split="validation", on_missing="skip")
selected.push_to_hub("team/selected", private=True)
