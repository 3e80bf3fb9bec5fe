"""The logger of this project, below that of ``datasets``, its warnings and its progress bars.

``datasets.logging.set_verbosity_info()`` shows what is logged.
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import datasets

# Packages whose lines a warning does not show; datasets_modules has the copies of scripts that datasets 2 and 3 run.
OWN = "imagenet_reader", "imagenet_subsets", "imagenet_subsets_tools", "datasets", "datasets_modules"

logger = logging.getLogger("datasets.imagenet_subsets")


def warn(message: str) -> None:
    """Issue a ``UserWarning`` that shows the line of the user's program, which called this project or ``datasets``."""
    frame, depth, stacklevel = sys._getframe(1), 2, 2
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in OWN:  # Python's own modules may be in between
            stacklevel = depth + 1
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, stacklevel=stacklevel)


def progress_bar(doing: str, size: int, unit: str = "B") -> Any:
    """Context of a progress bar of ``datasets`` over ``size`` bytes or other units."""
    return datasets.utils.tqdm(total=size, desc=doing, unit=unit, unit_scale=True, disable=not _bars_are_seen())


@contextlib.contextmanager
def without_bars_in_files() -> Iterator[None]:
    """Context in which ``datasets`` writes no progress bars to files, which they would fill."""
    if _bars_are_seen() or datasets.utils.are_progress_bars_disabled():
        yield
        return
    datasets.utils.disable_progress_bars()
    try:
        yield
    finally:
        datasets.utils.enable_progress_bars()


def _bars_are_seen() -> bool:
    """Whether someone sees progress bars, or has requested them by ``HF_DATASETS_DISABLE_PROGRESS_BARS=0``."""
    requested = datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is False
    return requested or "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
