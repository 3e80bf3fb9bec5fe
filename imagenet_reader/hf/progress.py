"""Progress bars, those of ``datasets``: for people at terminals and in notebooks, since they would fill files."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import datasets


def progress_bar(doing: str, size: int, unit: str = "B") -> Any:
    """The progress bar of ``datasets``, over ``size`` bytes or other units, as a context."""
    return datasets.utils.tqdm(total=size, desc=doing, unit=unit, unit_scale=True, disable=not _are_for_people())


@contextlib.contextmanager
def without_bars_in_files() -> Iterator[None]:
    """Context in which ``datasets`` shows no progress bars either, unless people see them."""
    if _are_for_people() or datasets.utils.are_progress_bars_disabled():
        yield
        return
    datasets.utils.disable_progress_bars()
    try:
        yield
    finally:
        datasets.utils.enable_progress_bars()


def _are_for_people() -> bool:
    """Whether progress bars are seen, or were asked for by ``HF_DATASETS_DISABLE_PROGRESS_BARS=0``."""
    asked_for = datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is False
    return asked_for or "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
