"""The folder for the Hub: its files, its card, and the rows loaded from it."""

import errno
import hashlib
import os
import shutil

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.info import DatasetInfosDict
from helpers.built import digests, rows
from helpers.layout_rows import contents
from makers.images import numbered_jpeg
from makers.layouts import official_tars

import imagenet_subsets
from imagenet_reader import facts as official
from imagenet_reader import lists
from imagenet_subsets_tools import build
from imagenet_subsets_tools.build import build_parquet
from imagenet_subsets_tools.cli import main

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.oldest_packages]

VALIDATION = "ilsvrc2012_validation/validation-*-of-00001.parquet"
FISHES = lists.read_wnids()[:3]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Archives with all images of three classes that the configs list."""
    lists_of_all = ("10pct", "lt_train", "lt_validation", "validation")
    names = {name for of in lists_of_all for name, label in lists.read_split_list(of) if label < len(FISHES)}
    folder = tmp_path_factory.mktemp("archives")
    official_tars({name: numbered_jpeg(k) for k, name in enumerate(sorted(names))}, folder)
    return folder


@pytest.fixture(scope="module")
def all_folder(archives, tmp_path_factory):
    """Folder of all configs."""
    return build_parquet(tmp_path_factory.mktemp("hub") / "all", archives, classes=FISHES)


@pytest.fixture(scope="module")
def loaded(hub_folder, tmp_path_factory):
    return datasets.load_dataset(str(hub_folder), "1pct", cache_dir=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def small_shards(monkeypatch):
    """Shards as in ``hub_folder``."""
    monkeypatch.setattr(build, "SHARD_BYTES", 3_000_000)


@pytest.fixture
def copy(hub_folder, tmp_path):
    """A copy of ``hub_folder`` to write to."""
    return shutil.copytree(hub_folder, tmp_path / "copy")


def test_shards_have_the_names_and_sizes_of_the_hub_and_suit_random_access(hub_folder):
    assert sorted(digests(hub_folder)) == [
        *[f"1pct/train-{k:05d}-of-00004.parquet" for k in range(4)],
        "README.md",
        *[f"ilsvrc2012_validation/validation-{k:05d}-of-00013.parquet" for k in range(13)],
    ]
    features = imagenet_subsets.ImagenetSubsets(config_name="1pct").info.features
    groups = {"1pct": 0, "ilsvrc2012_validation": 0}
    for path in hub_folder.glob("*/*.parquet"):
        assert 2_000_000 < path.stat().st_size < 4_500_000
        found = pq.read_metadata(path)
        groups[path.parent.name] += found.num_row_groups
        assert datasets.Features.from_arrow_schema(pq.read_schema(path)) == features
        for k in range(found.num_row_groups):
            assert 95 <= found.row_group(k).num_rows <= 101
            columns = {(c := found.row_group(k).column(i)).path_in_schema: c for i in range(found.num_columns)}
            assert columns.pop("image.bytes").compression == "UNCOMPRESSED"
            assert {column.compression for column in columns.values()} == {"ZSTD"}
            assert all(column.has_offset_index for column in columns.values()) and columns["label"].has_column_index
    assert groups == {"1pct": 128, "ilsvrc2012_validation": 512}


def test_folder_gives_the_rows_of_the_loader(hub_folder, dataset_1pct, loaded):
    stream = datasets.load_dataset(str(hub_folder), "1pct", streaming=True)
    assert list(dataset_1pct) == list(loaded) == list(stream) == ["train", "validation"]
    for split, ours in dataset_1pct.items():
        assert loaded[split].features == stream[split].features == ours.features
        assert rows(loaded[split]) == rows(ours)
    across_shards = contents(dataset_1pct["train"].select(range(3000, 3500)))
    assert [*contents(stream["train"].skip(3000).take(500)).items()] == [*across_shards.items()]
    assert loaded["train"][7]["image"].mode == "RGB"


def test_rebuild_reuses_finished_shards_and_replaces_the_rest(hub_folder, copy, standins_1pct, small_shards, tmp_path):
    """With the same bytes, also from archives elsewhere, and with another number of threads."""
    train = copy / "1pct/train-00000-of-00004.parquet"
    half = copy / "ilsvrc2012_validation/validation-00003-of-00013.parquet"
    other = copy / "ilsvrc2012_validation/validation-00005-of-00013.parquet"
    train.unlink()
    os.truncate(half, half.stat().st_size // 2)
    shutil.copyfile(copy / "ilsvrc2012_validation/validation-00006-of-00013.parquet", other)
    # As after a change of the list: some labels in the middle of a shard are other ones.
    relabelled = copy / "1pct/train-00001-of-00004.parquet"
    with pq.ParquetFile(relabelled) as file:
        groups = [file.read_row_group(k) for k in range(file.num_row_groups)]
    middle = groups[len(groups) // 2]
    labels = pa.array([(label + 1) % 1000 for label in middle["label"].to_pylist()])
    groups[len(groups) // 2] = middle.set_column(1, middle.schema.field("label"), labels)
    with pq.ParquetWriter(relabelled, middle.schema.remove_metadata()) as writer:
        for group in groups:
            writer.write_table(group)
    for leftover in ("1pct/train-00001-of-00002.parquet", "1pct/train-00001-of-00004.parquet.77.unfinished"):
        (copy / leftover).write_bytes(b"from an earlier build")
    before = {path: path.stat().st_mtime_ns for path in copy.glob("*/*.parquet")}
    elsewhere = shutil.copytree(standins_1pct, tmp_path / "archives", copy_function=shutil.copyfile)
    build_parquet(copy, elsewhere, ["1pct"], num_proc=2)
    assert digests(copy) == digests(hub_folder)
    changed = {path for path in copy.glob("*/*.parquet") if path.stat().st_mtime_ns != before.get(path)}
    assert changed == {train, half, other, relabelled}


def test_rebuild_from_other_images_replaces_all_shards(hub_folder, standins_1pct, small_shards, copy, tmp_path):
    """An archive with the same names and sizes but another first image: the shard of that image is written again."""
    archives = shutil.copytree(standins_1pct, tmp_path / "archives")
    with (archives / official.VALIDATION_ARCHIVE).open("r+b") as archive:
        archive.seek(512 + 6)  # into the comment that each stand-in begins with
        archive.write(b"X")
    build_parquet(copy, archives, ["1pct"])
    before, after = digests(hub_folder), digests(copy)
    changed = {path for path in before if path.endswith(".parquet") and before[path] != after[path]}
    assert changed == {"ilsvrc2012_validation/validation-00000-of-00013.parquet"}


def test_failed_build_is_not_treated_as_finished(copy, standins_1pct, small_shards, monkeypatch, capsys):
    """A full disk: the error names the file, there is no card and no incomplete file, and push refuses the folder."""

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (copy / "1pct/train-00002-of-00004.parquet").unlink()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*train-00002-of-00004\.parquet"):
        build_parquet(copy, standins_1pct, ["1pct"])
    assert sorted(path.name[6:11] for path in (copy / "1pct").iterdir()) == ["00000", "00001", "00003"]
    for folder, reason in ((copy, "has no README.md"), (copy / "nowhere", "is not an existing folder")):
        assert main(["push", str(folder), "team/imagenet-subsets"]) == 1
        assert f"{folder} {reason}" in capsys.readouterr().err


@pytest.mark.once
def test_folder_of_other_configs_is_refused(all_folder, archives):
    before = digests(all_folder)
    with pytest.raises(FileExistsError, match="holds 10pct, lt from an earlier build"):
        build_parquet(all_folder, archives, ["1pct"], classes=FISHES)
    assert digests(all_folder) == before


@pytest.fixture(scope="module")
def card(all_folder):
    """The card of ``all_folder``."""
    return huggingface_hub.DatasetCard.load(all_folder / "README.md")


@pytest.mark.once
def test_front_matter_describes_the_dataset(card):
    data = card.data.to_dict()
    assert (data["license"], data["license_link"]) == ("other", "https://image-net.org/download.php")
    named = {config["config_name"]: config["data_files"] for config in data["configs"]}
    shared = {"10pct": ["validation"], "1pct": ["validation"], "lt": ["test"]}  # stored once
    own = {"10pct": ["train"], "1pct": ["train"], "lt": ["train", "validation"]}
    assert named == {
        config: [{"split": split, "path": f"{config}/{split}-*-of-00001.parquet"} for split in own[config]]
        + [{"split": split, "path": VALIDATION} for split in shared[config]]
        for config in own
    }


@pytest.mark.once
def test_features_and_sizes_of_the_card_are_correct(card, hub_folder, loaded):
    """``datasets`` builds the loader's features from it; sizes are those of the files and those found on loading."""
    for config, info in DatasetInfosDict.from_dataset_card_data(card.data).items():
        assert info.features == imagenet_subsets.ImagenetSubsets(config_name=config, classes=FISHES).info.features
    of_hub = huggingface_hub.DatasetCard.load(hub_folder / "README.md")
    said = DatasetInfosDict.from_dataset_card_data(of_hub.data)["1pct"]
    for split, found in loaded["train"].info.splits.items():
        assert said.splits[split].num_examples == found.num_examples
        assert said.splits[split].num_bytes == pytest.approx(found.num_bytes, rel=0.05)
    assert said.dataset_size == sum(split.num_bytes for split in said.splits.values())
    assert said.download_size == sum(path.stat().st_size for path in hub_folder.glob("*/*.parquet"))


@pytest.mark.once
def test_card_says_how_it_was_built(card, archives):
    text = card.text
    assert f"datasets {datasets.__version__} and pyarrow {pa.__version__}" in text
    for archive in (official.TRAIN_ARCHIVE, official.VALIDATION_ARCHIVE):
        index = imagenet_subsets.read_index(str(archives / archive)).sort_by("name")
        images = list(zip(index["name"].to_pylist(), index["size"].to_pylist()))
        digest = hashlib.sha256(b"".join(b"%b %d\n" % image for image in images)).hexdigest()
        total = sum(size for _, size in images)
        assert f"| {archive} | official archive | {len(images):,} | {total:,} | `{digest}` |" in text
    assert "| `lt` | `test` | 150 |" in text
    assert "SHA-256 of their file names" in text
    assert imagenet_subsets.LICENSE in text
