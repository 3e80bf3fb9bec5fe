"""Measure imagenet_subsets against a plain copy of the same images and against other tools.

    python -m benchmarks                                     a few minutes, 2 GB of disk
    python -m benchmarks --scale photo --workdir /scratch    images as large as ImageNet's: 16 GB
    python -m benchmarks --scale full --workdir /scratch     and as many, most of them holes: 45 GB

Archives with drawn images are made in the work folder. Each run is a separate process with empty
caches; compared runs take turns, and a ratio is the median of the ratios of all rounds. Where three
ratios are given, they are the smallest, the median and the largest, which counts.
The targets are for images of ImageNet's size; small ones cost most where their number matters.
The rivals come with "pip install -e '.[bench]'"; those that are not installed are skipped.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import archive_of
from benchmarks.devices import drop_caches
from benchmarks.groups import (
    GROUPS,
    RATIOS,
    ROUNDS,
    ROUNDS_OF_RIVALS,
    ROUNDS_OF_WALKS,
    SCALES,
    SLOW_RIVALS,
    VALUES,
    WALKS,
    WORST,
)
from benchmarks.picture import draw_picture

ROOT = Path(__file__).resolve().parent.parent


def run_all(scale, workdir):
    """Make the stand-ins and run everything.

    Returns:
        ``dict[str, list[dict]]``, the results of each run (``benchmarks.contenders``), one per round; none for
        rivals that are not installed.
    """
    folders = {"photos": workdir / "photos", "many": workdir / "many"}
    if scale.many is scale.photos:
        folders["many"] = folders["photos"]
    for name, options in (("photos", scale.photos), ("many", scale.many)):
        if not folders[name].exists():
            _call("stand_ins", folders[name], workdir, options)
    for name, options in (("loaded", {}), ("loaded photos", {"image_bytes": scale.photos["image_bytes"]})):
        folders[name] = workdir / name.replace(" ", "-")
        if not (folders[name] / "arrow.json").exists():
            _call("load_hub_dataset", folders[name], workdir, options)
    groups = [(group, ROUNDS) for group in GROUPS] + [(group, ROUNDS_OF_WALKS) for group in WALKS]
    results = {name: [] for group, _ in groups for name in group}
    with tempfile.TemporaryDirectory(dir=workdir) as indexes:
        for folder in {folders["photos"], folders["many"]}:  # index each folder, for the runs with an index
            _call("until_writing", folder, indexes, {"config": "1pct"})
        for group, limit in groups:
            rounds = {name: _rounds(run, scale, limit) for name, run in group.items()}
            first = next((run for name, run in group.items() if rounds[name]), None)
            if first is not None and not first.cold:
                _run(first, folders, indexes)  # warms up the page cache
            for k in range(limit):
                for name, run in group.items():
                    if k < rounds[name]:
                        results[name].append(_run(run, folders, indexes))
                        print(f"{name}, round {k + 1}: {results[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return results


def _rounds(run, scale, limit):
    """How many times to measure a run, at most ``limit``; 0 if it cannot be measured here."""
    if (run.needs_full and scale is not SCALES["full"]) or (run.library and not importlib.util.find_spec(run.library)):
        return 0
    return ROUNDS_OF_RIVALS if run.library in SLOW_RIVALS else limit


def _run(run, folders, indexes):
    with tempfile.TemporaryDirectory(dir=indexes) as home:
        if run.indexed:
            shutil.copytree(Path(indexes, "imagenet_subsets"), Path(home, "imagenet_subsets"))
        if run.cold:
            drop_caches(archive_of(folders[run.folder], "train"))
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(run.busy)]
        try:
            return _call(run.function, folders[run.folder], home, run.arguments)
        finally:
            for process in busy:
                process.kill()
                process.wait()


def _call(function, folder, home, arguments):
    command = [sys.executable, "-m", "benchmarks.contenders", function, str(folder), json.dumps(arguments)]
    quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = os.environ | quiet | {"HF_HOME": str(home)}
    for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
        environment.pop(name, None)
    os.sync()  # no run pays for the writes of another
    child = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{child.stderr[-3000:]}")
    return json.loads(child.stdout.splitlines()[-1])


def table(results):
    """Format the measurements as a Markdown table."""
    lines = ["| measured | this | against | ratio | rounds | target |", "| --- | --- | --- | --- | --- | --- |"]
    for label, name, other, target, (field, other_field, unit) in RATIOS + WORST:
        pairs = [(a[field], b[other_field]) for a, b in zip(results[name], results[other])]
        if not pairs or pairs[0][0] is None:
            lines.append(f"| {label} | not measured here | | | | {target} |")
            continue
        this, against = (unit.format(statistics.median(values)) for values in zip(*pairs))
        ratios = sorted(a / b for a, b in pairs)
        ratio = f"{statistics.median(ratios):.3f}"
        if (label, name, other, target, (field, other_field, unit)) in WORST:
            ratio = f"{ratios[0]:.2f}, {ratio}, {ratios[-1]:.2f}"
        lines.append(f"| {label} | {this} | {against} | {ratio} | {len(pairs)} | {target} |")
    for label, name, target, field, unit in VALUES:
        values = [result[field] for result in results[name]]
        this = unit.format(statistics.median(values)) if values else "not measured here"
        lines.append(f"| {label} | {this} | | | {len(values) or ''} | {target} |")
    return "\n".join(lines)


def main():
    """Run the requested benchmarks and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, default="laptop")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the time until 1pct is ready")
    parser.add_argument("--workdir", type=Path, help="folder that keeps the stand-ins for the next run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workdir = (arguments.workdir or Path(temporary)) / f"imagenet-subsets-{arguments.scale}"
        workdir.mkdir(parents=True, exist_ok=True)
        results = run_all(SCALES[arguments.scale], workdir.resolve())
    if arguments.picture:
        seconds = {name: statistics.median(run["seconds"] for run in runs) for name, runs in results.items() if runs}
        draw_picture(arguments.picture, seconds)
    libraries = ("datasets", "pyarrow", "ratarmountcore", "tensorflow-datasets")
    versions = [f"{library} {_version(library)}" for library in libraries]
    print(
        f"{datetime.date.today()}, scale {arguments.scale}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, {', '.join(versions)}\n\n{table(results)}"
    )


def _version(library):
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
