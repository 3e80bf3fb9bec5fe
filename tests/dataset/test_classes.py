"""Some classes only, and the ReaL labels."""

import collections

import datasets
import pytest
from datasets.info import DatasetInfosDict
from helpers.layout_rows import LAYOUTS
from helpers.rows import WAYS, load, published_rows, rows_of, streamed
from huggingface_hub import DatasetCard
from makers.images import numbered_jpeg
from makers.layouts import official_tars

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.lists import incompleteness
from imagenet_subsets import ArchiveError
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.longtail import images_per_class

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.usefixtures("lists_are_read_once")]

FISHES = ["n01443537", "n01440764", "n01484850"]  # labels 1, 0 and 2


def expected_rows(config, split, wnids):
    """[(file name, new label)] in row order, from the published lists."""
    label_of = {lists.label_of_wnid()[wnid]: label for label, wnid in enumerate(sorted(wnids))}
    return [(name, label_of[label]) for name, label in published_rows(config, split) if label in label_of]


def expected_real_labels(name):
    return lists.read_real_labels()[int(name[15:23]) - 1]


@pytest.fixture(scope="module")
def imagenet100(standins_1pct, tmp_path_factory):
    options = {"classes": "imagenet100", "real_labels": True, "cache_dir": str(tmp_path_factory.mktemp("cache"))}
    return load("package", "1pct", data_dir=str(standins_1pct), **options)


def test_only_rows_of_the_classes(imagenet100):
    wnids = lists.read_class_set("imagenet100")
    assert (imagenet100["train"].num_rows, imagenet100["validation"].num_rows) == (1278, 5000)
    for split, dataset in imagenet100.items():
        assert rows_of(dataset) == expected_rows("1pct", split, wnids)
        assert dataset.features["label"].names == sorted(wnids)
        assert all(is_the_image for _, _, is_the_image in streamed(dataset.select(range(300))))


def test_real_labels_are_in_validation_splits_only(imagenet100):
    assert "real_labels" not in imagenet100["train"].features
    validation = imagenet100["validation"]
    assert validation.features["real_labels"].feature.names == validation.features["label"].names
    rank = {lists.label_of_wnid()[wnid]: k for k, wnid in enumerate(validation.features["label"].names)}
    names = validation["file_name"][:]
    due = [[rank[label] for label in expected_real_labels(name) if label in rank] for name in names]
    assert validation["real_labels"][:] == due
    assert {label for labels in due for label in labels} == set(range(100))


def test_real_labels_of_all_classes(standins_1pct, tmp_path):
    options = {"splits": ["validation"], "real_labels": True, "in_place": True, "cache_dir": str(tmp_path)}
    dataset = imagenet_subsets.load_dataset("1pct", data_dir=str(standins_1pct), split="validation", **options)
    found = dataset["real_labels"][:]
    assert found == lists.read_real_labels() and found.count([]) == 3163


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_load(way, imagenet100, standins_1pct, tmp_path):
    options = {"data_dir": str(standins_1pct), "real_labels": True, "cache_dir": str(tmp_path)}
    streams = load(way, "1pct", classes="imagenet100", streaming=True, **options)
    for split, stream in streams.items():
        assert stream.features == imagenet100[split].features
        columns = [column for column in stream.features if column != "image"]
        rows = list(stream.cast_column("image", datasets.Image(decode=False)).take(30))
        expected = imagenet100[split].select(range(30)).select_columns(columns)
        assert [{column: row[column] for column in columns} for row in rows] == list(expected)
    loaded = load(way, "1pct", classes=FISHES, **options)
    assert {split: rows_of(rows) for split, rows in loaded.items()} == {
        split: expected_rows("1pct", split, FISHES) for split in streams
    }


def test_joined_splits_keep_the_column(standins_1pct, tmp_path):
    options = {"classes": FISHES, "real_labels": True, "cache_dir": str(tmp_path), "data_dir": str(standins_1pct)}
    joined, train = imagenet_subsets.load_dataset("1pct", split=["train+validation[:1]", "train[:50%]"], **options)
    labels = joined["real_labels"][:]
    assert labels[-1] is not None and set(map(type, labels[:-1])) == {type(None)}
    assert train.column_names == ["image", "label", "file_name"]


@pytest.fixture
def cache(standins_1pct):
    """``cache(classes, ...)``: the folder of the cache of these classes of 1pct."""

    def cache(classes, **options):
        options |= {"data_dir": str(standins_1pct), "classes": classes}
        return imagenet_subsets.ImagenetSubsets(config_name="1pct", **options).cache_dir

    return cache


def test_names_of_classes_do_not_change_the_cache(cache, tmp_path):
    wnids = lists.read_class_set("imagenet100")
    text = tmp_path / "imagenet100.txt"
    text.write_text("".join(f"{wnid} words\r\n\r\n" for wnid in wnids), encoding="utf-8-sig")
    assert cache("imagenet100") == cache(wnids) == cache(sorted(wnids)) == cache(str(text)) == cache(text)
    assert cache(FISHES) != cache(wnids)
    text.write_text("")
    with pytest.raises(ValueError, match=r"imagenet100.txt': expected one of"):
        cache(str(text))


def in_order(dataset, wnids):
    """The rows of a dataset, with labels that are places in ``wnids`` instead of ranks."""
    return [(name, wnids.index(dataset.features["label"].names[label])) for name, label in rows_of(dataset)]


@pytest.mark.parametrize("way", WAYS)
def test_labels_in_published_order(way, imagenet100, standins_1pct, tmp_path):
    options = {"classes": "imagenet100", "class_order": "published", "cache_dir": str(tmp_path)}
    loaded = load(way, "1pct", data_dir=str(standins_1pct), real_labels=True, **options)
    wnids = lists.read_class_set("imagenet100")
    assert loaded["train"].features["label"].str2int("n02869837") == 0
    for split, dataset in loaded.items():
        assert dataset.features["label"].names == wnids
        assert rows_of(dataset) == in_order(imagenet100[split], wnids)
    names = imagenet100["validation"].features["label"].names
    due = [{names[label] for label in labels} for labels in imagenet100["validation"]["real_labels"][:]]
    assert [{wnids[label] for label in labels} for labels in loaded["validation"]["real_labels"][:]] == due


def test_order_of_a_list_of_classes(cache):
    orders = [cache(FISHES, class_order="published"), cache(FISHES[::-1], class_order="published"), cache(FISHES)]
    assert len(set(orders)) == 3 and cache(FISHES[::-1]) == orders[2]
    counts = images_per_class("lt", classes=FISHES, class_order="published").tolist()
    assert counts == images_per_class("lt")[[1, 0, 2]].tolist()
    with pytest.raises(ValueError, match="class_order='published' is the order of the classes that classes="):
        cache(None, class_order="published")
    with pytest.raises(ValueError, match=r"class_order='cmc' is not known; choose one of \['sorted', 'published'\]"):
        cache(FISHES, class_order="cmc")


def test_select_in_published_order(imagenet100):
    options = {"classes": "imagenet100", "class_order": "published", "split": "train"}
    selected, wnids = imagenet_subsets.select(imagenet100, "1pct", **options), lists.read_class_set("imagenet100")
    assert selected.features["label"].names == wnids
    assert rows_of(selected) == in_order(imagenet100["train"], wnids)


def test_own_list_and_words(standins_1pct, tmp_path):
    own = [name for name, _ in published_rows("1pct", "train")[:200]]
    options = {"classes": [own[0][:9]], "label_names": "words", "splits": ["train"], "cache_dir": str(tmp_path)}
    options |= {"train_list": own, "data_dir": str(standins_1pct)}
    train = imagenet_subsets.load_dataset("custom", split="train", **options)
    assert rows_of(train)[0] == (own[0], 0)
    assert train.features["label"].names == [dict(lists.read_classes())[own[0][:9]]]
    other = next(wnid for wnid in lists.read_wnids() if wnid not in {name[:9] for name in own})
    with pytest.raises(ValueError, match="train_list has no image of the chosen classes"):
        imagenet_subsets.load_dataset("custom", **{**options, "classes": [other]})


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("podnet", r"Did you mean 'podnet100'\? Expected one of \['imagenet100', 'podnet100', 'gcd100', 'lucir100', "),
        ("fishes", r"'fishes' is not .* classes. Expected one of .* 'imagenet_a', 'imagenet_r'\], or a list of wnids"),
        ("n01440764", r"For one class, pass classes=\['n01440764'\]"),
        (["n01440764", "n00000001"], "1 of 2 are not among the 1,000 wnids: n00000001"),
        ([], r"classes=\[\]: expected one of"),
        (["n01440764", "n01443537", "n01440764"], "each wnid once, but these are repeated: n01440764"),
    ],
)
def test_wrong_classes(classes, message):
    with pytest.raises(ValueError, match=message):
        imagenet_subsets.load_dataset("1pct", data_dir="/nowhere", classes=classes)
    with pytest.raises(ValueError, match=message):
        imagenet_subsets.select(datasets.DatasetDict(), "1pct", classes=classes)


def test_parquet_for_the_hub(standins_1pct, tmp_path):
    build = ["build", "1pct", "--data-dir", str(standins_1pct), "--output-dir", str(tmp_path / "hub")]
    assert main([*build, "--classes", *FISHES, "--real-labels"]) == 0
    loaded = datasets.load_dataset(str(tmp_path / "hub"), "1pct", cache_dir=str(tmp_path / "cache"))
    config = imagenet_subsets.ImagenetSubsetsConfig(name="1pct", classes=FISHES, real_labels=True)
    for split, dataset in loaded.items():
        assert dataset.features == config.features()
        assert rows_of(dataset) == expected_rows("1pct", split, FISHES)
    assert set(map(type, loaded["train"]["real_labels"][:])) == {type(None)}
    due = [
        [label for label in expected_real_labels(name) if label < len(FISHES)]
        for name, _ in expected_rows("1pct", "validation", FISHES)
    ]
    assert loaded["validation"]["real_labels"][:] == due
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert "`label`: 0 to 2" in card and "the 3 classes" in card and "| real.json | 50,000 |" in card
    infos = DatasetInfosDict.from_dataset_card_data(DatasetCard(card).data)["1pct"]
    assert {split: info.num_examples for split, info in infos.splits.items()} == {"train": 38, "validation": 150}


def of_two_classes(*names):
    """The images of these lists that are of two of the fishes."""
    return {name for of in names for name, label in lists.read_split_list(of) if label < 2}


@pytest.fixture(scope="module")
def all_of_two_classes(tmp_path_factory):
    """A folder with 800 images of each of two classes, and some of another."""
    folder = tmp_path_factory.mktemp("full")
    names = sorted(of_two_classes("10pct", "lt_train", "lt_validation", "holdout"))
    count = collections.Counter(name[:9] for name in names)
    names += [f"{wnid}_{99_000 + k}.JPEG" for wnid in FISHES[:2] for k in range(800 - count[wnid])]
    names += [f"{FISHES[2]}_{k}.JPEG" for k in range(3)]
    images = {name: numbered_jpeg(k) for k, name in enumerate(names)}
    official_tars(images, folder)
    return folder, images


@pytest.mark.filterwarnings("ignore:.*read once")
@pytest.mark.parametrize("layout", ["archives", "extracted", "kaggle tar.gz"])
def test_full_and_unlabeled_of_some_classes(layout, all_of_two_classes, tmp_path):
    folder, images = all_of_two_classes
    if layout != "archives":
        folder = tmp_path / "data"
        LAYOUTS[layout](images, folder)
    options = {"data_dir": str(folder), "classes": FISHES[:2], "cache_dir": str(tmp_path / "cache")}
    full = imagenet_subsets.load_dataset("full", splits=["train"], split="train", **options)
    assert collections.Counter(full["label"][:]) == {0: 800, 1: 800}
    every = {name for name in images if name[:9] in FISHES[:2]}
    ten, held = of_two_classes("10pct"), of_two_classes("holdout")
    assert sorted(full["file_name"][:]) == sorted(every)
    unlabeled = {"splits": ["unlabeled"], "unlabeled": True, "split": "unlabeled"}
    for holdout, rest in ((False, every - ten), (True, every - ten - held)):
        rows = imagenet_subsets.load_dataset("10pct", holdout=holdout, **unlabeled, **options)
        assert sorted(rows_of(rows)) == [(name, -1) for name in sorted(rest)]
    parts = imagenet_subsets.load_dataset("full", splits=["train", "holdout"], holdout=True, **options)
    assert rows_of(parts["holdout"]) == [(name, int(name[:9] == FISHES[0])) for name in sorted(held)]
    assert sorted(parts["train"]["file_name"][:]) == sorted(every - held)


def test_incomplete_classes(all_of_two_classes, tmp_path):
    options = {"data_dir": str(all_of_two_classes[0]), "splits": ["train"], "cache_dir": str(tmp_path)}
    with pytest.raises(ArchiveError, match="too few or too many images of 1 classes: n01484850 has 3; expected 732"):
        imagenet_subsets.load_dataset("full", classes=FISHES, **options)
    skipping = imagenet_subsets.load_dataset("full", classes=FISHES, on_missing="skip", split="train", **options)
    assert collections.Counter(skipping["label"][:]) == {0: 800, 1: 800, 2: 3}


@pytest.mark.parametrize("streaming", [False, True])
def test_select_compares_labels_in_published_order(streaming, imagenet100):
    """A source may number its labels, named or not, in any order that it names, and unnamed as asked for."""
    wnids, train = lists.read_class_set("imagenet100"), imagenet100["train"].remove_columns("label")
    labels = [label for _, label in in_order(imagenet100["train"], wnids)]
    options = {"classes": "imagenet100", "class_order": "published", "split": "train"}
    for feature in (datasets.Value("int64"), datasets.ClassLabel(names=wnids)):
        source = train.add_column("label", labels).cast_column("label", feature)
        source = source.to_iterable_dataset() if streaming else source
        selected = imagenet_subsets.select(source, "1pct", **options)
        assert selected.features["label"].names == wnids
        rows = list(selected.cast_column("image", datasets.Image(decode=False)))
        assert sorted((row["file_name"], row["label"]) for row in rows) == sorted(zip(train["file_name"][:], labels))
        if feature == datasets.Value("int64"):
            with pytest.raises(ValueError, match="label differs from the published lists"):
                list(imagenet_subsets.select(source, "1pct", **{**options, "class_order": "sorted"}))


def test_absent_images_of_the_classes():
    names = sorted(name for name in of_two_classes("10pct", "lt_train", "lt_validation") if name[:9] == FISHES[0])
    others = [f"{FISHES[0]}_{99_000 + k}.JPEG" for k in range(1300 - len(names))]
    assert incompleteness([*names, *others], [1] * 1300, (1,)) == ""
    found = incompleteness([*names[1:], *others], [1] * 1299, (1,))
    assert found == f"lacks 1 images of the published lists: {names[0]}"
