"""What is done with the loading script: KIND ARGUMENT ..."""

import sys

import datasets

TRUST = {} if datasets.__version__.startswith("2.19") else {"trust_remote_code": True}


def load(script, data_dir):
    """Load 1pct in three ways; print its first row and where the package was found."""
    options = {"data_dir": data_dir, "splits": ["train"], "split": "train", **TRUST}
    prepared = datasets.load_dataset(script, "1pct", num_proc=2, **options)
    streamed = datasets.load_dataset(script, "1pct", streaming=True, **options)
    in_place = datasets.load_dataset(script, "1pct", in_place=True, **options)
    rows = [prepared[0], next(iter(streamed)), in_place[0]]
    assert len(prepared) == len(in_place) == 12_811
    assert len({row["image"].tobytes() for row in rows}) == 1
    import imagenet_reader

    print(rows[0]["file_name"], imagenet_reader.__file__)


def host(data_dir, way, script):
    """Put the script into a repository of the Hub and load it from there."""
    import huggingface_hub

    addition = huggingface_hub.CommitOperationAdd("imagenet_subsets.py", script)
    repository = {"repo_id": "team/imagenet_subsets", "repo_type": "dataset"}
    huggingface_hub.create_repo(**repository, private=True)
    huggingface_hub.create_commit(**repository, operations=[addition], commit_message="The script")
    options = {"split": "train", "splits": ["train"], "streaming": way == "streaming", "trust_remote_code": True}
    rows = datasets.load_dataset("team/imagenet_subsets", "1pct", data_dir=data_dir, **options)
    print(next(iter(rows))["file_name"])


def untrusted(script, data_dir):
    """Load as datasets 2.20 to 3.x do, which ask first."""
    datasets.load_dataset(script, data_dir=data_dir)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
