"""Code that knows torchvision, timm or lists of paths, and not ``datasets``, sees the rows of ``load_dataset``."""

import multiprocessing
import os
import pathlib
import pickle

import datasets
import pytest

import imagenet_subsets
from imagenet_reader.lists import read_class_set, read_classes, read_split_list, read_wnids
from imagenet_subsets_tools.export import export_images
from imagenet_subsets_tools.lists import published_files
from imagenet_subsets_tools.standins import CMYK_IMAGES, PNG_IMAGE

vision = pytest.importorskip("helpers.vision")
torchvision = vision.torchvision
pytestmark = pytest.mark.engines

CASES = [("lt", "test", {}), ("1pct", "train", {"classes": "imagenet100"})]


@pytest.fixture
def in_place(standins_1pct, tmp_path):
    return imagenet_subsets.torchvision_dataset("1pct", "train", standins_1pct, cache_dir=tmp_path)


def rows_of(config, split, data_dir, tmp_path, **options):
    """{file name: (label, bytes)} in row order."""
    options = {"image_bytes": "archive", "splits": [split], **options, "cache_dir": tmp_path / "rows"}
    rows = imagenet_subsets.load_dataset(config, data_dir, split, **options)
    rows = rows.cast_column("image", datasets.Image(decode=False))
    return {row["file_name"]: (row["label"], row["image"]["bytes"]) for row in rows}


def opened(content, path):
    """The pixels that torchvision's loader sees in a file with this content."""
    path.write_bytes(content)
    return torchvision.datasets.folder.default_loader(str(path)).tobytes()


@pytest.mark.parametrize(("config", "split", "options"), CASES)
def test_an_image_folder_without_a_tree(config, split, options, standins_all, tmp_path):
    places = {"data_dir": standins_all, "cache_dir": tmp_path}
    dataset = imagenet_subsets.torchvision_dataset(config, split, target_transform=str, **places, **options)
    rows = rows_of(config, split, standins_all, tmp_path, **options)
    assert isinstance(dataset, torchvision.datasets.ImageFolder)
    names, labels = list(rows), [label for label, _ in rows.values()]
    wnids = sorted(read_class_set("imagenet100")) if options else read_wnids()
    assert (dataset.classes, dataset.class_to_idx) == (wnids, {wnid: k for k, wnid in enumerate(wnids)})
    assert dataset.targets == labels and dataset.imgs is dataset.samples and len(dataset) == len(rows)
    paths = [f"{standins_all}/{wnids[label]}/{name}" for name, label in zip(names, labels)]
    assert dataset.samples == list(zip(paths, labels))
    turned = [names.index(name) for name, (_, content) in rows.items() if b"Exif\0\0" in content]
    assert turned
    for k in (0, len(rows) - 1, *turned[:20]):
        image, target = dataset[k]
        assert target == str(labels[k]) and image.mode == "RGB"
        assert image.tobytes() == opened(rows[names[k]][1], tmp_path / "image")


@pytest.mark.parametrize("image_bytes", ["archive", "benchmark"])
def test_images_that_are_no_rgb_jpeg(image_bytes, standins_1pct, tmp_path):
    options = {"train_list": sorted(CMYK_IMAGES | {PNG_IMAGE}), "image_bytes": image_bytes, "cache_dir": tmp_path}
    dataset = imagenet_subsets.torchvision_dataset("custom", "train", standins_1pct, **options)
    rows = rows_of("custom", "train", standins_1pct, tmp_path, **options)
    expected = [opened(content, tmp_path / "image") for _, content in rows.values()]
    assert [image.tobytes() for image, _ in dataset] == expected


def test_rewritten_samples(in_place):
    """As by SwAV (joined strings), VICReg and MSN (paths, and a wrapper that uses the loader), from SimCLR's list."""
    names = published_files("1pct")["1percent.txt"].decode().split("\n")[:20]
    wanted = [in_place.loader(f"/elsewhere/{name}").tobytes() for name in names]
    labels = [in_place.class_to_idx[name[:9]] for name in names]
    in_place.samples = [(os.path.join("train", name[:9], name), label) for name, label in zip(names, labels)]
    assert [(image.tobytes(), label) for image, label in in_place] == list(zip(wanted, labels))
    paths = [pathlib.Path(in_place.root, name[:9], name) for name in names]
    assert [in_place.loader(path).tobytes() for path in paths] == wanted
    with pytest.raises(FileNotFoundError, match=r"n01440764_0\.JPEG: none of the 12,811 images of this split is named"):
        in_place.loader("/elsewhere/n01440764_0.JPEG")
    with pytest.raises(ValueError, match="data_dir is missing"):
        imagenet_subsets.torchvision_dataset("1pct")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers(method, in_place):
    from torch.utils.data import DataLoader

    context = multiprocessing.get_context(method)
    loader = DataLoader(
        vision.Part(in_place, range(40)), 8, num_workers=2, multiprocessing_context=context, collate_fn=list
    )
    found = [(image.tobytes(), label) for batch in loader for image, label in batch]
    copy = pickle.loads(pickle.dumps(in_place))
    assert found == [(image.tobytes(), label) for image, label in map(copy.__getitem__, range(40))]


# ------------------------------------------------------------------------------------------ an exported tree


@pytest.fixture(scope="module")
def tree(standins_all, tmp_path_factory):
    options = {"classes": "imagenet100", "sidecars": True}
    return str(export_images("1pct", tmp_path_factory.mktemp("tree"), standins_all, **options))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_tree(split, tree, standins_all, tmp_path):
    """As ImageFolder and timm read it; and its list, in row order, as OLTR and mmpretrain do."""
    data, rows = pytest.importorskip("timm.data"), rows_of("1pct", split, standins_all, tmp_path, classes="imagenet100")

    def read(samples):
        return {os.path.basename(path): (label, pathlib.Path(path).read_bytes()) for path, label in samples}

    folder = torchvision.datasets.ImageFolder(os.path.join(tree, split.removesuffix("idation")))
    assert folder.classes == sorted(read_class_set("imagenet100")) and read(folder.samples) == rows
    assert read(data.create_dataset("", tree, split=split).reader.samples) == rows
    lines = [line.split() for line in pathlib.Path(tree, "lists", f"{split}.txt").read_text().splitlines()]
    assert list(read((os.path.join(tree, name), int(label)) for name, label in lines).items()) == list(rows.items())


def test_sidecars(tree):
    """``ImageNet(split="val")`` needs neither the archives nor the development kit."""
    dataset = torchvision.datasets.ImageNet(tree, split="val")
    wnids, classes = sorted(read_class_set("imagenet100")), dict(read_classes())
    assert dataset.wnids == wnids
    assert dataset.classes == [tuple(classes[wnid].split(", ")) for wnid in wnids]
    _, of_validation = torchvision.datasets.imagenet.load_meta_file(tree)
    assert of_validation == [read_wnids()[label] for _, label in read_split_list("validation")]
    lines = pathlib.Path(tree, "labels.txt").read_text().splitlines()
    assert lines[0] == "n01440764,tench" and [line.split(",")[0] for line in lines] == read_wnids()
    assert {line.count(",") for line in lines} == {1}
