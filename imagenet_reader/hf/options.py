"""Checks of a config's options and a builder's arguments."""

import dataclasses
import difflib
import inspect
import os
import re
from collections.abc import Iterable
from typing import Any

import datasets

from imagenet_reader.lists import CLASS_SETS

OTHER_NAMES = {"1": "1pct", "10": "10pct", "imagenet": "full", "imagenet1k": "full"}
ALLOWED = {
    "label_names": ("wnid", "words"),
    "on_missing": ("error", "skip"),
    "image_bytes": ("benchmark", "archive"),
    "class_order": ("sorted", "published"),
    "real_labels": (False, True),
    "holdout": (False, True),
}
POSITIVE = {  # option -> what it should be
    "num_proc": "1 or more, the number of threads, or None",
    "resize": "the shorter side of the images in pixels, such as 256",
}
BUILT_ON_DEMAND = {
    "test": "splits=['train', 'validation', 'test']",
    "unlabeled": "unlabeled=True",
    "holdout": "holdout=True",
}


def check_positive(name: str, value: Any) -> None:
    """Raise ``ValueError`` if an option is neither ``None`` nor a positive number."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"{name}={value!r:.200}: expected {POSITIVE[name]}.")


def check_data_dir(data_dir: Any) -> None:
    """Raise ``TypeError`` if this is no path or URL, but a dataset, for instance."""
    if data_dir is not None and not isinstance(data_dir, (str, os.PathLike)):
        raise TypeError(
            f"data_dir is a {type(data_dir).__name__}; expected the path of a folder, or a URL. For a dataset that is "
            "already loaded, use imagenet_subsets.select(dataset, ...)."
        )


def check_config_name(name: str | None, known: Iterable[str]) -> None:
    """Raise ``ValueError`` if there is no config of a name; ``None`` is the default one."""
    if name is not None and not isinstance(name, str):
        raise ValueError(f"name={name!r:.200}: expected the name of a config, one of {list(known)}.")
    if name is not None and name not in known:
        raise ValueError(f"BuilderConfig {name!r:.200} not found. Available: {list(known)}.{_meant(name, known)}")


def _meant(name: str, known: Iterable[str]) -> str:
    """What somebody may have meant by the name of a config, as a sentence after a space; empty if that is unclear."""
    folded = re.sub(r"[^a-z0-9]", "", name.lower())
    folded = OTHER_NAMES.get(folded, folded)
    for class_set in CLASS_SETS:
        if folded == class_set.replace("_", ""):
            return f" To choose these classes from one of them, pass classes={class_set!r}."
    near = [config for config in known if folded.endswith(config)] or difflib.get_close_matches(folded, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_split(split: str, known: Iterable[str]) -> None:
    """Raise ``ValueError`` if a split, ``str`` or ``datasets.NamedSplit``, is not among those that are built."""
    name = str(split)
    if name not in known:
        advice = f" To build it, pass {BUILT_ON_DEMAND[name]}." if name in BUILT_ON_DEMAND else ""
        raise ValueError(f'Unknown split "{name:.200}". Should be one of {list(known)}.{advice}')


def check_names(config_class: type, names: Iterable[str]) -> None:
    """Check that a config has options with these names."""
    known = [field.name for field in dataclasses.fields(config_class)]
    own = list(config_class.__annotations__)
    of_builder = inspect.signature(datasets.DatasetBuilder.__init__).parameters
    for name in names:
        if name not in known and name not in of_builder:
            nearest = difflib.get_close_matches(name, own, n=1)
            advice = f"Did you mean {nearest[0]!r}?" if nearest else f"The options are {', '.join(own)}."
            raise ValueError(f"{config_class.__name__} doesn't have a {name!r} key. {advice}")


def check_options(config: Any, possible_splits: list[str]) -> None:
    """Raise ``ValueError`` if a config has options that it cannot have."""
    for name, allowed in ALLOWED.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"{name}={getattr(config, name)!r:.200} is not known; choose one of {list(allowed)}.")
    if config.class_order != "sorted" and config.classes is None:
        raise ValueError("class_order='published' is the order of the classes that classes=... names: pass both.")
    custom, has_list = config.name == "custom", bool(config.train_list)
    only_described = config.data_dir is None and not config.validation_list  # as by datasets.get_dataset_infos
    if (has_list and not custom) or (not has_list and (config.validation_list or (custom and not only_described))):
        raise ValueError(
            "The config 'custom' needs train_list=..., and may have validation_list=...; no other takes them."
        )
    check_positive("resize", config.resize)
    if config.resize is not None and (config.in_place or config.image_bytes == "archive"):
        raise ValueError("resize=... writes other images, so leave out in_place=True and image_bytes='archive'.")
    splits = config.splits
    if splits is not None and not (isinstance(splits, list) and splits and set(splits) <= set(possible_splits)):
        asked = [name for name in ("unlabeled", "holdout") if name in str(splits) and name not in possible_splits]
        also = "".join(f" {name!r} is one with {BUILT_ON_DEMAND[name]}." for name in asked)
        raise ValueError(
            f"splits={splits!r:.200}: expected a list out of {possible_splits}, those of {config.name!r}.{also}"
        )
