"""Simulate distant storage, and empty the page cache."""

import os
import time
from collections.abc import Callable
from typing import Any

LATENCY = 0.005  # seconds per read on distant storage


def move_away() -> None:
    """Delay each read of this process by 5 ms."""

    def delayed(read: Callable[..., Any]) -> Callable[..., Any]:
        def read_later(*arguments: Any) -> Any:
            time.sleep(LATENCY)
            return read(*arguments)

        return read_later

    os.pread, os.preadv = delayed(os.pread), delayed(os.preadv)


def drop_caches() -> None:
    """Empty the page cache, which needs root."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
