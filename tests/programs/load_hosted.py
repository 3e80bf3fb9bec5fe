"""Put the script into a repository of the Hub and load it from there: DATA_DIR WAY SCRIPT."""

import sys

import datasets
import huggingface_hub

data_dir, way, script = sys.argv[1:]
addition = huggingface_hub.CommitOperationAdd("imagenet_subsets.py", script)
huggingface_hub.create_repo("team/imagenet_subsets", repo_type="dataset", private=True)
huggingface_hub.create_commit("team/imagenet_subsets", [addition], commit_message="The script", repo_type="dataset")
rows = datasets.load_dataset(
    "team/imagenet_subsets",
    "1pct",
    data_dir=data_dir,
    split="train",
    splits=["train"],
    streaming=way == "streaming",
    trust_remote_code=True,
)
print(next(iter(rows))["file_name"])
