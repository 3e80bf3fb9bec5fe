"""Images at a URL, on a server with a latency of 20 ms and 200 MB/s; see ``contenders``."""

import contextlib
import subprocess
import sys
import urllib.request

import imagenet_subsets
from benchmarks.common import measured, wanted_mb
from benchmarks.in_place import BATCH, BATCHES, decoded_directly, timed, training_rows
from benchmarks.server import RATE
from imagenet_subsets_tools.indexes import index_archives

__all__ = ["batches_from_server", "copy_from_server", "ready_from_server"]


@contextlib.contextmanager
def _served(folder):
    """The URL of a server with the archives and their indexes, and a function that returns the megabytes sent."""
    if not any(folder.glob("*.index")):
        list(index_archives([str(folder)], folder))
    command = [sys.executable, "-m", "benchmarks.server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            yield url, lambda: int(urllib.request.urlopen(f"{url}/sent").read()) / 1e6
        finally:
            server.kill()


def copy_from_server(folder):
    """Build 1pct. ``rate`` is the rate of the wanted bytes, as a share of the server's."""
    with _served(folder) as (url, sent):
        with measured() as result:
            imagenet_subsets.load_dataset("1pct", data_dir=url)
        wanted = wanted_mb(folder, "1pct")
        index = sum(path.stat().st_size for path in folder.glob("*.index")) / 1e6
        rate = wanted * 1e6 / result["seconds"] / RATE
        return result | {"moved_mb": sent(), "wanted_mb": wanted + index, "rate": rate}


def ready_from_server(folder):
    """Load 1pct in place."""
    with _served(folder) as (url, sent):
        with timed() as result:
            imagenet_subsets.load_dataset("1pct", data_dir=url, in_place=True)
        return result | {"moved_mb": sent()}


def batches_from_server(folder, together):
    """Decode batches in place by the recipe, or the same number of images one by one."""
    with _served(folder) as (url, _):
        rows = training_rows(url, in_place=True)
        if together:
            rows = decoded_directly(rows, list)
        rows[:2]
        with timed() as result:
            for k in range(BATCHES):
                batch = range(k * BATCH, (k + 1) * BATCH)
                if together:
                    rows[list(batch)]["image"]
                else:
                    for row in batch:
                        rows[row]["image"]
        return result
