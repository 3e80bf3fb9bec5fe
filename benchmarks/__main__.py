"""Measure imagenet_subsets against commit a57d342, a plain copy of the same images, and other tools.

    python -m benchmarks                                     all groups, on small images: 6 GB of disk
    python -m benchmarks speed folders                       two groups
    python -m benchmarks --scale photo --workdir /scratch    images of 70 kB: 30 GB
    python -m benchmarks full --workdir /scratch             as many images as ImageNet, most of them holes: 25 GB

Folders of drawn images are made in the work folder. Each run is a new process; the runs of a group take turns, and a
ratio is the median of the ratios of all rounds. Where three ratios are given, they are the smallest, the median and the
largest, which counts. Runs with an empty page cache need root. The rivals come with "pip install -e '.[bench]'"; those
that are not installed are skipped.
"""

import argparse
import contextlib
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
from typing import Any

from benchmarks.devices import drop_caches
from benchmarks.groups import FOLDERS, GROUPS, ON_REQUEST, SCALES, Group, Row, Run
from benchmarks.picture import RATES, SECONDS, draw_picture

ROOT = Path(__file__).resolve().parent.parent
OLD = "a57d342"  # the last commit with processes
Results = dict[str, list[dict[str, Any]]]  # run -> its results, one per round


class Bench:
    """Folders of stand-ins and homes with their indexes, both made when a run first needs them."""

    def __init__(self, scale: str, workdir: Path, homes: Path) -> None:
        self.scale, self.workdir, self.homes = scale, workdir, homes
        self.trees = {"new": ROOT, "old": homes / OLD, None: ROOT}

    def measure(self, name: str, group: Group) -> Results:
        """Run a group, in turns; runs that cannot be measured here have no results."""
        runs = {key: run for key, run in group.runs.items() if self._is_possible(run)}
        results: Results = {key: [] for key in group.runs}
        if runs and not any(run.cold for run in runs.values()):
            self._run(next(iter(runs.values())))  # warms up the page cache
        for k in range(group.rounds):
            for key, run in runs.items():
                if k == 0 or not run.slow:
                    results[key].append(self._run(run))
                    print(f"{name}: {key}, round {k + 1}: {results[key][-1]['seconds']:.2f} s", file=sys.stderr)
        return results

    def _is_possible(self, run: Run) -> bool:
        return (not run.cold or os.access("/proc/sys/vm/drop_caches", os.W_OK)) and (
            run.library is None or importlib.util.find_spec(run.library) is not None
        )

    def _run(self, run: Run) -> dict[str, Any]:
        folder = self._folder(run.folder)
        with tempfile.TemporaryDirectory(dir=self.homes) as home:
            if run.function == "warm_load":
                return self._warm_load(run, folder)
            if run.indexed:
                shutil.copytree(self._prepared(run), home, dirs_exist_ok=True)
            if run.cold:
                drop_caches()
            return self._call(run.version, run.function, folder, home, run.arguments)

    def _warm_load(self, run: Run, folder: Path) -> dict[str, Any]:
        """Load what is cached; the calls of ``stat`` are those beyond what importing needs."""
        home = self._prepared(run)
        result = self._call(run.version, run.function, folder, home, run.arguments)
        if shutil.which("strace") is None:
            return result | {"stat_calls": None}
        calls = [self._stat_calls(run.version, function, folder, home) for function in (run.function, "nothing")]
        return result | {"stat_calls": calls[0] - calls[1]}

    def _stat_calls(self, version: str | None, function: str, folder: Path, home: Path) -> int:
        counts = home / "strace.txt"
        self._call(version, function, folder, home, {}, ["strace", "-f", "-c", "-e", "trace=%%stat", "-o", str(counts)])
        rows = [line.split() for line in counts.read_text().splitlines()]
        return sum(int(row[3]) for row in rows if row[0][0].isdigit() and row[-1] != "total")

    def _folder(self, name: str) -> Path:
        function, arguments = FOLDERS[name]
        folder = self.workdir / name.replace(" ", "-")
        complete = self.workdir / f"{folder.name}.complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self._call(None, function, folder, self.homes, arguments.get(self.scale, {}))
            complete.touch()
        return folder

    def _prepared(self, run: Run) -> Path:
        """A home with the indexes of a folder; of extracted images, with 1pct, too."""
        home = self.homes / f"{run.version}-{run.folder}".replace(" ", "-")
        if not home.exists():
            folder = self._folder(run.folder)
            for place in (folder / "few", folder / "beside") if run.folder == "flat" else (folder,):
                function = "warm_load" if run.function == "warm_load" else "prepare"
                self._call(run.version or "new", function, place, home, {})
            if run.function != "warm_load":
                shutil.rmtree(home / "datasets")
        return home

    def _call(
        self,
        version: str | None,
        function: str,
        folder: Path,
        home: str | Path,
        arguments: dict[str, Any],
        under: list[str] | None = None,
    ) -> dict[str, Any]:
        """The result of a function of ``benchmarks.versions``, or without a version, of ``benchmarks.contenders``."""
        if version == "old" and not self.trees["old"].exists():
            self._clone()
        program = [str(ROOT / "benchmarks" / "versions.py")] if version else ["-m", "benchmarks.contenders"]
        command = [*(under or ()), sys.executable, *program, function, str(folder), json.dumps(arguments)]
        quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment = os.environ | quiet | {"HF_HOME": str(home), "PYTHONPATH": str(self.trees[version])}
        for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
            environment.pop(name, None)
        os.sync()  # no run pays for the writes of another
        child = subprocess.run(command, cwd=self.trees[version], env=environment, capture_output=True, text=True)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{child.stderr[-3000:]}")
        return json.loads(child.stdout.splitlines()[-1])

    def _clone(self) -> None:
        for command in (["clone", "--quiet", str(ROOT), str(self.trees["old"])], ["checkout", "--quiet", OLD]):
            where = ROOT if command[0] == "clone" else self.trees["old"]
            subprocess.run(["git", *command], cwd=where, check=True)


def table(measured: dict[str, Results]) -> str:
    """Format the measurements of groups as a Markdown table."""
    lines = ["| measured | this | against | ratio | rounds | target |", "| --- | --- | --- | --- | --- | --- |"]
    for name, results in measured.items():
        for row in GROUPS[name].rows:
            lines.append(f"| {' | '.join((row.label, *_cells(row, results), row.target))} |")
    return "\n".join(lines)


def _cells(row: Row, results: Results) -> tuple[str, str, str, str]:
    """This, against, ratio and rounds."""
    values = [result[row.field] for result in results[row.run]]
    others = [result[row.other_field or row.field] for result in results[row.other]] if row.other else values
    pairs = [(a, b) for a, b in zip(values, others) if a is not None and b is not None]
    if not pairs:
        return "not measured here", "", "", ""
    this, against = (row.unit.format(statistics.median(column)) for column in zip(*pairs))
    if row.other is None:
        return this, "", "", str(len(pairs))
    ratios = sorted(a / b for a, b in pairs)
    ratio = f"{statistics.median(ratios):.3f}"
    if row.worst:
        ratio = f"{ratios[0]:.2f}, {ratio}, {ratios[-1]:.2f}"
    return this, against, ratio, str(len(pairs))


def main() -> None:
    """Run the requested groups and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", metavar="GROUP", nargs="*", help=f"all by default, but for full: {', '.join(GROUPS)}")
    parser.add_argument("--scale", choices=SCALES, default="laptop")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the time until 1pct is ready (group floor)")
    parser.add_argument("--epochs-picture", type=Path, metavar="PNG", help="draw images per second (group epochs-2)")
    parser.add_argument("--workdir", type=Path, help="folder that keeps the stand-ins for the next run")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.groups) - set(GROUPS)):
        parser.error(f"unknown group {unknown[0]!r}; the groups are {', '.join(GROUPS)}")
    chosen = arguments.groups or [name for name in GROUPS if name not in ON_REQUEST]
    with contextlib.ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.workdir)))
        workdir = (arguments.workdir or temporary) / f"imagenet-subsets-{arguments.scale}"
        workdir.mkdir(parents=True, exist_ok=True)
        homes = temporary / "homes"
        homes.mkdir()
        bench = Bench(arguments.scale, workdir.resolve(), homes.resolve())
        measured = {name: bench.measure(name, GROUPS[name]) for name in chosen}
    if arguments.picture:
        draw_picture(arguments.picture, _medians(measured["floor"], "seconds"), *SECONDS)
    if arguments.epochs_picture:
        draw_picture(arguments.epochs_picture, _medians(measured["epochs-2"], "images_per_second"), *RATES)
    libraries = ("datasets", "pyarrow", "tensorflow-datasets")
    versions = [f"{library} {_version(library)}" for library in libraries]
    print(
        f"{datetime.date.today()}, scale {arguments.scale}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, {', '.join(versions)}\n\n{table(measured)}"
    )


def _medians(results: Results, field: str) -> dict[str, float]:
    return {key: statistics.median(run[field] for run in runs) for key, runs in results.items() if runs}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
