"""What ``python -m benchmarks`` measures: groups of runs that take turns, and the rows that compare them."""

import dataclasses
from typing import Any

ROUNDS = 3
PHOTOS = {"laptop": {"image_bytes": 12_000}, "photo": {"image_bytes": 70_000}}
SCALES = tuple(PHOTOS)
FOLDERS: dict[str, tuple[str, dict[str, Any]]] = {  # folder -> the function of ``contenders`` that makes it, arguments
    "photos": ("make_photos", PHOTOS),
    "many": ("make_many", {}),
    "full": ("make_full", {}),
    "extracted": ("make_extracted", {}),
    "flat": ("make_flat", {"laptop": {"files": 30_000}, "photo": {"files": 300_000}}),
    "photographs": ("make_photographs", {}),
    "loaded": ("load_hub_dataset", {}),
}
ON_REQUEST = ("full",)  # groups that take 45 GB


@dataclasses.dataclass(frozen=True)
class Run:
    """A function of ``benchmarks.contenders`` or ``benchmarks.versions``, the folder that it gets, and arguments."""

    function: str
    folder: str = "photos"
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    version: str | None = None  # "new" or "old": of ``benchmarks.versions``
    indexed: bool = True
    library: str | None = None  # of a rival
    slow: bool = False  # takes minutes, and is measured once
    cold: bool = False  # with an empty page cache


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: a field of a run, and the field of another run that it is compared with."""

    label: str
    run: str
    target: str = ""
    field: str = "seconds"
    unit: str = "{:.2f} s"
    other: str | None = None
    other_field: str | None = None  # the same field by default
    worst: bool = False  # the largest ratio of all rounds counts, instead of the median


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that take turns, and their rows."""

    runs: dict[str, Run]
    rows: list[Row]
    rounds: int = ROUNDS


def _bytes(label: str, run: str, target: str = "", field: str = "read_mb") -> Row:
    return Row(label, run, target, field, "{:,.0f} MB", run, "wanted_mb")


def _memory(label: str, run: str, target: str = "< 500 MB") -> Row:
    return Row(label, run, target, "peak_mb", "{:.0f} MB")


def _against_old(what: str, function: str, targets: dict[Any, str], new: Any = None, cold: bool = False) -> Group:
    """This checkout in turn with commit a57d342; ``targets`` has a ratio per ``num_proc`` of the latter."""
    name = f"{what}, cold" if cold else what
    runs = {"new": Run(function, arguments={"num_proc": new}, version="new", cold=cold)}
    runs |= {f"old, {n}": Run(function, arguments={"num_proc": n}, version="old", cold=cold) for n in targets}
    rows = [Row(f"{name}: new / old, num_proc={n}", "new", target, other=f"old, {n}") for n, target in targets.items()]
    return Group(runs, [*rows, _memory(f"{name}: memory", "new")])


PROCESSES = {2: "<= 1.3"}
IN_PLACE, DIRECT, FULL = {"in_place": True}, {"direct": True}, {"config": "full", "on_missing": "skip"}
TRAINING = {  # name -> function, its arguments, library
    "copied": ("train_rows", {}, "torchvision"),
    "copied, directly": ("train_rows", DIRECT, "torchvision"),
    "in place": ("train_rows", IN_PLACE, "torchvision"),
    "in place, directly": ("train_rows", IN_PLACE | DIRECT, "torchvision"),
    "ImageFolder": ("train_image_folder", {}, "torchvision"),
    "timm": ("train_timm_tar", {}, "timm"),
}
SELECTED = "1pct", "10pct", "lt", "full"


def _training(workers: int) -> Group:
    runs = {
        name: Run(function, arguments=arguments | {"workers": workers}, library=library)
        for name, (function, arguments, library) in TRAINING.items()
    }
    label = f"training, {workers} workers"
    rivals = "ImageFolder", "timm"
    pairs = [(name, rival) for name in TRAINING if name not in rivals for rival in rivals]
    return Group(runs, [Row(f"{label}: {name} / {rival}", name, "<= 1", other=rival) for name, rival in pairs])


EPOCHS = {  # name -> function, its arguments, library, goal against ImageFolder
    "ImageFolder": ("epoch_of_image_folder", {}, "torchvision", ""),
    "timm": ("epoch_of_timm_tar", {}, "timm", ""),
    "README": ("epoch_of_rows", {}, "torchvision", ""),
    "fast": ("epoch_of_rows", {"fast": True}, "simplejpeg", "<= 0.65"),
    "resize=256": ("epoch_of_rows", {"resize": 256}, "torchvision", ""),
    "both": ("epoch_of_rows", {"fast": True, "resize": 256}, "simplejpeg", "<= 0.3"),
}


def _epochs(workers: int) -> Group:
    runs = {
        name: Run(function, "photographs", arguments | {"workers": workers}, library=library, indexed=False)
        for name, (function, arguments, library, _) in EPOCHS.items()
    }
    label = f"epoch, {workers} workers"
    rows = [Row(f"{label}: {name}", name, "", "images_per_second", "{:,.0f} images/s") for name in EPOCHS]
    ratios = [(name, goal) for name, (*_, goal) in EPOCHS.items() if name != "ImageFolder"]
    return Group(
        runs, rows + [Row(f"{label}: {name} / ImageFolder", name, goal, other="ImageFolder") for name, goal in ratios]
    )


GROUPS = {
    "speed": _against_old("load of 1pct", "load", {None: "<= 0.9", 4: "<= 1.4"}),
    "speed-cold": _against_old("load of 1pct", "load", {None: "<= 1.0", 4: "<= 1.4"}, cold=True),
    "build": _against_old("build 1pct", "build", PROCESSES, new=2),
    "build-cold": _against_old("build 1pct", "build", PROCESSES, new=2, cold=True),
    "check": _against_old("check --decode", "check_decode", PROCESSES, new=2),
    "finding": Group(
        {
            f"{what}, {version}": Run(f"{what}_beside", "flat", version=version)
            for what in ("error", "load")
            for version in ("new", "old")
        },
        [
            Row(f"{what} beside flat files, {version} / listing", run, target, other=run, other_field="listing_seconds")
            for what in ("error", "load")
            for version, target in (("new", "<= 1.3"), ("old", ""))
            for run in (f"{what}, {version}",)
        ],
    ),
    "folders": Group(
        {version: Run("warm_load", "extracted", version=version, indexed=False) for version in ("new", "old")},
        [
            Row("1pct from extracted images, warm", "new", "<= 0.2 s"),
            Row("1pct from extracted images, warm: stat calls", "new", "< 5,000", "stat_calls", "{:,.0f}"),
            Row("1pct from extracted images, warm: new / old", "new", other="old"),
        ],
    ),
    "floor": Group(
        {
            "floor": Run("floor"),
            "copied": Run("build"),
            "first time": Run("build", indexed=False),
            "streaming": Run("stream"),
            "first row": Run("first_row"),
            "in place": Run("ready_in_place", arguments={"config": "1pct"}),
            "TFDS": Run("tfds", library="tensorflow_datasets", slow=True),
        },
        [
            Row("1pct: copied / floor", "copied", "<= 1.5", other="floor"),
            Row("1pct: the first time / floor", "first time", other="floor"),
            Row("1pct: TFDS / floor", "TFDS", other="floor"),
            Row("1pct: streaming / copied", "streaming", "<= 1", other="copied"),
            Row("1pct in place: ready after", "in place", "< 1 s"),
            Row("streaming: first row after", "first row", "< 3 s"),
            _bytes("bytes read / wanted", "copied", "<= 1.05"),
            _bytes("bytes read / wanted: the first time", "first time"),
            _bytes("bytes read / wanted: TFDS", "TFDS"),
            _memory("memory: copied", "copied"),
            _memory("memory: streaming", "streaming"),
            _memory("memory: TFDS", "TFDS", ""),
        ],
    ),
    "index": Group(
        {
            "index": Run("index", "many", indexed=False),
            "cold": Run("index", "many", indexed=False, cold=True),
            "hopping": Run("plain_walk_from_afar", "many"),
            "from afar": Run("index_from_afar", "many"),
        },
        [
            Row("index, in memory", "index", "< 5 s"),
            Row("index, cold", "cold"),
            Row("5 ms per read: index / one hop at a time", "from afar", "<= 0.1", other="hopping", worst=True),
            _memory("index: memory", "index", "< 350 MB"),
        ],
    ),
    "configs": Group(
        {
            "1pct": Run("build", "many", {"splits": ["train"]}),
            "10pct": Run("build", "many", {"splits": ["train"], "config": "10pct"}),
            "second config": Run("until_writing", "many", {"config": "10pct"}),
            "plan of full": Run("until_writing", "many", FULL),
        },
        [
            Row("time per GB: 10pct / 1pct", "10pct", "<= 1", "seconds_per_gb", "{:.2f} s/GB", "1pct"),
            Row("second config: first example after", "second config", "< 2 s"),
            Row("plan of full", "plan of full", "< 3 s"),
            _memory("memory: 10pct", "10pct"),
            _memory("memory: plan of full", "plan of full", "< 600 MB"),
        ],
    ),
    "full": Group(
        {"in place": Run("ready_in_place", "full", {"config": "full"}), "index": Run("index", "full", indexed=False)},
        [
            Row("full in place: ready after", "in place", "< 10 s"),
            Row("full in place: memory", "in place", "< 1200 MB", "peak_mb", "{:.0f} MB"),
            Row("full in place: cache", "in place", "< 300 MB", "cache_mb", "{:.0f} MB"),
            Row("index of 1,281,167 members", "index", "< 5 s"),
        ],
    ),
    "remote": Group(
        {
            "one by one, from afar": Run("one_by_one"),
            "from afar": Run("build_from_afar"),
            "copied": Run("copy_from_server", indexed=False),
            "in place": Run("ready_from_server", "many", indexed=False),
            "rows": Run("batches_from_server", arguments={"together": False}, indexed=False),
            "batches": Run("batches_from_server", arguments={"together": True}, indexed=False),
        },
        [
            Row("5 ms per read: one by one / ours", "one by one, from afar", ">= 8", other="from afar"),
            Row("from a server: share of its rate", "copied", ">= 0.8", "rate", "{:.2f}"),
            _bytes("from a server: bytes moved / wanted and index", "copied", "<= 1.05", "moved_mb"),
            Row("in place, from a server: ready after", "in place", "< 3 s"),
            Row("in place, from a server: moved", "in place", "< 60 MB", "moved_mb", "{:.0f} MB"),
            Row("20 ms per answer: rows / batches by files.cat", "rows", ">= 10", other="batches"),
        ],
    ),
    "select": Group(
        {config: Run("select_subset", "loaded", {"config": config}, indexed=False) for config in SELECTED},
        [
            *(Row(f"select {config}: ready after", config, "< 5 s") for config in SELECTED),
            *(Row(f"select {config}: memory", config, "< 700 MB", "memory_mb", "{:.0f} MB") for config in SELECTED),
        ],
    ),
    "export": Group(
        {
            "from memory": Run("write_from_memory"),
            "export": Run("export_tree"),
            "links": Run("link_tree", "extracted", indexed=False),
        },
        [
            Row("export 1pct / writing its files from memory", "export", "<= 1.3", other="from memory"),
            Row("export 1pct, hard links per second", "links", ">= 5,000", "images_per_second", "{:,.0f}"),
            _memory("export 1pct: memory", "export"),
        ],
    ),
    "resizing": Group(
        {
            "as they are": Run("build_rows", "photographs", indexed=False),
            "resized": Run("build_rows", "photographs", {"resize": 256}, indexed=False),
        },
        [
            Row("building, resize=256: CPU time of an image", "resized", "", "cpu_ms", "{:.2f} ms", "as they are"),
            Row("building, resize=256: size of an image", "resized", "", "image_kb", "{:.1f} kB", "as they are"),
            Row("building, resize=256", "resized", other="as they are"),
        ],
    ),
    "epochs-2": _epochs(2),
    "epochs-4": _epochs(4),
    "training-2": _training(2),
    "training-4": _training(4),
}
