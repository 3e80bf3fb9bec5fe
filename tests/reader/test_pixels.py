"""A decoded row is the picture that users of TFDS and torchvision see, and damage is reported."""

import io
import itertools
import struct
import warnings

import datasets
import numpy as np
import PIL.Image
import PIL.ImageChops
import pytest
from helpers.layout_rows import contents, load, stream
from makers.images import numbered_jpeg
from makers.layouts import official_tars
from makers.tars import write_tar

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import as_benchmark

pytestmark = pytest.mark.oldest_packages

FIRST = "ILSVRC2012_val_00000001.JPEG"
PICTURE = PIL.Image.radial_gradient("L").resize((64, 48))
PICTURE = PIL.Image.merge("RGB", (PICTURE, PICTURE.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).rotate(9), PICTURE))


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, **{"format": "JPEG", "quality": 95, **options})
    return file.getvalue()


def as_datasets_decodes(data):
    return np.asarray(datasets.Image(mode="RGB").decode_example({"path": None, "bytes": data}))


def as_torchvision_decodes(data):
    return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max()


def test_cmyk_and_png_images_become_rgb_jpegs(tmp_path):
    images = {f"n01739381_{k}.JPEG": encoded(PICTURE.convert("CMYK").rotate(k)) for k in range(4)}
    images["n02105855_2933.JPEG"] = encoded(PICTURE, format="PNG")
    official_tars(images, tmp_path)
    published, benchmark, again = (
        contents(stream(tmp_path, train_list=[*images], splits=["train"], image_bytes=image_bytes)["train"])
        for image_bytes in ("archive", "benchmark", "benchmark")
    )
    assert published == images and benchmark == again
    for name, image in benchmark.items():
        opened = PIL.Image.open(io.BytesIO(image))
        assert (opened.format, opened.mode) == ("JPEG", "RGB")
        assert difference(as_datasets_decodes(image), as_torchvision_decodes(images[name])) <= 24


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_other_images_keep_their_bytes(mode):
    data = encoded(PICTURE.convert(mode), comment=b"n01440764_1.JPEG", progressive=mode == "RGB")
    assert as_benchmark(data) is data
    assert as_datasets_decodes(data).shape == (48, 64, 3)
    longer = data + b"\0 trailing bytes"  # it ends without its marker, but decodes
    assert as_benchmark(longer) is longer


def test_both_cmyk_conventions_give_the_right_colours():
    cmyk = PICTURE.convert("CMYK")
    inverted = encoded(cmyk)  # Pillow writes what Adobe does, and its marker
    assert b"Adobe" in inverted
    at = inverted.index(b"\xff\xee")
    plain = encoded(PIL.ImageChops.invert(cmyk))
    plain = plain[:at] + plain[at + 2 + int.from_bytes(plain[at + 2 : at + 4], "big") :]
    assert b"Adobe" not in plain
    for data in (inverted, plain):
        assert difference(as_datasets_decodes(as_benchmark(data)), np.asarray(PICTURE)) <= 24


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_neutralised_in_place(orientation):
    data = with_metadata(exif("<", "H", orientation))
    upright = as_benchmark(data)
    assert (as_datasets_decodes(upright) == as_torchvision_decodes(data)).all()
    changed = [(old, new) for old, new in itertools.zip_longest(data, upright) if old != new]
    assert changed == ([] if orientation == 1 else [(orientation, 1)])


def with_metadata(*segments):
    """A JPEG file with these APP1 segments."""
    data = encoded(PICTURE)
    return data[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in segments) + data[2:]


def exif(order, form, orientation):
    """An EXIF segment that has an orientation as a SHORT (``H``, the usual form) or a LONG (``I``) of TIFF."""
    entry = struct.pack(f"{order}HHI{form}", 0x0112, {"H": 3, "I": 4}[form], 1, orientation).ljust(12, b"\0")
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return b"Exif\0\0" + header + struct.pack(f"{order}H", 1) + entry + bytes(4)


def xmp(orientation):
    return b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="%d"/>' % orientation


FORMS = [
    *([exif(order, form, 6)] for order in "<>" for form in "HI"),
    [xmp(6)],
    [xmp(6).replace(b'="6"/', b">6<")],
    [xmp(6), xmp(8)],
    [exif("<", "I", 6), xmp(8)],
    [xmp(8), exif(">", "H", 1)],
    [xmp(8).replace(b"<x", b"\xff<x")],
    [exif("<", "I", 6)[:20], b"Exif\0\0" + exif("<", "I", 6)[20:]],
    [b"Exif\0\0" + exif("<", "I", 6)],
    [b"Exif\0\0no TIFF"],
]


@pytest.mark.filterwarnings("ignore")  # of Pillow, of damaged metadata
def test_no_form_of_metadata_rotates_an_image():
    for segments in FORMS:
        data = with_metadata(*segments)
        upright, expected = as_benchmark(data), as_torchvision_decodes(data)
        assert len(upright) == len(data)
        assert (as_datasets_decodes(upright) == expected).all(), segments
        assert as_benchmark(upright) is upright
    assert as_datasets_decodes(with_metadata(*FORMS[0])).shape == (64, 48, 3)  # datasets alone rotates it


def test_damage_is_an_error():
    whole = encoded(PICTURE)
    for data in (b"", b"n01440764_1.JPEG", whole[:600], whole[:-200], b"\xff\xd8\xff\xe1\xff\xff", b"\xff" * 99):
        with pytest.raises(Exception, match=r"(?i)truncated|identify|broken"):
            as_benchmark(data)


DAMAGED = [3, 11, 20, *range(200, 300, 9)]


@pytest.mark.parametrize("streaming", [False, True])
def test_damaged_images_are_left_out_with_one_warning(streaming, tmp_path):
    images = {f"n01440764_{k}.JPEG": numbered_jpeg(k) for k in range(300)}
    for k in DAMAGED:
        content = images[f"n01440764_{k}.JPEG"]
        images[f"n01440764_{k}.JPEG"] = {3: content[:400], 11: b"<html>", 20: b"x" + content}.get(k, content[:-9])
    official_tars(images, tmp_path)
    options = {"cache_dir": tmp_path / "cache", "train_list": [*images], "splits": ["train"], "streaming": streaming}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        names = contents(load(tmp_path, on_missing="skip", **options)["train"]).keys()
    assert names == {f"n01440764_{k}.JPEG" for k in range(300) if k not in DAMAGED}
    messages = [str(warning.message) for warning in warned if "Damaged" in str(warning.message)]
    assert 1 <= len(messages) <= (2 if streaming else 1)  # a stream has shards, and warns of ten times as many
    if not streaming:
        assert f"left out: {len(DAMAGED)}. " in messages[0] and f"And {len(DAMAGED) - 3} more." in messages[0]
        offsets = imagenet_subsets.read_index(tmp_path / TRAIN_ARCHIVE)["offset"].to_pylist()
        places = [f"the image n01440764_{k}.JPEG at byte {offsets[k]:,} is damaged" for k in DAMAGED]
        assert sum(place in messages[0] for place in places) == 3
        assert f"left out: {len(DAMAGED)} of 300 in train" in str([warning.message for warning in warned])


@pytest.mark.filterwarnings("ignore:.*left out")
def test_other_errors_are_not_treated_as_damage(images, tmp_path, monkeypatch):
    write_tar(tmp_path / VALIDATION_ARCHIVE, images | {FIRST: with_metadata(exif("<", "I", 6))})
    options = {"data_dir": tmp_path, "splits": ["validation"], "split": "validation", "on_missing": "skip"}
    stream = imagenet_subsets.load_dataset("1pct", streaming=True, **options)
    monkeypatch.setattr(PIL.Image, "open", lambda *_, **__: bytes([255]).decode())  # as Pillow 11.2.1 fails on XMP
    with pytest.raises(UnicodeDecodeError):
        next(iter(stream))
