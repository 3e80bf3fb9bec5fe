"""The calls of the README give the rows of the published lists, on complete stand-ins of all configs."""

import pytest
from datasets.distributed import split_dataset_by_node
from helpers.rows import SPLITS, WAYS, load, published_rows, rows_of, streamed

import imagenet_subsets


@pytest.mark.oldest_and_newest
@pytest.mark.parametrize("way", WAYS)
def test_rows_are_the_published_ones(way, standins_all, tmp_path):
    loaded = load(way, "lt", data_dir=str(standins_all), cache_dir=str(tmp_path), num_proc=2)
    assert list(loaded) == SPLITS["lt"]
    for split, dataset in loaded.items():
        assert rows_of(dataset) == published_rows("lt", split)
        assert all(is_the_image for *_, is_the_image in streamed(dataset.select(range(0, len(dataset), 50))))
        assert dataset.info.splits[split].num_examples == len(dataset)


@pytest.mark.parametrize("way", WAYS)
def test_the_number_of_threads_changes_nothing(way, dataset_1pct, standins_1pct, tmp_path):
    four = load(way, data_dir=str(standins_1pct), cache_dir=str(tmp_path), num_proc=4)
    assert list(four) == SPLITS["1pct"]
    for split, one in dataset_1pct.items():
        assert len(four[split].cache_files) == len(one.cache_files)
        assert four[split].data.table.equals(one.data.table)
        assert streamed(one) == [(name, label, True) for name, label in published_rows("1pct", split)]


def test_features_and_info(standins_1pct):
    builder = imagenet_subsets.ImagenetSubsets(config_name="lt", data_dir=standins_1pct)
    assert builder.info.features["label"].int2str(0) == "n01440764"
    assert (builder.info.supervised_keys.input, builder.info.supervised_keys.output) == ("image", "label")
    for paper in ("chen2020simclr", "ILSVRC15", "liu2019oltr"):
        assert paper in builder.info.citation
    assert "non-commercial" in builder.info.license
    assert builder.info.homepage.startswith("https://image-net.org/")
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    assert splits == {"train": 115_846, "validation": 20_000, "test": 50_000}


@pytest.mark.parametrize("form", ["relative", "home", "path"])
def test_forms_of_data_dir(form, standins_1pct, monkeypatch):
    monkeypatch.setenv("HOME", str(standins_1pct.parent))
    monkeypatch.chdir(standins_1pct.parent)
    name = standins_1pct.name
    data_dir = {"relative": name, "home": f"~/{name}", "path": standins_1pct}[form]
    stream = imagenet_subsets.load_dataset("1pct", data_dir=data_dir, streaming=True, split="train")
    monkeypatch.chdir("/")
    assert next(iter(stream))["file_name"] == published_rows("1pct", "train")[0][0]


@pytest.mark.oldest_and_newest
def test_shards(standins_1pct):
    stream = imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, streaming=True, split="train")
    shards = getattr(stream, "num_shards", None) or stream.n_shards
    assert shards >= 64
    assert shards & (shards - 1) == 0
    nodes = [split_dataset_by_node(stream, rank=rank, world_size=8) for rank in range(8)]
    seen = [row for node in nodes for row in streamed(node)]
    assert sorted(seen) == sorted((name, label, True) for name, label in published_rows("1pct", "train"))
