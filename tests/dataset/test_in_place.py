"""In-place rows equal those of a copied dataset in every use, and never give a wrong image."""

import concurrent.futures
import multiprocessing
import os
import shutil

import datasets
import fsspec
import pytest
from datasets.distributed import split_dataset_by_node
from helpers.programs import output
from helpers.rows import WAYS, load, paths
from makers.tars import write_tar

import imagenet_subsets
from imagenet_subsets import ArchiveError

ENCODED = datasets.Image(decode=False)
pytestmark = pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end")


@pytest.fixture(scope="module")
def copied(dataset_1pct):
    """The first 300 training rows, copied."""
    return dataset_1pct["train"].select(range(300))


@pytest.fixture(scope="module")
def rows(in_place):
    """The same rows in place."""
    return in_place["train"].select(range(300))


def decoded(rows):
    """(file name, label, pixels) of each row."""
    return [(row["file_name"], row["label"], row["image"].mode, row["image"].tobytes()) for row in rows]


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_those_of_a_copy(way, standins_1pct, dataset_1pct, tmp_path):
    cache = tmp_path / "cache"
    loaded = load(way, "1pct", data_dir=str(standins_1pct), in_place=True, cache_dir=str(cache))
    assert type(loaded) is datasets.DatasetDict and list(loaded) == list(dataset_1pct)
    for split, rows in loaded.items():
        copied = dataset_1pct[split]
        assert rows.features == copied.features
        for column in ("file_name", "label"):
            assert rows[column][:] == copied[column][:]
        some = range(0, len(rows), 97)
        assert decoded(rows.select(some)) == decoded(copied.select(some))
        assert all(image["bytes"] is None for image in rows.select(some).cast_column("image", ENCODED)["image"][:])
    written = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert written < 300 * 62_811  # the paths, and no image


@pytest.mark.parametrize("image_bytes", ["benchmark", "archive"])
def test_special_images_are_those_of_a_copy(image_bytes, standins_1pct, tmp_path):
    names = ["n02105855_2933.JPEG", "n01739381_1309.JPEG", "n02077923_14822.JPEG"]
    options = {"train_list": names, "splits": ["train"], "image_bytes": image_bytes}
    options |= {"data_dir": standins_1pct, "cache_dir": str(tmp_path / "cache"), "split": "train"}
    in_place = imagenet_subsets.load_dataset("custom", in_place=True, **options)
    copied = imagenet_subsets.load_dataset("custom", **options)
    assert len(in_place) == 3 and decoded(in_place) == decoded(copied)
    read = fsspec.filesystem("imagenet").cat(paths(in_place))
    assert list(read.values()) == [image["bytes"] for image in copied.cast_column("image", ENCODED)["image"][:]]


def scaled(batch):
    return {"pixels": [image.resize((4, 4)).tobytes() for image in batch["image"]], "label": batch["label"]}


USES = {
    "shuffle": lambda dataset: decoded(dataset.shuffle(seed=1)),
    "filter": lambda dataset: decoded(dataset.filter(lambda label: label < 50, input_columns="label")),
    "transform": lambda dataset: dataset.with_transform(scaled)[10:30],
    "numpy": lambda dataset: dataset.with_format("numpy")[3]["image"].tolist(),
    "torch": lambda dataset: dataset.with_format("torch")[3]["image"].tolist(),
    "nodes": lambda dataset: decoded(
        split_dataset_by_node(dataset.to_iterable_dataset(num_shards=4), rank=1, world_size=2)
    ),
}


@pytest.mark.parametrize("use", USES)
def test_any_use_gives_what_a_copy_gives(use, rows, copied):
    if use == "torch":
        pytest.importorskip("torch")
    if use == "numpy" and datasets.__version__ < "3":
        pytest.skip("its numpy format is for numpy 1")
    assert USES[use](rows) == USES[use](copied)


def test_concatenated_with_a_copy(rows, copied):
    assert decoded(datasets.concatenate_datasets([rows, copied])) == 2 * decoded(copied)


def test_filtering_by_label_reads_no_image(val_in_place, val_tar):
    val_tar.unlink()
    assert len(val_in_place.filter(lambda label: label >= 0, input_columns="label")) == 300


def size_of(row):
    return {"size": row["image"].size, "mean": sum(row["image"].tobytes()) % 1000}


def test_mapping(rows, copied):
    options = {"num_proc": 2, "remove_columns": ["image"], "load_from_cache_file": False}
    assert rows.map(size_of, **options)[:] == copied.map(size_of, **options)[:]


def test_saved_and_loaded_in_another_process(rows, tmp_path):
    """It does not import this package: fsspec finds it by its entry point."""
    rows.save_to_disk(str(tmp_path / "saved"))
    assert output("load_saved", tmp_path / "saved", cwd=tmp_path) == "[(64, 48), (64, 48), (64, 48)] 300\n"


def pixels_of(dataset):
    return [row["image"].tobytes() for row in dataset]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(method, rows, copied):
    rows[0]  # the archive is open before a fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(pixels_of, [rows.shard(2, k) for k in range(2)]).get(60)
    assert found == [pixels_of(copied.shard(2, k)) for k in range(2)]


def test_many_threads_and_few_files(rows, copied):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda k: rows[k]["image"].tobytes(), range(300)))
    assert found == pixels_of(copied)
    assert before is None or len(os.listdir("/proc/self/fd")) <= before + 3


def refused(rows, number=0):
    with pytest.raises((ArchiveError, OSError)) as raised:
        rows[number]
    return str(raised.value)


CHANGES = {
    "moved": lambda tar: tar.rename(tar.with_name("moved.tar")),
    "replaced": lambda tar: os.replace(shutil.copy(tar, tar.with_name("copy")), tar),
    "truncated": lambda tar: os.truncate(tar, 100_000),
    "rewritten": lambda tar: tar.write_bytes(tar.read_bytes()[600::-1] + tar.read_bytes()[601:]),
}


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_archive_is_named_in_the_error(change, opened, val_in_place, val_tar, tmp_path):
    if opened:
        assert val_in_place[299]["image"].size == (8, 8)
    val_in_place.save_to_disk(str(tmp_path / "saved"))
    CHANGES[change](val_tar)
    saved = datasets.load_from_disk(str(tmp_path / "saved"))
    read_from_it = [val_in_place]
    if paths(saved)[0].startswith("imagenet://"):
        read_from_it.append(saved)
    else:  # datasets 2 and 3 save the images themselves
        assert saved[299]["image"].size == (8, 8)
    for rows in read_from_it:
        message = refused(rows)
        assert str(val_tar) in message
        assert "load the dataset again" in message.lower()


def test_replaced_archive_with_the_same_size_and_time_gives_no_wrong_image(val_in_place, val_tar, images):
    status = val_tar.stat()
    write_tar(val_tar, dict(reversed(images.items())))
    os.utime(val_tar, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert val_tar.stat().st_size == status.st_size
    assert f"{val_tar} does not contain" in refused(val_in_place)


def test_a_damaged_image_is_named(val_tar, images, tmp_path):
    name, content = next(iter(images.items()))
    write_tar(val_tar, images | {name: b"x" * len(content)})
    options = {"splits": ["validation"], "on_missing": "skip", "cache_dir": str(tmp_path / "cache"), "in_place": True}
    rows = imagenet_subsets.load_dataset("1pct", data_dir=val_tar.parent, **options)["validation"]
    message = refused(rows)
    assert str(val_tar) in message and name in message and "is damaged" in message
