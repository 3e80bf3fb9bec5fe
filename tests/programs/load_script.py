"""Load 1pct by a script in three ways, and print its first row and where the package was found: SCRIPT DATA_DIR."""

import sys

import datasets

trust = {} if datasets.__version__.startswith("2.19") else {"trust_remote_code": True}
if __name__ == "__main__":
    options = {"data_dir": sys.argv[2], "splits": ["train"], "split": "train", **trust}
    prepared = datasets.load_dataset(sys.argv[1], "1pct", num_proc=2, **options)
    streamed = datasets.load_dataset(sys.argv[1], "1pct", streaming=True, **options)
    in_place = datasets.load_dataset(sys.argv[1], "1pct", in_place=True, **options)
    rows = [prepared[0], next(iter(streamed)), in_place[0]]
    assert len(prepared) == len(in_place) == 12_811
    assert len({row["image"].tobytes() for row in rows}) == 1
    import imagenet_reader

    print(rows[0]["file_name"], imagenet_reader.__file__)
