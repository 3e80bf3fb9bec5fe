"""Load 1pct from the Hub, stream some of it, and save the rows: REPO FOLDER."""

import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

datasets.disable_progress_bars()
repo, folder = sys.argv[1:]
loaded = datasets.load_dataset(repo, "1pct")
pq.write_table(loaded["train"].with_format("arrow")[:], folder + "/train.parquet")
pq.write_table(loaded["validation"].with_format("arrow")[:], folder + "/validation.parquet")
stream = datasets.load_dataset(repo, "1pct", split="train", streaming=True)
stream = stream.cast_column("image", datasets.Image(decode=False)).skip(3000).take(500)
pq.write_table(pa.Table.from_pylist(list(stream), loaded["train"].features.arrow_schema), folder + "/stream.parquet")
