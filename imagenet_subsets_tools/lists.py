"""Lists of images as text, without any image: the published ones, those of other configs, and files beside a tree."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.files import unused_cache, write_atomically

FORMATS = "names", "paths", "published"
JSON = "JSON"  # instead of a line format: the text is a list of lists of labels
with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
    # (split file, published text, format of its lines)
    SOURCES = [(row["split_file"], row["published_name"], row["line"]) for row in csv.DictReader(file)]
PUBLISHED = {  # config -> split -> published text
    "1pct": {"train": "1percent.txt", "holdout": "paws_val.txt"},
    "10pct": {"train": "10percent.txt", "holdout": "paws_val.txt"},
    "full": {"holdout": "paws_val.txt"},
    "lt": {"train": "ImageNet_LT_train.txt", "validation": "ImageNet_LT_val.txt", "test": "ImageNet_LT_test.txt"},
}


def published_lines(split_files: Path, split_file: str, line: str) -> list[str]:
    """The lines of a published text, in published order; ``line`` is their format, from ``SOURCES``."""
    rows = lists.read_table(Path(split_files) / split_file).to_pylist()
    if line == JSON:
        return [json.dumps([row["labels"] for row in rows])]
    classes = lists.read_table(Path(split_files) / "classes.parquet").to_pylist()
    if "{number" not in line:  # then row k is of image k
        rows.sort(key=lambda row: row.get("number", 0))
    return [line.format(**{"label": k, **row, **classes[row.get("label", k)]}) for k, row in enumerate(rows)]


def published_text(split_files: Path, split_file: str, line: str) -> str:
    """A published text with its line ends; JSON has none."""
    return "\n".join(published_lines(split_files, split_file, line)) + ("" if line == JSON else "\n")


def published_files(config: str, holdout: bool = False) -> dict[str, bytes]:
    """File name -> content of the lists of a config, byte for byte as published; empty if none was."""
    names = {name for split, name in PUBLISHED.get(config, {}).items() if holdout or split != "holdout"}
    sources = [source for source in SOURCES if source[1] in names]
    return {name: published_text(lists.SPLIT_FILES, of, line).encode() for of, name, line in sources}


def list_lines(config: str, split: str = "train", format: str = "names", **options: Any) -> Iterator[str]:
    """The list of a split as lines of text, without any image.

    Args:
        config, split: a split with a list, which ``unlabeled``, ``train`` of ``"full"`` and official test images lack.
        format: ``"names"`` or ``"paths"`` (``train/<wnid>/<name> <label>``, with the path that the image has in the
            complete ImageNet), in row order; or ``"published"``, the lines of the published list in its order.
        options: ``classes``, ``class_order``, ``train_list`` and ``validation_list``, as for ``load_dataset``.

    Returns:
        ``Iterator[str]``, lines without line ends.

    Raises:
        OSError: a user's own list cannot be read.
        ValueError: there is no such list, or a name or an option is unknown.

    Example:

        >>> next(list_lines("lt", "validation", "paths"))
        'train/n01440764/n01440764_10317.JPEG 0'
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r:.200} is not known; choose one of {list(FORMATS)}.")
    options |= {"splits": [split], "unlabeled": split == "unlabeled", "holdout": split == "holdout"}
    with unused_cache() as unused:
        plan = imagenet_subsets.ImagenetSubsets(config_name=config, cache_dir=unused, **options).config.plan
    if plan.subset[split].complement or plan.subset[split].name in ("full", "test"):
        raise ValueError(f"{config!r} has no list of {split!r}: it takes all images that a folder holds, or the rest.")
    if format == "published":
        if plan.columns.classes is not None or split not in PUBLISHED.get(config, {}):
            raise ValueError(
                f"No such list was published for {split!r}. Those that were have all classes: {PUBLISHED}."
            )
        return iter(published_files(config, True)[PUBLISHED[config][split]].decode().splitlines())
    names, labels = plan.listed(split, lambda: None)
    if format == "names":
        return iter(names.to_pylist())
    ranks = lists.relabel(labels, plan.columns.classes).tolist()
    return (f"{tree_path(name)} {rank}" for name, rank in zip(names.to_pylist(), ranks))


def tree_path(name: str, folder: str = "") -> str:
    """The path of an image in a tree of class folders, below ``folder`` or, as in the complete ImageNet, its set's."""
    own = "val" if name in lists.validation_labels() else "train"
    return f"{folder or own}/{lists.read_wnids()[lists.label_of(name)]}/{name}"


def write_sidecars(folder: str | os.PathLike[str]) -> None:
    """Write ``labels.txt``, with lines such as ``n01440764,tench``, and the ``meta.bin`` of torchvision's ImageNet."""
    try:
        import torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError("PyTorch writes meta.bin: pip install torch") from None
    classes, meta = lists.read_classes(), io.BytesIO()
    labels = "".join(f"{wnid},{words.split(', ')[0]}\n" for wnid, words in classes)
    wnids = [classes[label][0] for _, label in lists.read_split_list("validation")]
    torch.save(({wnid: tuple(words.split(", ")) for wnid, words in classes}, wnids), meta)
    for name, content in {"labels.txt": labels.encode(), "meta.bin": meta.getvalue()}.items():
        with write_atomically(Path(folder) / name) as path:
            Path(path).write_bytes(content)
