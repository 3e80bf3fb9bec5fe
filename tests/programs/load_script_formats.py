"""The call of the script in the README, unasked, and rows in other formats, which need packages that fit: DATA_DIR."""

import sys

import datasets

dataset = datasets.load_dataset("./imagenet_subsets.py", "1pct", data_dir=sys.argv[1])
assert {split: len(rows) for split, rows in dataset.items()} == {"train": 12_811, "validation": 50_000}
train, labels = dataset["train"], dataset["train"]["label"]
assert train.with_format("numpy")[:5]["label"].tolist() == labels[:5]
assert train.with_format("torch")[:5]["label"].tolist() == labels[:5]
height, width, channels = train.with_format("numpy")[0]["image"].shape
assert train.with_format("torch")[0]["image"].shape == (channels, height, width)
parts = train.train_test_split(test_size=2_000, stratify_by_column="label", seed=0)
assert len(parts["test"]) == 2_000
assert set(parts["test"]["label"]) == set(range(1_000))
