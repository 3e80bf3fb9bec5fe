"""The training images that PAWS holds out: the split ``holdout``, and what it is taken from."""

import datasets
import pytest
from helpers.rows import rows_of
from makers.images import numbered_jpeg
from makers.layouts import official_tars

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.lists import TRAIN_IMAGES, read_split_list
from imagenet_subsets_tools.build import build_parquet
from imagenet_subsets_tools.export import export_images
from imagenet_subsets_tools.lists import list_lines, published_text

pytestmark = pytest.mark.oldest_and_newest

FISHES = ["n01440764", "n01443537"]


def test_rows_are_the_published_list():
    held = dict(read_split_list("holdout"))
    text = published_text(lists.SPLIT_FILES, "holdout.parquet", "{wnid}_{number}.JPEG").splitlines()
    for config in ("1pct", "10pct", "full"):
        assert list(list_lines(config, "holdout")) == sorted(text) == sorted(held)
        assert list(list_lines(config, "holdout", "published")) == text
    assert not held.keys() & (dict(read_split_list("1pct")) | dict(read_split_list("10pct"))).keys()
    assert [*held.values()] == [label for label in range(1000) for _ in range(12)]


def test_select():
    """From the images of 10pct, those held out, and two others, of two classes."""
    labels = {name: label for of in ("10pct", "holdout") for name, label in read_split_list(of) if label < 2}
    labels |= {"n01440764_99999.JPEG": 0, "n01443537_99999.JPEG": 1}
    columns = {"image": [{"bytes": b"", "path": name} for name in labels], "label": list(labels.values())}
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    source = datasets.Dataset.from_dict(columns, features)
    options = {"holdout": True, "classes": FISHES, "on_missing": "skip"}
    selected = imagenet_subsets.select(source, "10pct", unlabeled=True, **options)
    assert rows_of(selected["holdout"]) == [row for row in read_split_list("holdout") if row[1] < 2]
    assert sorted(rows_of(selected["unlabeled"])) == [("n01440764_99999.JPEG", -1), ("n01443537_99999.JPEG", -1)]
    full = imagenet_subsets.select(source, "full", **options)
    assert len(full["train"]) == len(source) - 24
    stream = source.to_iterable_dataset()
    for config, split, rows in (("full", "train", full["train"]), ("10pct", "holdout", selected["holdout"])):
        streamed = imagenet_subsets.select(stream, config, split, **options)
        streamed = streamed.cast_column("image", datasets.Image(decode=False))
        assert sorted((row["file_name"], row["label"]) for row in streamed) == sorted(rows_of(rows))


def test_counts_and_errors():
    def splits(config, **options):
        infos = imagenet_subsets.ImagenetSubsets(config_name=config, **options).info.splits
        return {name: info.num_examples for name, info in infos.items()}

    assert splits("full", holdout=True) == {"train": TRAIN_IMAGES - 12_000, "validation": 50_000, "holdout": 12_000}
    assert splits("1pct", holdout=True, unlabeled=True)["unlabeled"] == TRAIN_IMAGES - 12_811 - 12_000
    assert "holdout" not in splits("1pct")
    for config, options in (("lt", {}), ("custom", {"train_list": ["n01440764_18.JPEG"]})):
        message = rf"holdout=True is for the configs \['1pct', '10pct', 'full'\], not for '{config}'"
        with pytest.raises(ValueError, match=message):
            splits(config, holdout=True, **options)
    with pytest.raises(ValueError, match="'holdout' is one with holdout=True"):
        splits("1pct", splits=["holdout"])


def test_built_and_exported(tmp_path):
    names = [name for of in ("1pct", "holdout") for name, label in read_split_list(of) if label < 2]
    official_tars({name: numbered_jpeg(k) for k, name in enumerate(names)}, tmp_path / "data")
    options = {"classes": FISHES, "splits": ["train", "holdout"], "holdout": True}
    due = [row for row in read_split_list("holdout") if row[1] < 2]
    in_order = options | {"classes": FISHES[::-1], "class_order": "published"}
    build_parquet(tmp_path / "hub", tmp_path / "data", ["1pct"], **in_order)
    built = datasets.load_dataset(str(tmp_path / "hub"), "1pct", cache_dir=str(tmp_path / "cache"))
    assert built["train"].features["label"].names == FISHES[::-1]
    assert rows_of(built["holdout"]) == [(name, 1 - label) for name, label in due]
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert "| paws_val.txt | 12,000 |" in card and "0 to 1, the place in the given order of the 2 classes" in card
    export_images("1pct", tmp_path / "tree", tmp_path / "data", **options)
    assert sorted(path.name for path in (tmp_path / "tree").glob("holdout/*/*.JPEG")) == [name for name, _ in due]
