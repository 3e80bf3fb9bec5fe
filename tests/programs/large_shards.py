"""Shards of 30 MB, which take many seconds if reads are slow."""

from imagenet_subsets_tools import parquet

parquet.SHARD_BYTES = 30_000_000
