"""Build the Hub package of 1pct: FOLDER DATA_DIR SHARD_BYTES NUM_PROC SPLIT ..."""

import sys

from imagenet_subsets_tools import build

if __name__ == "__main__":
    folder, data_dir, shard_bytes, num_proc, *splits = sys.argv[1:]
    build.SHARD_BYTES = int(shard_bytes)
    build.build_parquet(folder, data_dir, ["1pct"], num_proc=int(num_proc), splits=splits or None)
