"""Measure imagenet_subsets against a plain copy of the same images, and against other ways to get them.

    python -m benchmarks                                     a few minutes, 2 GB of disk
    python -m benchmarks --scale photo --workdir /scratch    images as large as ImageNet's: 16 GB
    python -m benchmarks --scale full --workdir /scratch     and as many, most of them holes: 45 GB

Archives with drawn images are made in the work folder. Each run is a process of its own with empty
caches; runs that are compared take turns, and a ratio is the median of the ratios of all rounds.
The targets are for images of this size; small ones cost most where their number counts.
The rivals come with "pip install imagenet-subsets[bench]"; those that are not installed are left out.
"""

import argparse
import dataclasses
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

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Scale:
    """Arguments of ``make_standins``: ``photos`` for the speed of 1pct, ``many`` for what depends on their number."""

    photos: dict
    many: dict


ROUNDS = 3
ROUNDS_OF_RIVALS = 1  # of those that take minutes
SLOW_RIVALS = "tarfile", "tensorflow_datasets", "ratarmountcore"
FULL = {"configs": ["1pct", "10pct"], "image_bytes": 110_000, "members": "full"}
SCALES = {
    "laptop": Scale({"configs": ["1pct"], "image_bytes": 12_000}, {"configs": ["1pct", "10pct"]}),
    "photo": Scale({"configs": ["1pct"], "image_bytes": 110_000}, {"configs": ["1pct", "10pct"]}),
    "full": Scale(FULL, FULL),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A function of ``benchmarks.contenders``, which stand-ins it reads, and its arguments."""

    function: str
    folder: str = "photos"
    arguments: dict = dataclasses.field(default_factory=dict)
    indexed: bool = True
    library: str | None = None  # of a rival
    whole: bool = False  # needs all training images, which only the scale "full" has


TRAIN = {"splits": ["train"]}
IN_PLACE, DIRECT = {"in_place": True}, {"direct": True}
TRAINING = {  # name -> function, its arguments, library
    "copied": ("train_rows", {}, "torchvision"),
    "copied, directly": ("train_rows", DIRECT, "torchvision"),
    "in place": ("train_rows", IN_PLACE, "torchvision"),
    "in place, directly": ("train_rows", IN_PLACE | DIRECT, "torchvision"),
    "ImageFolder": ("train_image_folder", {}, "torchvision"),
    "timm": ("train_timm_tar", {}, "timm"),
}
GROUPS = [  # the runs of a group take turns
    {
        "floor": Run("floor"),
        "ours, num_proc=4": Run("build", arguments={"num_proc": 4}),
        "ours": Run("build"),
        "ours, the first time": Run("build", indexed=False),
        "ours, streaming": Run("stream"),
        "first row": Run("first_row"),
        "walking script": Run("walking_script", library="tarfile"),
        "TFDS": Run("tfds", library="tensorflow_datasets"),
    },
    {
        "index": Run("index", "many", indexed=False),
        "ratarmountcore": Run("ratarmountcore", "many", library="ratarmountcore"),
    },
    {
        "1pct": Run("build", "many", TRAIN),
        "10pct": Run("build", "many", TRAIN | {"config": "10pct"}),
        "second config": Run("until_writing", "many", {"config": "10pct"}),
    },
    {"one by one, from afar": Run("one_by_one"), "ours, from afar": Run("build_from_afar")},
    {
        "copied at random": Run("random_access"),
        "copied at random, directly": Run("random_access", arguments=DIRECT),
        "in place at random": Run("random_access", arguments=IN_PLACE),
        "in place at random, directly": Run("random_access", arguments=IN_PLACE | DIRECT),
    },
    {
        "batches one by one, from afar": Run("batches_from_afar", arguments={"together": False}),
        "batches together, from afar": Run("batches_from_afar", arguments={"together": True}),
    },
    {
        "1pct in place": Run("ready_in_place", arguments={"config": "1pct"}),
        "full in place": Run("ready_in_place", "many", {"config": "full"}, whole=True),
    },
    *(
        {
            f"{name}, {workers} workers": Run(function, arguments=arguments | {"workers": workers}, library=library)
            for name, (function, arguments, library) in TRAINING.items()
        }
        for workers in (2, 4)
    ),
    {"pass over a disk": Run("sequential_pass", "many"), "index of a disk": Run("index_on_disk", "many")},
]

# label, run, run that it is compared with, target; the fields compared and their unit
SECONDS = ("seconds", "seconds", "{:.2f} s")
SECONDS_A_GB = ("seconds_a_gb", "seconds_a_gb", "{:.2f} s/GB")
BYTES = ("read_mb", "wanted_mb", "{:,.0f} MB")
RATIOS = [
    ("1pct: num_proc=4 / floor", "ours, num_proc=4", "floor", "<= 1.3", SECONDS),
    ("1pct: one process / floor", "ours", "floor", "<= 2.5", SECONDS),
    ("1pct: one process, the first time / floor", "ours, the first time", "floor", "", SECONDS),
    ("1pct: walking script / floor", "walking script", "floor", "", SECONDS),
    ("1pct: TFDS / floor", "TFDS", "floor", "", SECONDS),
    ("1pct: streaming / one process", "ours, streaming", "ours", "<= 1", SECONDS),
    ("index: ratarmountcore / ours", "ratarmountcore", "index", ">= 10", SECONDS),
    ("time per byte wanted: 10pct / 1pct", "10pct", "1pct", "<= 1", SECONDS_A_GB),
    ("5 ms a read: one by one / ours", "one by one, from afar", "ours, from afar", ">= 8", SECONDS),
    ("random access: in place / copied", "in place at random", "copied at random", "<= 1.1", SECONDS),
    (
        "random access: in place, directly / copied",
        "in place at random, directly",
        "copied at random",
        "<= 1.1",
        SECONDS,
    ),
    ("random access: copied, directly / copied", "copied at random, directly", "copied at random", "", SECONDS),
    (
        "batches, 5 ms a read: one by one / together",
        "batches one by one, from afar",
        "batches together, from afar",
        ">= 4",
        SECONDS,
    ),
    *(
        (f"training, {workers} workers: {name} / {rival}", f"{name}, {workers} workers", f"{rival}, {workers} workers")
        + ("<= 1", SECONDS)
        for workers in (2, 4)
        for name in ("copied", "copied, directly", "in place", "in place, directly")
        for rival in ("ImageFolder", "timm")
    ),
    ("8 ms a seek: index / sequential pass", "index of a disk", "pass over a disk", "<= 1.2", SECONDS),
    ("bytes read / wanted: num_proc=4", "ours, num_proc=4", "ours, num_proc=4", "<= 1.05", BYTES),
    ("bytes read / wanted: one process", "ours", "ours", "<= 1.05", BYTES),
    ("bytes read / wanted: the first time", "ours, the first time", "ours, the first time", "", BYTES),
    ("bytes read / wanted: walking script", "walking script", "walking script", "", BYTES),
    ("bytes read / wanted: TFDS", "TFDS", "TFDS", "", BYTES),
]
VALUES = [
    ("second config: first example after", "second config", "< 2 s", "seconds", "{:.2f} s"),
    ("1pct in place: ready after", "1pct in place", "< 1 s", "seconds", "{:.2f} s"),
    ("full in place: ready after", "full in place", "< 10 s", "seconds", "{:.2f} s"),
    ("full in place: memory", "full in place", "< 1200 MB", "peak_mb", "{:.0f} MB"),
    ("full in place: cache", "full in place", "< 300 MB", "cache_mb", "{:.0f} MB"),
    ("streaming: first row after", "first row", "< 3 s", "seconds", "{:.2f} s"),
    ("largest process: num_proc=4", "ours, num_proc=4", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: one process", "ours", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: 10pct", "10pct", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: streaming", "ours, streaming", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: walking script", "walking script", "", "peak_mb", "{:.0f} MB"),
    ("largest process: TFDS", "TFDS", "", "peak_mb", "{:.0f} MB"),
]


def run_all(scale, workdir):
    """Make the stand-ins and run everything.

    Returns:
        ``dict[str, list[dict]]``, the results of each run (``benchmarks.contenders``), one a round; none of
        rivals that are not installed.
    """
    folders = {"photos": workdir / "photos", "many": workdir / "many"}
    if scale.many is scale.photos:
        folders["many"] = folders["photos"]
    for name, options in (("photos", scale.photos), ("many", scale.many)):
        if not folders[name].exists():
            _call("stand_ins", folders[name], workdir, options)
    results = {name: [] for group in GROUPS for name in group}
    rounds = {name: _rounds(run, scale) for group in GROUPS for name, run in group.items()}
    with tempfile.TemporaryDirectory(dir=workdir) as indexes:
        for folder in set(folders.values()):
            _call("until_writing", folder, indexes, {"config": "1pct"})
        for group in GROUPS:
            first = next((name for name in group if rounds[name]), None)
            if first is not None:
                _run(group[first], folders, indexes)  # the page cache gets warm
            for k in range(ROUNDS):
                for name, run in group.items():
                    if k < rounds[name]:
                        results[name].append(_run(run, folders, indexes))
                        print(f"{name}, round {k + 1}: {results[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return results


def _rounds(run, scale):
    """How many times to measure a run; 0 if that cannot be done here."""
    if (run.whole and scale is not SCALES["full"]) or (run.library and not importlib.util.find_spec(run.library)):
        return 0
    return ROUNDS_OF_RIVALS if run.library in SLOW_RIVALS else ROUNDS


def _run(run, folders, indexes):
    with tempfile.TemporaryDirectory(dir=indexes) as home:
        if run.indexed:
            shutil.copytree(Path(indexes, "imagenet_subsets"), Path(home, "imagenet_subsets"))
        return _call(run.function, folders[run.folder], home, run.arguments)


def _call(function, folder, home, arguments):
    command = [sys.executable, "-m", "benchmarks.contenders", function, str(folder), json.dumps(arguments)]
    quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = os.environ | quiet | {"HF_HOME": str(home)}
    for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
        environment.pop(name, None)
    os.sync()  # nobody pays for what another wrote
    child = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{child.stderr[-3000:]}")
    return json.loads(child.stdout.splitlines()[-1])


def table(results):
    """The measurements as a table in Markdown."""
    lines = ["| measured | this | against | ratio | rounds | target |", "| --- | --- | --- | --- | --- | --- |"]
    for label, name, other, target, (field, other_field, unit) in RATIOS:
        pairs = [(a[field], b[other_field]) for a, b in zip(results[name], results[other])]
        if not pairs or pairs[0][0] is None:
            lines.append(f"| {label} | not measured here | | | | {target} |")
            continue
        this, against = (unit.format(statistics.median(values)) for values in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        lines.append(f"| {label} | {this} | {against} | {ratio:.3f} | {len(pairs)} | {target} |")
    for label, name, target, field, unit in VALUES:
        values = [result[field] for result in results[name]]
        this = unit.format(statistics.median(values)) if values else "not measured here"
        lines.append(f"| {label} | {this} | | | {len(values) or ''} | {target} |")
    return "\n".join(lines)


def main():
    """Run the benchmarks that the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, default="laptop")
    parser.add_argument("--workdir", type=Path, help="a folder that keeps the stand-ins for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workdir = (arguments.workdir or Path(temporary)) / f"imagenet-subsets-{arguments.scale}"
        workdir.mkdir(parents=True, exist_ok=True)
        results = run_all(SCALES[arguments.scale], workdir.resolve())
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
