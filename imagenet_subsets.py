"""ImageNet subsets as a Hugging Face dataset, read by byte offset from the official archives or other layouts.

Configs: ``1pct`` and ``10pct`` (SimCLR's semi-supervised training lists), ``lt`` (ImageNet-LT), ``full``, ``custom``.

    datasets.load_dataset("./imagenet_subsets.py", "1pct", data_dir=...)   # datasets 2.19, 3.x
    imagenet_subsets.load_dataset("1pct", data_dir=...)                    # any datasets

This file defines the dataset; ``imagenet_reader`` finds and reads the images, in any of its layouts.
"""

import dataclasses
import functools
import inspect
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import datasets
import fsspec
import numpy as np

__all__ = ["ArchiveError", "ImagenetSubsets", "ImagenetSubsetsConfig", "__version__", "as_benchmark", "index_path"]
__all__ += ["load_dataset", "read_index", "select", "torchvision_dataset"]


def __dir__() -> list[str]:
    return __all__  # what completion shows


__version__ = "3.0.0"
# Part of the key of every cache: raised when rows, columns or image bytes change, and by nothing else.
ROWS_VERSION = "2.0.1"
DESCRIPTION = """\
ImageNet (ILSVRC 2012) subsets for semi-supervised and long-tailed learning: 1pct and 10pct, the training \
lists of SimCLR, with the official validation set; lt, ImageNet-LT of OLTR, with its validation list and, as \
test, the official validation set; full, all of ILSVRC 2012. Images, labels and file names are those of the \
published lists."""
RESIZED = (
    " But these are not the benchmark's pixels: larger images were resized to a shorter side of {} pixels, and encoded "
    "again (JPEG, quality 90)."
)
HOMEPAGE = "https://image-net.org/challenges/LSVRC/2012/"
LICENSE = """\
The images are ImageNet's and may be used under its terms of access (https://image-net.org/download.php): for \
non-commercial research and education; they may not be redistributed."""

SUBSETS = {  # config -> split -> list
    "1pct": {"train": "1pct", "validation": "validation"},
    "10pct": {"train": "10pct", "validation": "validation"},
    "lt": {"train": "lt_train", "validation": "lt_validation", "test": "validation"},
    "full": {"train": "full", "validation": "validation"},
}
CUSTOM = {"train": "train_list", "validation": "validation_list"}  # split -> option that gives the user's list
# Split -> configs that can have it: all other training images, and the images that PAWS holds out.
ADDED = {"unlabeled": ("1pct", "10pct"), "holdout": ("1pct", "10pct", "full")}
ImageList = str | os.PathLike[str] | Iterable[Any]

# -------------------------------------------------------------------------------------- the configs


@dataclasses.dataclass
class ImagenetSubsetsConfig(datasets.BuilderConfig):  # type: ignore[misc]  # datasets is not typed
    """A subset and how to build it; ``load_dataset`` says what the options are."""

    label_names: str = "wnid"
    splits: list[str] | None = None
    on_missing: str = "error"
    image_bytes: str = "benchmark"
    unlabeled: bool = False
    train_list: str | list[str] | None = None
    validation_list: str | list[str] | None = None
    in_place: bool = False
    classes: str | Sequence[str] | None = None
    real_labels: bool = False
    class_order: str = "sorted"
    holdout: bool = False
    resize: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "plan"}  # it would take seconds

    @functools.cached_property
    def plan(self) -> "Plan":
        """The plan that follows from the options, ``imagenet_reader.plan.Plan``; its ``splits`` are the rows."""
        for option, configs in ADDED.items():
            if getattr(self, option) and self.name not in configs:
                raise ValueError(f"{option}=True is for the configs {list(configs)}, not for {self.name!r}.")
        check_options(self, list(self._possible_subset()))
        own_lists = {name: getattr(self, name) for name in CUSTOM.values() if getattr(self, name) is not None}
        columns = Columns(lists.published_labels(self.classes, self.class_order), self.real_labels)
        return Plan(self.name, self._subset(), own_lists, self.data_dir, self.on_missing, columns, self.resize)

    def features(self) -> datasets.Features:
        """The columns of the rows, ``datasets.Features``."""
        names = lists.label_names(lists.read_classes(), self.label_names)
        classes = lists.published_labels(self.classes, self.class_order)
        label = datasets.ClassLabel(names=names if classes is None else [names[label] for label in classes])
        features = {"image": datasets.Image(mode="RGB"), "label": label, "file_name": datasets.Value("string")}
        if self.real_labels:
            features[REAL_LABELS] = datasets.Sequence(label)
        return datasets.Features(features)

    def info(self) -> datasets.DatasetInfo:
        """The description of the dataset, ``datasets.DatasetInfo``."""
        return datasets.DatasetInfo(
            description=DESCRIPTION + ("" if self.resize is None else RESIZED.format(self.resize)),
            citation=(lists.SPLIT_FILES / "citation.bib").read_text(encoding="utf-8"),
            homepage=HOMEPAGE,
            license=LICENSE,
            features=self.features(),
            supervised_keys=("image", "label"),
        )

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The key of the cache: the options, and the identity of the images and lists, not their location."""
        key = {name: value for name, value in self.chosen_options().items() if name not in CUSTOM.values()}
        if self.plan.columns.classes is not None:
            key["classes"] = self.plan.columns.classes  # however they were named
        key |= self.plan.key
        if self.in_place and self.data_dir is not None:
            # Rows in place are those of this folder; it need not be valid UTF-8.
            key["data_dir"] = os.fsencode(self.data_dir).decode(errors="backslashreplace")
        return str(super().create_config_id(key, custom_features))

    def chosen_options(self) -> dict[str, Any]:
        """The non-default options."""
        options = {name: getattr(self, name) for name in ImagenetSubsetsConfig.__annotations__}
        return {name: value for name, value in options.items() if value != getattr(ImagenetSubsetsConfig, name)}

    def _possible_subset(self) -> "dict[str, SplitList]":
        """All splits that this config can have, and their lists; ``test`` of ``lt`` is not the official test set."""
        names = dict(SUBSETS.get(self.name, CUSTOM))
        if self.name == "custom" and self.validation_list is None:
            names["validation"] = "validation"
        if self.name == "custom" and self.train_list is None:  # as datasets.get_dataset_infos asks for it
            del names["train"]
        held_out = ("holdout",) if self.holdout else ()
        subset = {split: SplitList(name, without=held_out * (name == "full")) for split, name in names.items()}
        if self.unlabeled:
            subset["unlabeled"] = SplitList(names["train"], complement=True, without=held_out)
        if self.holdout:
            subset["holdout"] = SplitList("holdout")
        subset.setdefault("test", SplitList("test"))
        return subset

    def _subset(self) -> "dict[str, SplitList]":
        """The splits to build and their lists; the official test images only if they are asked for."""
        possible = self._possible_subset().items()
        if self.splits is None:
            return {split: of_list for split, of_list in possible if of_list.name != "test"}
        subset = {split: of_list for split, of_list in possible if split in self.splits}
        if self.classes is not None and any(of_list.name == "test" for of_list in subset.values()):
            raise ValueError("The official test images have no labels, so classes=... cannot choose: leave out 'test'.")
        return subset


# -------------------------------------------------------- finds the reader of a clone that is not installed


def _clone() -> str | None:
    """The folder of the script that ``datasets`` was asked for, if the package is in it; else ``None``."""
    for frame, *_ in inspect.stack(0):
        path = frame.f_locals.get("path")
        if frame.f_globals.get("__name__") == "datasets.load" and isinstance(path, (str, os.PathLike)):
            for folder in (os.path.abspath(path), os.path.dirname(os.path.abspath(path))):
                if os.path.isdir(os.path.join(folder, "imagenet_reader")):
                    return folder
    return None


# datasets 2 and 3 run a copy of a script, and check its unindented imports first, which would fail in a clone that is
# not installed. Only the caller knows where the clone is; the path that datasets notes may be old.
if (clone := _clone()) is not None:
    sys.path.insert(0, clone)
try:
    from imagenet_reader import facts, lists
    from imagenet_reader.facts import ArchiveError
    from imagenet_reader.files import check_space, unused_cache
    from imagenet_reader.hf.builder import TableBuilder, is_small_dataset, without_empty_columns
    from imagenet_reader.hf.options import check_config_name, check_data_dir, check_names, check_options, check_split
    from imagenet_reader.hf.select import select_splits
    from imagenet_reader.index.kept import index_path
    from imagenet_reader.io import is_unreachable
    from imagenet_reader.io.paths import is_url, normalize_data_dir
    from imagenet_reader.io.remote import set_storage_options
    from imagenet_reader.layouts.archives import read_index
    from imagenet_reader.log import warn
    from imagenet_reader.own_lists import as_given
    from imagenet_reader.plan import Plan, SplitList
    from imagenet_reader.reading.addresses import SCHEME
    from imagenet_reader.reading.batches import BATCH_ROWS, Batch, Damage, Reader, read_batches
    from imagenet_reader.reading.in_place import ImagenetFileSystem
    from imagenet_reader.reading.pixels import as_benchmark
    from imagenet_reader.rows import REAL_LABELS, Columns, Rows
except ModuleNotFoundError as error:
    if error.name != "imagenet_reader":
        raise
    advice = "This script needs the package that it is a part of: pip install /path/to/the/clone"
    raise ModuleNotFoundError(advice, name=error.name) from None
finally:
    if clone is not None:  # spawned processes need it, too, but its other folders must not hide any package
        sys.path.remove(clone)
        sys.path.append(clone)

# In a clone that isn't installed, no entry point does this.
fsspec.register_implementation(SCHEME, ImagenetFileSystem, clobber=True)


# -------------------------------------------------------------------------------------- the builder


class ImagenetSubsets(TableBuilder):
    """Builder of the subsets. Rows: ``image`` (RGB), ``label`` (0 to 999), ``file_name``; perhaps ``real_labels``."""

    VERSION = datasets.Version(ROWS_VERSION)
    BUILDER_CONFIG_CLASS = ImagenetSubsetsConfig
    BUILDER_CONFIGS = [ImagenetSubsetsConfig(name=name, version=ROWS_VERSION) for name in (*SUBSETS, "custom")]  # noqa: RUF012
    DEFAULT_CONFIG_NAME = "1pct"
    DEFAULT_WRITER_BATCH_SIZE = BATCH_ROWS

    def __init__(self, *args: Any, data_dir: Any = None, **kwargs: Any):
        check_names(self.BUILDER_CONFIG_CLASS, kwargs)
        check_config_name(kwargs.get("config_name"), self.builder_configs)
        check_data_dir(data_dir)
        for option in CUSTOM.values():  # neither an array nor a generator can be compared with a default
            kwargs[option] = as_given(kwargs.get(option))
        self._damage = Damage()  # of all shards that this process reads
        self._source_options = kwargs.get("storage_options") or {}
        kwargs["storage_options"] = dict(self._source_options)  # datasets adds to them
        if data_dir is not None:  # one folder, one cache, however its path is written
            data_dir = normalize_data_dir(data_dir)
            set_storage_options(data_dir, self._source_options)
        kwargs["hash"] = ROWS_VERSION  # datasets passes that of a script's text: no comment shall cost a rebuild
        self._unreachable: OSError | None = None
        try:
            if data_dir is not None and is_url(data_dir) and datasets.config.HF_DATASETS_OFFLINE:
                raise ConnectionError("HF_DATASETS_OFFLINE=1")
            super().__init__(*args, data_dir=data_dir, **kwargs)
        except OSError as error:
            is_copy = not kwargs.get("in_place") and kwargs.get("features") is None
            if data_dir is None or not is_copy or not is_unreachable(data_dir, error):
                raise
            super().__init__(*args, data_dir=None, **kwargs)
            if not self.use_prepared(data_dir):
                raise
            self._unreachable = type(error)(f"{data_dir} cannot be reached: {error}")

    def _info(self) -> datasets.DatasetInfo:
        info, plan = self.config.info(), self.config.plan
        counts = {split: plan.count(split) for split in plan.subset}
        info.splits = _split_infos({split: count for split, count in counts.items() if count is not None})
        return info

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self._unreachable is not None:
            raise self._unreachable
        if self.config.data_dir is None:
            advice = facts.download_advice([facts.TRAIN_ARCHIVE, facts.VALIDATION_ARCHIVE])
            raise ValueError(f"data_dir is missing: pass the folder of the images. {facts.SUPPORTED_LAYOUTS} {advice}")
        splits, is_streaming = self.config.plan.splits, getattr(dl_manager, "is_streaming", False)
        if self.unfinished_dir is not None and not is_streaming:
            sizes = (int(split.reader.sizes(split.rows).sum()) for split in splits.values())
            needed = 0 if self.config.in_place else sum(sizes)
            advice = " (to write none, pass in_place=True; to write to another disk, pass cache_dir=... or set HF_HOME)"
            check_space(self.unfinished_dir, needed, f"the images of {self.config.name}", advice)
            self.write_record()
        # datasets compares what it has written with this, on every version; only reading finds damage that is skipped.
        rows = {name: len(split.rows) for name, split in splits.items()}
        self.info.splits = None if self.config.on_missing == "skip" and not is_streaming else _split_infos(rows)
        given = {name: {"reader": split.reader, "shards": split.shards} for name, split in splits.items()}
        return [datasets.SplitGenerator(name=name, gen_kwargs=of_split) for name, of_split in given.items()]

    def _generate_examples(self, reader: "Reader", shards: "list[Rows]") -> Iterator[Any]:
        for batch in self._read(reader, shards):
            for row in batch.table().to_pylist():
                yield row["file_name"], row

    def _generate_tables(self, reader: "Reader", shards: "list[Rows]") -> Iterator[Any]:
        if self.config.in_place:
            yield from enumerate(reader.tables(np.concatenate(shards), self.config.image_bytes))
            return
        for number, batch in enumerate(self._read(reader, shards)):
            yield number, batch.table()

    def _read(self, reader: "Reader", shards: "list[Rows]") -> "Iterator[Batch]":
        set_storage_options(self.config.data_dir, self._source_options)  # a spawned worker does not have them yet
        damage = self._damage if self.config.on_missing == "skip" else None
        return read_batches(reader, np.concatenate(shards), self.config.image_bytes, damage, self.threads)

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """As in ``datasets``; warns of images that were skipped."""
        if self._unreachable is not None:
            built = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.path.getmtime(self.cache_dir)))
            warn(f"{self._unreachable} The dataset that was built from it on {built} is loaded: {self.cache_dir}")
        self._warn_of_missing()
        return without_empty_columns(super().as_dataset(*args, **kwargs), self.config.plan)

    def as_streaming_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """As in ``datasets``; warns of images that are skipped."""
        if self.config.in_place:
            raise ValueError("in_place=True cannot be combined with streaming=True: leave one of them out.")
        dataset = super().as_streaming_dataset(*args, **kwargs)
        self._warn_of_missing()
        return without_empty_columns(dataset, self.config.plan)

    def _warn_of_missing(self) -> None:
        rows = {split: self.info.splits[split].num_examples for split in self.config.plan.subset}
        self.config.plan.warn_of_missing(rows)


def _split_infos(rows: dict[str, int]) -> datasets.SplitDict:
    return datasets.SplitDict.from_split_dict([{"name": split, "num_examples": count} for split, count in rows.items()])


def load_dataset(
    name: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    split: Any = None,
    cache_dir: str | os.PathLike[str] | None = None,
    features: datasets.Features | None = None,
    download_mode: datasets.DownloadMode | str | None = None,
    verification_mode: Any = None,
    keep_in_memory: bool | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    *,
    storage_options: dict[str, Any] | None = None,
    label_names: str = "wnid",
    splits: list[str] | None = None,
    on_missing: str = "error",
    image_bytes: str = "benchmark",
    unlabeled: bool = False,
    train_list: ImageList | None = None,
    validation_list: ImageList | None = None,
    classes: str | Sequence[str] | None = None,
    real_labels: bool = False,
    class_order: str = "sorted",
    holdout: bool = False,
    in_place: bool = False,
    resize: int | None = None,
    trust_remote_code: bool | None = None,
    **unknown: NoReturn,
) -> Any:
    """``datasets.load_dataset`` for this builder, on any version of datasets.

    Args:
        name: ``"1pct"`` (default), ``"10pct"``, ``"lt"``, ``"full"`` or ``"custom"``.
        data_dir: the folder of the images in any layout, a path or a URL such as ``s3://bucket/imagenet``.
        split, cache_dir, features, download_mode, verification_mode, keep_in_memory, streaming: as for
            ``datasets.load_dataset``.
        num_proc: the number of threads that read ahead, 8 by default; no process is started.
        storage_options: options of the ``fsspec`` file system of ``data_dir``, such as credentials, for this process.
        label_names: ``"wnid"`` (default, ``n01440764``) or ``"words"`` (``tench, Tinca tinca``).
        splits: names of the splits to build; only their archives are needed. By default all but the official ``test``
            images (label -1), which ``lt`` cannot have.
        on_missing: ``"error"`` (default), or ``"skip"`` to leave out images that are absent or damaged.
        image_bytes: ``"benchmark"`` (default), the images as TFDS and torchvision decode them (see ``as_benchmark``),
            or ``"archive"``, the bytes of the archive.
        unlabeled: of ``1pct`` and ``10pct``: adds the split ``unlabeled``, all other training images (label -1).
        train_list: of ``custom``: the images of ``train``, the path of a text file with one image per line, or such
            lines, see ``imagenet_reader.own_lists.read_image_list``.
        validation_list: of ``custom``: those of ``validation``; by default the official validation images.
        classes: a published set of classes, such as ``"imagenet100"`` (Tian et al. 2020), a list of wnids, or the path
            of a text file of them: only rows of these classes, whose labels count from 0.
        class_order: the order of those labels: ``"sorted"`` (default), that of the sorted wnids, or ``"published"``,
            that of the published set, or of the list.
        holdout: of ``1pct``, ``10pct`` and ``full``: adds the split ``holdout``, the 12,000 training images of PAWS
            (Assran et al. 2021) for choosing hyperparameters, and takes them out of ``unlabeled``, and of ``full``.
        real_labels: adds the column ``real_labels`` to splits of official validation images: their ReaL labels (Beyer
            et al. 2020), a list per row, which is empty for 3,163 images.
        in_place: leaves the images in the archives: rows store image locations instead of copies.
        resize: such as 256, for faster training: images whose shorter side has more pixels become JPEGs (quality 90,
            4:2:0) with that shorter side; others keep their bytes. These are not the benchmark's pixels.
        trust_remote_code: is accepted and has no effect, as in datasets 4 and later.

    Returns:
        ``DatasetDict``, or the ``Dataset`` of ``split``; streaming ones if ``streaming`` is true.

    Raises:
        FileNotFoundError: an archive does not exist.
        ArchiveError: an archive is not what it should be, or lacks images.
        OSError: the disk of the cache has too little space, or cannot be written.
        ValueError: an unknown name or option.

    Example:

        >>> imagenet_subsets.load_dataset("1pct", data_dir="/data/imagenet", split="train").num_rows
        12811
    """
    given = locals()
    options = {option: given[option] for option in ImagenetSubsetsConfig.__annotations__} | unknown
    if streaming and num_proc is not None:
        raise NotImplementedError("A streaming dataset is not prepared, so leave out num_proc with streaming=True.")
    options |= {"config_name": name, "data_dir": data_dir, "features": features, "storage_options": storage_options}
    if streaming:
        with unused_cache() as unused:
            return ImagenetSubsets(cache_dir=cache_dir or unused, **options).as_streaming_dataset(split=split)
    builder = ImagenetSubsets(cache_dir=cache_dir, **options)
    if split is not None and str(split).isidentifier() and str(split) != "all":  # not an instruction: train[:10%]
        check_split(split, builder.config.plan.subset)  # before anything is built
    builder.download_and_prepare(download_mode=download_mode, verification_mode=verification_mode, num_proc=num_proc)
    if keep_in_memory is None:
        keep_in_memory = is_small_dataset(builder.info.dataset_size)
    return builder.as_dataset(split=split, in_memory=keep_in_memory)


def select(
    dataset: Any,
    name: str | None = "1pct",
    split: Any = None,
    *,
    label_names: str = "wnid",
    splits: list[str] | None = None,
    unlabeled: bool = False,
    train_list: ImageList | None = None,
    validation_list: ImageList | None = None,
    on_missing: str = "error",
    classes: str | Sequence[str] | None = None,
    real_labels: bool = False,
    class_order: str = "sorted",
    holdout: bool = False,
    **unknown: NoReturn,
) -> Any:
    """The rows of a config out of an ImageNet that is already loaded, such as ``ILSVRC/imagenet-1k`` from the Hub.

    They are those of ``load_dataset``, in its order and with its features, but refer to the image bytes in the Arrow
    files of ``dataset``: none is copied or decoded.

    Args:
        dataset: a ``Dataset`` or ``DatasetDict`` that names its images, in the paths of its column of images, in a
            column ``file_name``, or in the columns of WebDataset tars. A streaming one gives a streaming result, in its
            own order.
        split: the one split to return.
        name and all others: as for ``load_dataset``.

    Returns:
        ``DatasetDict``, or the ``Dataset`` of ``split``. A ``Dataset`` gives only splits that it holds images of.

    Raises:
        ArchiveError: images are absent; not of a streaming dataset, where only its end would tell.
        TypeError: ``dataset`` is no dataset.
        ValueError: the dataset does not name its images, its own labels say other classes, or an option is unknown.

    Example:

        >>> imagenet = datasets.load_dataset("ILSVRC/imagenet-1k")
        >>> imagenet_subsets.select(imagenet, "1pct")["train"].num_rows
        12811
    """
    given = locals()
    options = {option: given[option] for option in ImagenetSubsetsConfig.__annotations__ if option in given}
    if isinstance(dataset, str) and not isinstance(name, str):
        raise TypeError(f"The dataset is the first argument: imagenet_subsets.select(dataset, {dataset!r:.200}).")
    if unknown:
        raise ValueError(f"select has no option {min(unknown)!r}; the options are {', '.join(sorted(options))}.")
    name = "1pct" if name is None else name
    check_config_name(name, [*SUBSETS, "custom"])
    if name == "custom" and train_list is None:
        raise ValueError("The config 'custom' needs train_list=...")
    options |= {option: as_given(options[option]) for option in CUSTOM.values()}
    config = ImagenetSubsetsConfig(name=name, version=ROWS_VERSION, **options)
    return select_splits(dataset, config.plan, config.info(), split)


def torchvision_dataset(
    name: str | None = None,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    transform: Any = None,
    target_transform: Any = None,
    **options: Any,
) -> Any:
    """A split as torchvision's ``ImageFolder``, whose images are read in place: no tree of files is needed.

    Args:
        split: the name of one split; only its archive is needed.
        transform, target_transform: as for ``torchvision.datasets.ImageFolder``.
        name, data_dir, options: as for ``load_dataset``, but ``image_bytes`` is ``"archive"`` by default.

    Returns:
        ``torchvision.datasets.ImageFolder`` of (image, label), in row order. Its ``samples`` have the paths
        ``<data_dir>/<wnid>/<file name>``, and may be replaced: images are found by the base names of their paths.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
        OSError, ValueError: as ``load_dataset``; ``FileNotFoundError`` for paths that name no image of the split.

    Example:

        >>> imagenet_subsets.torchvision_dataset("1pct", data_dir="/data/imagenet", transform=ToTensor())[0][1]
        726
    """
    try:
        from imagenet_reader.hf.torchvision import InPlaceFolder
    except ModuleNotFoundError:
        raise ModuleNotFoundError("This dataset needs torchvision: pip install torch torchvision") from None
    options = {"image_bytes": "archive", "splits": [split]} | options
    rows = load_dataset(name, data_dir, split, in_place=True, **options)
    return InPlaceFolder(rows, os.fspath(data_dir or ""), transform, target_transform)
