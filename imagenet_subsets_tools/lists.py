"""Lists of images as text, which need no image: the published ones, those of any config, and files beside a tree."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.files import write_atomically
from imagenet_reader.hf.options import check_config_name
from imagenet_reader.own_lists import as_given

FORMATS = "names", "paths", "published"
JSON = "JSON"  # instead of a line format: the text is a list of lists of labels
with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
    # (split file, published text, format of its lines)
    SOURCES = [(row["split_file"], row["published_name"], row["line"]) for row in csv.DictReader(file)]
PUBLISHED = {
    ("1pct", "train"): "1percent.txt",
    ("10pct", "train"): "10percent.txt",
    ("lt", "train"): "ImageNet_LT_train.txt",
    ("lt", "validation"): "ImageNet_LT_val.txt",
    ("lt", "test"): "ImageNet_LT_test.txt",
}


def published_lines(split_files: Path, split_file: str, line: str) -> list[str]:
    """The lines of a published text, in published order; ``line`` is their format, from ``SOURCES``."""
    rows = lists.read_table(Path(split_files) / split_file).to_pylist()
    if line == JSON:
        return [json.dumps([row["labels"] for row in rows])]
    classes = lists.read_table(Path(split_files) / "classes.parquet").to_pylist()
    if "{number" not in line:  # of numbered images, the line says which one it is
        rows.sort(key=lambda row: row.get("number", 0))
    return [line.format(**{"label": k, **row, **classes[row.get("label", k)]}) for k, row in enumerate(rows)]


def published_text(split_files: Path, split_file: str, line: str) -> str:
    """A published text with its line ends; JSON has none."""
    lines = published_lines(split_files, split_file, line)
    return lines[0] if line == JSON else "".join(f"{line}\n" for line in lines)


def published_files(config: str) -> dict[str, bytes]:
    """The published lists of a config, byte for byte as they were published.

    Args:
        config: ``"1pct"``, ``"10pct"`` or ``"lt"``; no list was published for others.

    Returns:
        ``dict[str, bytes]``: published file name -> content, such as ``ImageNet_LT_train.txt``; empty for others.

    Raises:
        ValueError: there is no such config.

    Example:

        >>> published_files("1pct")["1percent.txt"][:21]
        b'n04235860_14959.JPEG\\n'
    """
    check_config_name(config, [*imagenet_subsets.SUBSETS, "custom"])
    names = [name for (of_config, _), name in PUBLISHED.items() if of_config == config]
    source_of = {name: (split_file, line) for split_file, name, line in SOURCES}
    return {name: published_text(lists.SPLIT_FILES, *source_of[name]).encode() for name in names}


def list_lines(config: str, split: str = "train", format: str = "names", **options: Any) -> Iterator[str]:
    """The list of a split as lines of text, without any image.

    Args:
        config: ``"1pct"``, ``"10pct"``, ``"lt"`` or ``"custom"``; of ``"full"``, only validation and test have a list.
        split: a split of the config.
        format: ``"names"``, ``"paths"`` (``train/<wnid>/<name> <label>``, the path as in the complete ImageNet), both in
            row order, or ``"published"``, the lines of the published list in its order.
        options: ``classes``, ``train_list`` and ``validation_list``, as for ``imagenet_subsets.load_dataset``.

    Returns:
        ``Iterator[str]``, lines without line ends.

    Raises:
        OSError: a file of ``options`` cannot be read.
        ValueError: the split has no such list, or a name or an option is unknown.

    Example:

        >>> next(list_lines("lt", "validation", "paths"))
        'train/n01440764/n01440764_10043.JPEG 0'
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r:.200} is not known; choose one of {list(FORMATS)}.")
    check_config_name(config, [*imagenet_subsets.SUBSETS, "custom"])
    options |= {option: as_given(options.get(option)) for option in imagenet_subsets.CUSTOM.values()}
    own = {name: value for name, value in options.items() if value is not None}
    version = imagenet_subsets.ROWS_VERSION
    settings = imagenet_subsets.ImagenetSubsetsConfig(name=config, version=version, splits=[split], **own)
    plan = settings.plan
    if plan.subset[split].complement or plan.subset[split].name == "full":
        raise ValueError(f"No list has the images of {config!r} {split!r}: they are all others that a folder holds.")
    names, labels = plan.listed(split, lambda: None)
    if format == "names":
        return iter(names.to_pylist())
    if format == "published":
        if own or (config, split) not in PUBLISHED:
            known = ", ".join(" ".join(place) for place in PUBLISHED)
            raise ValueError(f"No list was published for {config!r} {split!r} with {own}. Known: {known}.")
        return iter(published_files(config)[PUBLISHED[config, split]].decode().splitlines())
    folder = {"train": "train", "validation": "val"}.get(plan.image_set(split))
    if folder is None:
        raise ValueError("The official test images have no class, and so no path: choose format='names'.")
    wnids, ranks = lists.read_wnids(), lists.relabel(labels, plan.columns.classes).tolist()
    images = zip(names.to_pylist(), labels.tolist(), ranks)
    return (f"{folder}/{wnids[label]}/{name} {rank}" for name, label, rank in images)


def write_sidecars(folder: str | os.PathLike[str]) -> None:
    """Write ``labels.txt`` and ``meta.bin``, which some code expects in the folder of a complete ImageNet.

    ``labels.txt`` has lines such as ``n01440764,tench``; ``meta.bin`` is what ``torchvision.datasets.ImageNet`` reads.

    Args:
        folder: the folder above ``train`` and ``val``.

    Raises:
        ModuleNotFoundError: torch is not installed.
        OSError: the folder cannot be written.

    Example:

        >>> write_sidecars("/data/imagenet-1pct")
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError("meta.bin is written by PyTorch: pip install torch") from None
    classes, meta = lists.read_classes(), io.BytesIO()
    labels = "".join(f"{wnid},{words.split(', ')[0]}\n" for wnid, words in classes)
    wnids = [classes[label][0] for _, label in lists.read_split_list("validation")]
    torch.save(({wnid: tuple(words.split(", ")) for wnid, words in classes}, wnids), meta)
    for name, content in {"labels.txt": labels.encode(), "meta.bin": meta.getvalue()}.items():
        with write_atomically(Path(folder) / name) as path:
            Path(path).write_bytes(content)
