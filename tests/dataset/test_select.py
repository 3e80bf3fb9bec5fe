"""Subsets of a dataset that is already loaded."""

import hashlib
import itertools

import datasets
import pytest
from helpers.rows import published_rows, rows_of
from makers.layouts import hub_parquet, label_of, train_images, validation_images, webdataset

import imagenet_subsets
from imagenet_reader import lists
from imagenet_subsets import ArchiveError

pytestmark = pytest.mark.filterwarnings("ignore:.*left out")
COLUMNS = ["image", "label", "file_name"]


@pytest.fixture(scope="module")
def files(standins_1pct, tmp_path_factory):
    """A folder with the Hub's Parquet files of 1pct, with every 25th validation image."""
    folder = tmp_path_factory.mktemp("hub")
    validation = dict(list(validation_images(standins_1pct).items())[::25])
    hub_parquet(train_images(standins_1pct) | validation, folder)
    return folder


def of_datasets(files, **options):
    """What ``datasets`` loads from them."""
    data_files = {split: str(files / "data" / f"{split}-*.parquet") for split in ("train", "validation")}
    return datasets.load_dataset("parquet", data_files=data_files, **options)


@pytest.fixture(scope="module")
def imagenet(files, tmp_path_factory):
    return of_datasets(files, cache_dir=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    """The dataset that ``load_dataset`` gives."""
    options = {"on_missing": "skip", "image_bytes": "archive", "cache_dir": str(tmp_path_factory.mktemp("loaded"))}
    return imagenet_subsets.load_dataset("1pct", data_dir=str(files), **options)


def arrow(dataset):
    return dataset.with_format("arrow")[:]


def images(dataset):
    return [image["bytes"] for image in arrow(dataset)["image"].to_pylist()]


def assert_same(selected, expected):
    assert selected.features == expected.features and selected.column_names == COLUMNS
    assert rows_of(selected) == rows_of(expected)
    assert images(selected) == images(expected)


def test_rows_are_those_of_load_dataset(imagenet, expected):
    with pytest.warns(UserWarning, match="48,000 of 50,000 in validation"):
        selected = imagenet_subsets.select(imagenet, "1pct", on_missing="skip")
    assert list(selected) == ["train", "validation"]
    for split in selected:
        assert_same(selected[split], expected[split])
        assert selected[split].split == split
    assert selected["train"][0]["image"].mode == "RGB"
    assert rows_of(selected["train"]) == published_rows("1pct", "train")
    assert list(imagenet_subsets.select(imagenet["train"], "1pct")) == ["train"]


def test_only_the_requested_split_must_be_complete(imagenet, expected):
    assert_same(imagenet_subsets.select(imagenet, "1pct", split="train"), expected["train"])


def test_no_image_is_copied_or_written(imagenet, tmp_path):
    before = {file["filename"] for split in imagenet.values() for file in split.cache_files}
    selected = imagenet_subsets.select(imagenet, "1pct", splits=["train"])["train"]
    assert {file["filename"] for file in selected.cache_files} <= before
    source = imagenet["train"].data.column("image")
    addresses = {chunk.field(0).buffers()[2].address for chunk in source.chunks}
    column = selected.data.column("image")
    assert {chunk.field(0).buffers()[2].address for chunk in column.chunks} <= addresses


def saved(dataset, folder):
    dataset.save_to_disk(str(folder))
    return datasets.load_from_disk(str(folder))


CHANGES = {
    "sharded": lambda rows, folder: datasets.concatenate_datasets([rows.shard(3, k) for k in (2, 0, 1)]),
    "twice": lambda rows, folder: datasets.concatenate_datasets([rows, rows.shuffle(seed=1)]),
    "saved and shuffled": lambda rows, folder: saved(rows, folder).shuffle(seed=1),
    "formatted": lambda rows, folder: rows.with_format("numpy"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_datasets(change, imagenet, expected, tmp_path):
    """Of the Hub's rows, and of rows whose table is in the order of the subset while their indices are not."""
    of_the_hub = CHANGES[change](imagenet["train"], tmp_path / "hub")
    assert_same(imagenet_subsets.select(of_the_hub, "1pct", split="train", on_missing="skip"), expected["train"])
    for split in ("train", "validation"):
        source = CHANGES[change](expected[split], tmp_path / split)
        assert_same(imagenet_subsets.select(source, "1pct", split=split, on_missing="skip"), expected[split])


def test_images_of_several_datasets(imagenet, expected):
    both = datasets.concatenate_datasets([imagenet["validation"], imagenet["train"]])
    assert_same(imagenet_subsets.select(both, "1pct", split="train", on_missing="skip"), expected["train"])
    halves = datasets.DatasetDict({"a": imagenet["train"].shard(2, 0), "b": imagenet["train"].shard(2, 1)})
    assert_same(imagenet_subsets.select(halves, "1pct", split="train", splits=["train"]), expected["train"])


def test_names_of_a_column(expected):
    content = [{"bytes": content, "path": None} for content in images(expected["train"])]
    columns = {"image": content, "file_name": expected["train"]["file_name"][:]}
    features = datasets.Features({"image": datasets.Image(), "file_name": datasets.Value("string")})
    train = datasets.Dataset.from_dict(columns, features=features).shuffle(seed=1)
    assert_same(imagenet_subsets.select(train, "1pct", split="train", splits=["train"]), expected["train"])


@pytest.mark.parametrize("numbered", [False, pytest.param(True, marks=pytest.mark.once)])
def test_webdataset(numbered, standins_1pct, imagenet, expected, tmp_path):
    names = expected["train"]["file_name"][:300]
    webdataset({name: train_images(standins_1pct)[name] for name in names}, tmp_path / "wds", numbered=numbered)
    shards = sorted(str(path) for path in (tmp_path / "wds").rglob("*.tar"))
    train = datasets.load_dataset("webdataset", data_files={"train": shards}, cache_dir=str(tmp_path / "cache"))
    selected = imagenet_subsets.select(train, "custom", split="train", splits=["train"], train_list=names)
    of_parquet = imagenet_subsets.select(imagenet, "custom", split="train", splits=["train"], train_list=names)
    assert_same(selected, of_parquet)


def test_streaming(files, expected):
    stream = of_datasets(files, streaming=True)
    selected = imagenet_subsets.select(stream, "1pct")
    assert selected["train"].n_shards == stream["train"].n_shards
    for split in ("train", "validation"):
        stream = selected[split].cast_column("image", datasets.Image(decode=False))
        batches = stream.iter(batch_size=100)  # datasets 2.19 copies the class names for each step
        rows = [dict(zip(batch, row)) for batch in batches for row in zip(*batch.values())]
        loaded = dict(zip([name for name, _ in rows_of(expected[split])], images(expected[split])))
        assert {row["file_name"]: row["image"]["bytes"] for row in rows} == loaded
        assert sorted((row["file_name"], row["label"]) for row in rows) == sorted(rows_of(expected[split]))
    assert next(iter(selected["train"]))["image"].mode == "RGB"
    assert selected["train"].features == expected["train"].features


def test_some_classes_and_real_labels(files, imagenet, tmp_path):
    options = {"classes": lists.read_wnids()[:40], "real_labels": True, "on_missing": "skip"}
    of_files = {"data_dir": str(files), "image_bytes": "archive", "cache_dir": str(tmp_path)}
    loaded = imagenet_subsets.load_dataset("1pct", **of_files, **options)
    selected = imagenet_subsets.select(imagenet, "1pct", **options)
    streams = imagenet_subsets.select(of_datasets(files, streaming=True), "1pct", **options)
    for split, expected in loaded.items():
        assert selected[split].features == streams[split].features == expected.features
        columns = expected.remove_columns("image")
        assert selected[split].remove_columns("image")[:] == columns[:]
        assert images(selected[split]) == images(expected)
        rows = [dict(row, image=None) for row in streams[split]]
        assert sorted(rows, key=str) == sorted([dict(row, image=None) for row in columns], key=str)
    assert loaded["validation"]["real_labels"][:].count([]) < len(loaded["validation"]) > 0


def nameless(both):
    """A dataset that does not say which image is which."""
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    return datasets.Dataset.from_dict({"image": [{"bytes": b"x", "path": None}], "label": [0]}, features=features)


def only_validation(both):
    return datasets.DatasetDict(validation=both["validation"])


def streamed(splits):
    return datasets.IterableDatasetDict({split: rows.to_iterable_dataset() for split, rows in splits.items()})


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda both: both, {}, ArchiveError, r"lacks .* of the 50,000 images that 1pct has in validation"),
        (lambda both: both["train"].select(range(9_000)), {}, ArchiveError, r"n\d{8}_\d+\.JPEG.*on_missing='skip'"),
        (lambda both: both["train"], {"split": "validation"}, ArchiveError, "has no image of validation of 1pct"),
        (lambda both: both, {"splits": ["test"], "on_missing": "skip"}, ArchiveError, "of test of 1pct.$"),
        (only_validation, {}, ArchiveError, 'has no image of train of 1pct.*pass split="validation"'),
        (lambda both: streamed(only_validation(both)), {}, ValueError, 'Expected a split train.*split="validation"'),
        (nameless, {}, ValueError, r"does not say which image is which.*expected .*; found .*image"),
        (
            lambda both: both["train"].remove_columns("image"),
            {},
            ValueError,
            r"none in the columns label\. .*cast_column",
        ),
        (lambda both: both, {"resize": 256}, ValueError, "no option 'resize'"),
        (lambda both: both, {"split": "val"}, ValueError, "Unknown split"),
        (lambda both: both, {"name": "2pct"}, ValueError, "'2pct' not found.*'10pct'"),
        (lambda both: "ILSVRC/imagenet-1k", {}, TypeError, "Expected a dataset.*found str"),
        (lambda both: "1pct", {"name": datasets.DatasetDict()}, TypeError, r"select\(dataset, '1pct'\)"),
    ],
)
def test_what_cannot_be_selected(make, options, error, message, imagenet):
    dataset = make(imagenet)
    with pytest.raises(error, match=message):
        imagenet_subsets.select(dataset, **{"name": "1pct", **options})


def test_a_dataset_in_place_of_the_folder(imagenet):
    with pytest.raises(TypeError, match=r"data_dir is a DatasetDict.*select\(dataset"):
        imagenet_subsets.load_dataset("1pct", imagenet)


def relabelled(train):
    """The images, each with the label of the next class."""
    numbers = datasets.Dataset.from_dict({"label": [label + 1 for label in train["label"][:]]})
    return datasets.concatenate_datasets([train.remove_columns("label"), numbers], axis=1)


def test_streams_that_cannot_be_selected_from(expected):
    """Because ``datasets`` has decoded their images, or lost their features or names."""
    train = expected["train"].select(range(40)).remove_columns("file_name")
    steps = {
        "already decoded|does not say what its columns are": lambda stream: stream.filter(bool),
        "does not say what its columns are": lambda stream: stream.map(dict),
        r"found paths of image: \[(None|''), (None|''), (None|'')\]": lambda stream: stream.remove_columns("label"),
    }
    for message, step in steps.items():
        with pytest.raises(ValueError, match=rf"({message}).*take them after select"):
            list(imagenet_subsets.select(step(train.to_iterable_dataset()), "1pct", split="train"))
    wrong = relabelled(train).to_iterable_dataset()
    with pytest.raises(ValueError, match=r"select_columns\(\['image'\]\)"):
        list(imagenet_subsets.select(wrong, "1pct", split="train"))
    assert len(list(imagenet_subsets.select(wrong.select_columns(["image"]), "1pct", split="train"))) == 40


def test_splits_without_a_list(imagenet):
    """``full`` and ``unlabeled`` of the existing images, of which 1pct has 12,811."""
    full = imagenet_subsets.select(imagenet, "full", split="train", on_missing="skip")
    paths = [image["path"] for image in arrow(imagenet["train"])["image"].to_pylist()]
    names = sorted(path.rpartition("_")[0] + ".JPEG" for path in paths)
    assert sorted(rows_of(full)) == [(name, label_of(name)) for name in names]
    assert rows_of(full) == sorted(rows_of(full), key=lambda row: hashlib.sha256(row[0].encode()).digest())
    unlabeled = imagenet_subsets.select(imagenet, "1pct", split="unlabeled", unlabeled=True, on_missing="skip")
    listed = {name for name, _ in published_rows("1pct", "train")}
    assert sorted(rows_of(unlabeled)) == [(name, -1) for name in names if name not in listed]


def test_labels_of_other_classes(imagenet, expected):
    other, options = relabelled(imagenet["train"]), {"split": "train", "splits": ["train"]}
    with pytest.raises(ValueError, match=r"n\d{8}_\d+\.JPEG: \d+ instead of \d+.*select_columns\(\['image'\]\)"):
        imagenet_subsets.select(other, "1pct", **options)
    names = imagenet["train"].features["label"].names
    same = other.cast_column("label", datasets.ClassLabel(names=[*names[-1:], *names[:-1], "none"]))
    assert_same(imagenet_subsets.select(same, "1pct", **options), expected["train"])


@pytest.mark.skipif(not hasattr(datasets.IterableDataset, "state_dict"), reason="datasets 2.19 cannot resume streams")
def test_a_resumed_stream_has_all_rows(imagenet):
    def stream():
        shards = imagenet["validation"].to_iterable_dataset(num_shards=7)
        selected = imagenet_subsets.select(shards, "1pct", split="validation")
        return selected.cast_column("image", datasets.Image(decode=False))

    first, second = stream(), stream()
    names = [row["file_name"] for row in itertools.islice(first, 350)]
    second.load_state_dict(first.state_dict())
    assert names + [row["file_name"] for row in second] == [row["file_name"] for row in stream()]


def test_some_images_without_names(expected):
    """They are left out, also where a batch of a stream has no other ones."""
    train = expected["train"].select(range(150)).remove_columns("file_name")
    content = [{"bytes": content, "path": None} for content in images(train)]
    rows = {"image": content, "label": train["label"][:]}
    nameless = datasets.Dataset.from_dict(rows, features=train.features)
    both = datasets.concatenate_datasets([train, nameless])
    assert len(imagenet_subsets.select(both, "1pct", split="train", on_missing="skip")) == 150
    stream = both.to_iterable_dataset().with_format("arrow")
    assert len(list(imagenet_subsets.select(stream, "1pct", split="train"))) == 150
