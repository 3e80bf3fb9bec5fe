"""Checks of a config's options and a builder's arguments."""

import dataclasses
import difflib
import inspect
from collections.abc import Iterable

import datasets


def check_num_proc(num_proc: int | None) -> None:
    """Raise ``ValueError`` if ``num_proc`` is neither ``None`` nor a positive number."""
    if num_proc is not None and (not isinstance(num_proc, int) or isinstance(num_proc, bool) or num_proc < 1):
        raise ValueError(f"num_proc={num_proc!r:.200}: expected 1 or more, the number of processes, or None.")


def check_config_name(name: str | None, known: Iterable[str]) -> None:
    """Raise ``ValueError`` if the name of a config is not a string; ``datasets`` checks which one."""
    if name is not None and not isinstance(name, str):
        raise ValueError(f"name={name!r:.200}: expected the name of a config, one of {list(known)}.")


def check_names(config_class, names):
    """Check that a config has options with these names.

    Args:
        config_class: the config, a subclass of ``datasets.BuilderConfig``.
        names: the keyword arguments of a builder; those of ``datasets.DatasetBuilder`` are accepted, too.

    Raises:
        ValueError: the config has no such option. The message suggests the closest match.
    """
    known = [field.name for field in dataclasses.fields(config_class)]
    own = list(config_class.__annotations__)
    of_builder = inspect.signature(datasets.DatasetBuilder.__init__).parameters
    for name in names:
        if name not in known and name not in of_builder:
            nearest = difflib.get_close_matches(name, own, n=1)
            advice = f"Did you mean {nearest[0]!r}?" if nearest else f"The options are {', '.join(own)}."
            raise ValueError(f"{config_class.__name__} doesn't have a {name!r} key. {advice}")
