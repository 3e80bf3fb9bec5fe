"""The logger of this project, below that of ``datasets``, its warnings and its progress bars.

``datasets.logging.set_verbosity_info()`` shows what is logged.
"""

import logging
import sys
import time
import warnings
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


class _Bar(datasets.utils.tqdm):  # type: ignore[misc]  # datasets is not typed
    """A progress bar, in whose place a line is logged each minute where it is not seen."""

    doing, size, logged = "", 0, 0.0

    def update(self, n: float | None = 1) -> None:
        super().update(n)
        if self.disable:
            self.n += n or 0
            if time.monotonic() >= self.logged + 60:
                self.logged = time.monotonic()
                logger.warning("%s: %.0f %%", self.doing, 100 * self.n / self.size)


def progress_bar(doing: str, size: int, unit: str = "B") -> Any:
    """Context of a progress bar of ``datasets``, over ``size`` bytes or other units, if someone sees or requests it."""
    requested = datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is False
    seen = requested or "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    bar = _Bar(total=size, desc=doing, unit=unit, unit_scale=True, disable=not seen)
    bar.doing, bar.size, bar.logged = doing, size, time.monotonic()
    return bar
