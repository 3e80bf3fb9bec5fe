"""``resize=256``: larger images become small JPEGs, the same ones however they are read; others keep their bytes."""

import io
import json
import shutil

import datasets
import huggingface_hub
import numpy as np
import PIL
import PIL.Image
import pytest
from helpers.built import rows
from helpers.layout_rows import LAYOUTS, contents, load, stream

import imagenet_subsets
from imagenet_subsets import ArchiveError
from imagenet_subsets_tools.build import build_parquet
from imagenet_subsets_tools.cli import main

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.oldest_packages]

NOISE = np.random.RandomState(0).randint(0, 256, (500, 375, 3), np.uint8)
PICTURE = PIL.Image.fromarray(NOISE[:40, :30]).resize((375, 500), PIL.Image.Resampling.BICUBIC)
ROTATION = PIL.Image.Exif()
ROTATION[0x0112] = 6


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, **{"format": "JPEG", "quality": 95, **options})
    return file.getvalue()


IMAGES = {
    "n01440764_10026.JPEG": encoded(PICTURE, comment=b"a comment"),
    "n01440764_10027.JPEG": encoded(PICTURE.convert("L"), progressive=True),
    "n01440764_10029.JPEG": encoded(PICTURE, exif=ROTATION),  # which TFDS and torchvision ignore
    "n01440764_10040.JPEG": encoded(PICTURE.convert("CMYK")),
    "n01443537_10007.JPEG": encoded(PICTURE, format="PNG"),
    "n01443537_10014.JPEG": encoded(PICTURE.crop((0, 0, 256, 400))),
    "n01443537_10025.JPEG": encoded(PICTURE.crop((0, 0, 90, 80))),
}
SMALL = [*IMAGES][5:]
OPTIONS = {"train_list": [*IMAGES], "splits": ["train"]}


@pytest.fixture
def folder(tmp_path):
    """The images in archives."""
    LAYOUTS["archives"](IMAGES, tmp_path / "data")
    return tmp_path / "data"


def test_larger_images_are_resized_by_pillow_and_small_ones_keep_their_bytes(folder, tmp_path):
    resized = contents(load(folder, resize=256, cache_dir=tmp_path / "cache", **OPTIONS))
    for name, content in IMAGES.items():
        if name in SMALL:
            assert resized[name] == content
            continue
        with PIL.Image.open(io.BytesIO(imagenet_subsets.as_benchmark(content))) as image:
            small = image.resize((256, 341), PIL.Image.Resampling.BICUBIC)
            expected = encoded(small, quality=90, subsampling=2, comment=b"")
            assert image.mode == ("L" if name.endswith("27.JPEG") else "RGB")
        with PIL.Image.open(io.BytesIO(resized[name])) as found:
            assert (found.format, found.mode, found.size) == ("JPEG", small.mode, small.size)
            assert found.quantization == PIL.Image.open(io.BytesIO(expected)).quantization
            assert not found.getexif() and "comment" not in found.info
            assert np.array_equal(np.asarray(found), np.asarray(PIL.Image.open(io.BytesIO(expected))))
            assert np.abs(np.asarray(found).astype(int) - np.asarray(small)).mean() < 5


@pytest.mark.parametrize("layout", ["extracted", "hub parquet"])
def test_bytes_do_not_depend_on_the_layout_or_the_threads(layout, folder, tmp_path):
    LAYOUTS[layout](IMAGES, tmp_path / "other")
    expected = contents(stream(folder, resize=200, **OPTIONS))
    for num_proc in (1, 3):
        cache = tmp_path / f"cache-{num_proc}"
        found = load(tmp_path / "other", resize=200, num_proc=num_proc, cache_dir=cache, **OPTIONS)
        assert contents(found) == expected


def test_resized_images_have_their_own_cache_whose_record_says_who_encoded_them(folder, tmp_path):
    plain, small, smaller, again = (
        load(folder, cache_dir=tmp_path / "cache", resize=resize, **OPTIONS)["train"] for resize in (None, 256, 64, 256)
    )
    files = [rows.cache_files for rows in (plain, small, smaller)]
    assert all(files.count(one) == 1 for one in files) and again.cache_files == small.cache_files
    sides = [max(min(image.size) for image in rows[:]["image"]) for rows in (plain, small, smaller)]
    assert sides == [375, 256, 64]
    assert "not the benchmark's pixels" in small.info.description and "of 256 pixels" in small.info.description
    assert "not the benchmark's" not in plain.info.description
    records = [json.loads(path.read_text()) for path in (tmp_path / "cache").rglob("imagenet_subsets.json")]
    encoders = {record["options"].get("resize"): record.get("encoder") for record in records}
    assert encoders.keys() == {None, 256, 64} and encoders[None] is None
    assert encoders[256]["pillow"] == PIL.__version__ and encoders[256]["libjpeg"][0].isdigit()
    folder.rename(tmp_path / "moved")
    with pytest.warns(UserWarning, match="cannot be reached"):
        offline = load(folder, cache_dir=tmp_path / "cache", resize=256, **OPTIONS)["train"]
    assert offline.cache_files == small.cache_files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": 0}, "resize=0: expected the shorter side"),
        ({"resize": True}, "resize=True: expected"),
        ({"resize": "256"}, "resize='256': expected"),
        ({"resize": 256, "in_place": True}, "leave out in_place=True and image_bytes='archive'"),
        ({"resize": 256, "image_bytes": "archive"}, "leave out in_place=True and image_bytes='archive'"),
    ],
)
def test_what_cannot_be_resized(options, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(folder, cache_dir=tmp_path / "cache", **OPTIONS, **options)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_an_image_that_cannot_be_decoded_is_treated_as_on_missing_says(folder, tmp_path):
    name, content = next(iter(IMAGES.items()))
    table = content.index(b"\xff\xc4") + 5  # of a Huffman table: only decoding finds what is wrong there
    broken = content[:table] + b"\xff" * 16 + content[table + 16 :]
    LAYOUTS["archives"](IMAGES | {name: broken}, folder)
    assert contents(load(folder, cache_dir=tmp_path / "cache", **OPTIONS))[name] == broken
    with pytest.raises(ArchiveError, match=f"the image {name} at byte .* is damaged"):
        contents(stream(folder, resize=256, **OPTIONS))
    skipped = load(folder, cache_dir=tmp_path / "cache", resize=256, on_missing="skip", **OPTIONS)
    assert contents(skipped).keys() == IMAGES.keys() - {name}


def test_the_space_check_knows_the_size_of_resized_images(tmp_path, monkeypatch):
    LAYOUTS["archives"](dict.fromkeys(IMAGES, encoded(PIL.Image.fromarray(NOISE))), tmp_path / "data")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    for resize, needed in ((512, "0.8"), (256, "0.2")):  # MB of 7 images
        with pytest.raises(OSError, match=f"need {needed} MB"):
            load(tmp_path / "data", cache_dir=tmp_path / "cache", resize=resize, **OPTIONS)
        with pytest.raises(OSError, match=f"need {needed} MB"):
            build_parquet(tmp_path / "hub", tmp_path / "data", "custom", resize=resize, **OPTIONS | listed(tmp_path))


def listed(tmp_path):
    """The list as a file, as builds want it."""
    (tmp_path / "list.txt").write_text("\n".join(IMAGES))
    return {"train_list": tmp_path / "list.txt"}


def test_a_built_folder_has_configs_of_its_own(folder, tmp_path, capsys):
    hub, options = tmp_path / "hub", OPTIONS | listed(tmp_path)
    call = ["build", "custom", "--data-dir", str(folder), "--output-dir", str(hub), "--splits", "train"]
    assert main([*call, "--train-list", str(options["train_list"]), "--resize", "256"]) == 0
    (shard,) = hub.glob("*/*.parquet")
    assert shard.relative_to(hub).as_posix() == "custom_256/train-00000-of-00001.parquet"
    built = datasets.load_dataset(str(hub), "custom_256", cache_dir=str(tmp_path / "cache"))
    loaded = load(folder, resize=256, cache_dir=tmp_path / "cache", **OPTIONS)
    assert rows(built["train"]) == rows(loaded["train"])
    card = huggingface_hub.DatasetCard.load(hub / "README.md")
    assert card.data.configs[0]["config_name"] == "custom_256"
    assert "**These are not the benchmark's pixels**" in card.text and f"(Pillow {PIL.__version__}, lib" in card.text
    before = shard.stat().st_mtime_ns
    build_parquet(hub, folder, "custom", resize=256, **options)
    assert shard.stat().st_mtime_ns == before  # it is reused
    for resize in (None, 64):
        with pytest.raises(FileExistsError, match="holds custom_256 from an earlier build"):
            build_parquet(hub, folder, "custom", resize=resize, **options)
