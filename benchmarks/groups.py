"""What ``python -m benchmarks`` measures: the stand-ins, the groups of runs, and their comparison."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Scale:
    """Arguments of ``make_standins``: ``photos`` for the speed of 1pct, ``many`` for costs that grow with the count."""

    photos: dict
    many: dict


ROUNDS = 3
ROUNDS_OF_WALKS = 5  # of which the worst counts
ROUNDS_OF_RIVALS = 1  # for those that take minutes
SLOW_RIVALS = "tarfile", "tensorflow_datasets", "ratarmountcore"
FULL = {"configs": ["1pct", "10pct"], "image_bytes": 110_000, "members": "full"}
SCALES = {
    "laptop": Scale({"configs": ["1pct"], "image_bytes": 12_000}, {"configs": ["1pct", "10pct"]}),
    "photo": Scale({"configs": ["1pct"], "image_bytes": 110_000}, {"configs": ["1pct", "10pct"]}),
    "full": Scale(FULL, FULL),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A function of ``benchmarks.contenders``, the stand-ins that it reads, and its arguments."""

    function: str
    folder: str = "photos"
    arguments: dict = dataclasses.field(default_factory=dict)
    indexed: bool = True
    library: str | None = None  # of a rival
    needs_full: bool = False  # needs all training images, which only the scale "full" has
    cold: bool = False  # with an empty page cache
    busy: int = 0  # processes that keep the machine busy meanwhile


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
WORKERS = 2, 4
SELECTED = "1pct", "10pct", "lt", "full"
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
        "in memory at random": Run("random_access_to_nothing"),
    },
    {
        "batches one by one, from afar": Run("batches_from_afar", arguments={"together": False}),
        "batches together, from afar": Run("batches_from_afar", arguments={"together": True}),
    },
    {
        "1pct in place": Run("ready_in_place", arguments={"config": "1pct"}),
        "full in place": Run("ready_in_place", "many", {"config": "full"}, needs_full=True),
    },
    {"from a server": Run("copy_from_server", indexed=False)},
    {"in place, from a server": Run("ready_from_server", "many", indexed=False)},
    {
        "batches one by one, from a server": Run("batches_from_server", arguments={"together": False}, indexed=False),
        "batches together, from a server": Run("batches_from_server", arguments={"together": True}, indexed=False),
    },
    {f"{config}, selected": Run("select_subset", "loaded", {"config": config}) for config in SELECTED},
    {"selected at random": Run("random_rows_of_subset", "loaded photos")},
    *(
        {
            f"{share:.0%} of Parquet {done}": Run(function, "loaded photos", {"share": share}, indexed=False)
            for done, function in (("read", "read_parquet"), ("extracted", "extract_from_parquet"))
        }
        for share in (0.01, 0.1)
    ),
    {"all of Parquet extracted": Run("extract_from_parquet", "loaded photos", {"share": 1}, indexed=False)},
    *(
        {
            f"{name}, {workers} workers": Run(function, arguments=arguments | {"workers": workers}, library=library)
            for name, (function, arguments, library) in TRAINING.items()
        }
        for workers in WORKERS
    ),
]
WALKS = [
    {
        "index, in memory": Run("index", "many", indexed=False),
        "index, busy": Run("index", "many", indexed=False, busy=2),
        "index, cold": Run("index", "many", indexed=False, cold=True),
    },
    {"walk from afar": Run("plain_walk_from_afar", "many"), "index from afar": Run("index_from_afar", "many")},
    {"pass over a disk": Run("sequential_pass", "many"), "index of a disk": Run("index_on_disk", "many")},
    {
        "plan of full": Run("until_writing", "many", {"config": "full", "on_missing": "skip"}),
        "list of a zip": Run("list_zip", "many"),
    },
]

# label, run, run that it is compared with, target; the fields compared and their unit
SECONDS = ("seconds", "seconds", "{:.2f} s")
SECONDS_PER_GB = ("seconds_per_gb", "seconds_per_gb", "{:.2f} s/GB")
BYTES = ("read_mb", "wanted_mb", "{:,.0f} MB")
GIVEN = ("seconds", "given_seconds", "{:.2f} s")
MOVED = ("moved_mb", "wanted_mb", "{:,.0f} MB")
RATIOS = [
    ("1pct: num_proc=4 / floor", "ours, num_proc=4", "floor", "<= 1.3", SECONDS),
    ("1pct: one process / floor", "ours", "floor", "<= 2.5", SECONDS),
    ("1pct: one process, the first time / floor", "ours, the first time", "floor", "", SECONDS),
    ("1pct: walking script / floor", "walking script", "floor", "", SECONDS),
    ("1pct: TFDS / floor", "TFDS", "floor", "", SECONDS),
    ("1pct: streaming / one process", "ours, streaming", "ours", "<= 1", SECONDS),
    ("index: ratarmountcore / ours", "ratarmountcore", "index", ">= 10", SECONDS),
    ("time per byte wanted: 10pct / 1pct", "10pct", "1pct", "<= 1", SECONDS_PER_GB),
    ("5 ms per read: one by one / ours", "one by one, from afar", "ours, from afar", ">= 8", SECONDS),
    ("random access: in place / copied", "in place at random", "copied at random", "<= 1.1", SECONDS),
    ("random access: any path at least / copied", "in memory at random", "copied at random", "", SECONDS),
    ("random access: in place, directly / copied", "in place at random, directly", "copied at random", "", SECONDS),
    ("random access: copied, directly / copied", "copied at random, directly", "copied at random", "", SECONDS),
    ("random access: selected / given", "selected at random", "selected at random", "<= 1.02", GIVEN),
    ("Parquet: 1 % extracted / read", "1% of Parquet extracted", "1% of Parquet read", "<= 1.3", SECONDS),
    ("Parquet: 10 % extracted / read", "10% of Parquet extracted", "10% of Parquet read", "", SECONDS),
    (
        "batches, 20 ms per answer: one by one / together",
        "batches one by one, from a server",
        "batches together, from a server",
        ">= 10",
        SECONDS,
    ),
    (
        "batches, 5 ms per read: one by one / together",
        "batches one by one, from afar",
        "batches together, from afar",
        ">= 4",
        SECONDS,
    ),
    *(
        (f"training, {workers} workers: {name} / {rival}", f"{name}, {workers} workers", f"{rival}, {workers} workers")
        + ("<= 1", SECONDS)
        for workers in WORKERS
        for name in ("copied", "copied, directly", "in place", "in place, directly")
        for rival in ("ImageFolder", "timm")
    ),
    ("bytes read / wanted: num_proc=4", "ours, num_proc=4", "ours, num_proc=4", "<= 1.05", BYTES),
    ("bytes read / wanted: one process", "ours", "ours", "<= 1.05", BYTES),
    ("bytes read / wanted: the first time", "ours, the first time", "ours, the first time", "", BYTES),
    ("bytes moved / wanted and index: from a server", "from a server", "from a server", "<= 1.05", MOVED),
    ("bytes read / wanted: walking script", "walking script", "walking script", "", BYTES),
    ("bytes read / wanted: TFDS", "TFDS", "TFDS", "", BYTES),
]
WORST = [  # here, the largest ratio of all rounds counts
    ("5 ms per read: index / hopping one at a time", "index from afar", "walk from afar", "<= 0.1", SECONDS),
    ("8 ms per seek: index / sequential pass", "index of a disk", "pass over a disk", "<= 1.2", SECONDS),
]
VALUES = [
    ("index, in memory", "index, in memory", "< 5 s", "seconds", "{:.2f} s"),
    ("index, beside two busy processes", "index, busy", "", "seconds", "{:.2f} s"),
    ("index, cold", "index, cold", "", "seconds", "{:.2f} s"),
    ("second config: first example after", "second config", "< 2 s", "seconds", "{:.2f} s"),
    ("1pct in place: ready after", "1pct in place", "< 1 s", "seconds", "{:.2f} s"),
    ("full in place: ready after", "full in place", "< 10 s", "seconds", "{:.2f} s"),
    ("full in place: memory", "full in place", "< 1200 MB", "peak_mb", "{:.0f} MB"),
    ("full in place: cache", "full in place", "< 300 MB", "cache_mb", "{:.0f} MB"),
    ("from a server: share of its rate", "from a server", ">= 0.8", "rate", "{:.2f}"),
    ("in place, from a server: ready after", "in place, from a server", "< 3 s", "seconds", "{:.2f} s"),
    ("in place, from a server: moved", "in place, from a server", "< 60 MB", "moved_mb", "{:.0f} MB"),
    *((f"select {config}: ready after", f"{config}, selected", "< 5 s", "seconds", "{:.2f} s") for config in SELECTED),
    *((f"select {config}: memory", f"{config}, selected", "< 700 MB", "memory_mb", "{:.0f} MB") for config in SELECTED),
    ("Parquet: memory of extracting all", "all of Parquet extracted", "< 600 MB", "peak_mb", "{:.0f} MB"),
    ("streaming: first row after", "first row", "< 3 s", "seconds", "{:.2f} s"),
    ("index: memory", "index, in memory", "< 350 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: plan of full", "plan of full", "< 600 MB", "peak_mb", "{:.0f} MB"),
    ("plan of full", "plan of full", "< 3 s", "seconds", "{:.2f} s"),
    ("largest process: list of a zip", "list of a zip", "< 600 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: num_proc=4", "ours, num_proc=4", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: one process", "ours", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: 10pct", "10pct", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: streaming", "ours, streaming", "< 500 MB", "peak_mb", "{:.0f} MB"),
    ("largest process: walking script", "walking script", "", "peak_mb", "{:.0f} MB"),
    ("largest process: TFDS", "TFDS", "", "peak_mb", "{:.0f} MB"),
]
