"""Load images at a URL, copied and in place, and print {name: SHA-256 of the image}: URL FOLDER LISTS."""

import hashlib
import json
import sys

import datasets
import fsspec

import imagenet_subsets

url, folder, lists = sys.argv[1:]


def load(**options):
    options |= {"image_bytes": "archive", "cache_dir": f"{folder}/cache", **json.loads(lists)}
    loaded = imagenet_subsets.load_dataset("custom", data_dir=url, **options)
    return datasets.concatenate_datasets(list(loaded.values())).cast_column("image", datasets.Image(decode=False))


def digests(rows):
    paths = [image["path"] for image in rows["image"] if image["bytes"] is None]
    images = fsspec.filesystem("imagenet").cat(paths) if paths else {}
    contents = [image["bytes"] or images[image["path"]] for image in rows["image"]]
    return {name: hashlib.sha256(content).hexdigest() for name, content in zip(rows["file_name"], contents)}


copied = digests(load(num_proc=2))
assert digests(load(in_place=True)) == copied
print(json.dumps(copied))
