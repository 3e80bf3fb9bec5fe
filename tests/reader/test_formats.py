"""The formats of the Hub, of WebDataset and of TensorFlow Datasets: names, records and tables of any content."""

import io
import json
import random
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.layout_rows import contents, message_of_reading, stream
from makers.images import numbered_jpeg
from makers.layouts import hub_parquet, tfds

from imagenet_reader.facts import ArchiveError
from imagenet_reader.formats.names import official_name, official_names
from imagenet_reader.formats.tfrecord import crc32c, list_examples
from imagenet_reader.io import open_file
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.standins.layouts import FORMS, example, record, write_tar

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:.*read once", "ignore:.*left out")]

TRAIN = [f"{wnid}_{number}.JPEG" for wnid in ("n01440764", "n01443537", "n15075141") for number in range(1, 161)]
NAMES = TRAIN + [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 31)] + ["ILSVRC2012_test_00000001.JPEG"]


@pytest.fixture(scope="module")
def images():
    """{file name: bytes} of three splits; all differ, and some are larger than one read of a record."""
    return {name: numbered_jpeg(k) + name.encode() + bytes(k % 3 * 2_000) for k, name in enumerate(NAMES)}


def train_of(data_dir, names=TRAIN, **options):
    """{name: bytes} of the training images with these names, streamed."""
    options = {"train_list": names, "splits": ["train"], "image_bytes": "archive", **options}
    return contents(stream(data_dir, **options)["train"])


def error_of(data_dir, names=("n01440764_1.JPEG",)):
    """The error of reading the training images with these names."""
    return message_of_reading(data_dir, train_list=list(names), splits=["train"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("n01440764_10026_n01440764.JPEG", "n01440764_10026.JPEG"),
        ("ILSVRC2012_val_00000001_n01751748.JPEG", "ILSVRC2012_val_00000001.JPEG"),
        ("train/n01440764_10026.jpg", "n01440764_10026.JPEG"),
        ("n01440764_10026", "n01440764_10026.JPEG"),
        ("n01440764_10026_n01443537.JPEG", None),
        ("n01440764_10026.JPEG\n", None),
        ("xn01440764_10026.JPEG", None),
        ("ILSVRC2012_val_0000001.JPEG", None),
        ("", None),
    ],
)
def test_names_of_the_hub_hold_official_ones(path, name):
    assert official_name(path) == name
    for kind in (pa.string(), pa.large_string()):
        array = official_names(pa.chunked_array([[path, None], [path]], kind))
        assert array.type == kind and array.to_pylist() == [name, None, name]


# What TensorFlow 2.21 writes of {file_name: n01440764_10026.JPEG, image: ff d8 ff and 130 times i, label: 300}.
BY_TENSORFLOW = (
    b"\xd3\0\0\0\0\0\0\0\x0e\xe5\x86d\n\xd0\x01\n\x95\x01\n\x05image\x12\x8b\x01\n\x88\x01\n\x85\x01\xff\xd8\xff"
    + b"i" * 130
    + b"\n\x0f\n\x05label\x12\x06\x1a\x04\n\x02\xac\x02"
    + b"\n%\n\tfile_name\x12\x18\n\x16\n\x14n01440764_10026.JPEG\x89`vH"
)


def tfrecord(path, *records):
    path.write_bytes(b"".join(records))
    with open_file(str(path)) as file:
        rows = list_examples(file).to_pylist()
        return {row["name"].decode(): file.read(row["offset"], row["size"]) for row in rows}


def field(number, content):
    """A field of a protocol buffer, of any length."""
    size, groups = len(content), []
    while size > 127:
        groups.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *groups, size]) + content


def feature(key, value, kind=1):
    return field(1, field(1, key) + field(2, field(kind, field(1, value))))


def test_a_record_is_read_as_tensorflow_wrote_it(tmp_path):
    jpeg = b"\xff\xd8\xff" + b"i" * 130
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert crc32c(bytes(range(251)) * 400) == 0xAE5355BC  # computed byte by byte
    assert tfrecord(tmp_path / "a", BY_TENSORFLOW) == {"n01440764_10026.JPEG": jpeg}
    made = record(example("n01440764_10026.JPEG", jpeg, 300))
    assert len(made) == len(BY_TENSORFLOW) and made[:12] == BY_TENSORFLOW[:12]


def test_records_may_hold_other_features_in_any_order(tmp_path):
    name, image = feature(b"file_name", b"n01440764_1.JPEG"), feature(b"image", b"\xff\xd8\xff" + bytes(3_000))
    other = feature(b"floats", bytes(2_000), kind=2) + feature(b"", b"") + field(1, field(1, b"no value"))
    unknown = b"\x10\x85\x01" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + field(5, bytes(1_000))
    path = tmp_path / "a"
    for features in (name + other + image, other + image + other + name, image + name + other):
        found = tfrecord(path, record(unknown + field(1, features) + unknown))
        assert found == {"n01440764_1.JPEG": b"\xff\xd8\xff" + bytes(3_000)}
    assert tfrecord(path) == {}


def test_of_large_records_little_is_read(tmp_path, before_reads):
    tfds({name: b"\xff\xd8\xff" + bytes(100_000) for name in TRAIN[:50]}, tmp_path, shards={"train": 1})
    sizes = []
    before_reads(lambda position, size: sizes.append(size))
    with open_file(str(tmp_path / "imagenet2012/5.1.0/imagenet2012-train.tfrecord-00000-of-00001")) as file:
        assert len(list_examples(file)) == 50
    assert 50 <= len(sizes) <= 101 and sum(sizes) < 50 * 1_200


VALID_RECORD = record(example("n01440764_1.JPEG", b"\xff\xd8\xff" + bytes(900), 0))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (VALID_RECORD + VALID_RECORD[:5], "truncated"),
        (VALID_RECORD + VALID_RECORD[:-2], "truncated"),
        (VALID_RECORD + bytes([VALID_RECORD[0] ^ 1]) + VALID_RECORD[1:], f"at byte {len(VALID_RECORD):,}"),
        (VALID_RECORD + bytes(4096), f"at byte {len(VALID_RECORD):,}"),
        (b"\xff\xd8\xff\xe0" * 100, "at byte 0"),
        (record(b"\x0b\x0c"), "wire type 3"),
        (record(b"\xff" * 40), "does not end"),
        (record(b"\x0a\x7f" + bytes(20)), "ends after it"),
        (record(field(1, feature(b"image/encoded", b"\xff\xd8\xff"))), "image/encoded"),
        (record(field(1, feature(b"image", b"\xff\xd8\xff") + feature(b"label", b"\1", 3))), "image, label"),
    ],
)
def test_what_is_no_tfrecord_file_of_imagenet_is_refused(tmp_path, data, found):
    path = tmp_path / "imagenet2012-train.tfrecord-00000-of-01024"
    path.write_bytes(data)
    with open_file(str(path)) as file, pytest.raises(ArchiveError) as raised:
        list_examples(file)
    message = str(raised.value)
    assert str(path) in message and found in message and "again" in message


def test_samples_may_lack_what_is_not_needed(tmp_path):
    kinds = {"n01440764_1": "jpg", "n01440764_2": "jpeg", "n01440764_3": "JPEG"}
    images = {f"{stem}.{kind}": numbered_jpeg(k) for k, (stem, kind) in enumerate(kinds.items())}
    others = [("readme.txt", b"x"), ("n01440764_1.json", b"?")]
    write_tar(tmp_path / "imagenet1k-train-0000.tar", [*images.items(), *others])
    found = train_of(tmp_path, [f"{stem}.JPEG" for stem in kinds])
    assert found == {f"{stem}.JPEG": images[f"{stem}.{kind}"] for stem, kind in kinds.items()}


@pytest.mark.parametrize(
    ("described", "found"),
    [
        (None, "no 00000007.json"),
        (b"{", "not valid JSON"),
        (b'{"filename": 3}', '{"filename": 3}'),
        (b'{"filename": "cat.jpg"}', "cat.jpg"),
    ],
)
def test_samples_without_a_name_are_refused(tmp_path, described, found):
    path, members = tmp_path / "imagenet1k-train-0000.tar", [("00000007.jpg", b"\xff\xd8\xff")]
    write_tar(path, members if described is None else [*members, ("00000007.json", described)])
    message = error_of(tmp_path)
    assert str(path) in message and found in message and "filename" in message


def test_only_row_groups_that_hold_wanted_images_are_read(images, tmp_path, hf_home, before_reads):
    hub_parquet({name: images[name] + bytes(20_000) for name in TRAIN}, tmp_path, shards={"train": 1})
    [file] = (tmp_path / "data").iterdir()
    group = pq.ParquetFile(file).read_row_group(2, columns=["image.path"])["image"].to_pylist()
    wanted = [official_name(image["path"]) for image in group[3:60:7]]
    damaged = bytearray(file.read_bytes())
    damaged[100:5_000] = bytes(4_900)  # in the first group
    file.write_bytes(damaged)
    assert train_of(tmp_path, wanted) == {name: images[name] + bytes(20_000) for name in wanted}
    assert str(file) in error_of(tmp_path, TRAIN)


ROW = {"bytes": b"\xff\xd8\xff", "path": "n01440764_1_n01440764.JPEG"}


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([b"\xff\xd8\xff"], "columns image;"),
        ([{"bytes": b"\xff\xd8\xff"}], "columns image.bytes;"),
        ([ROW | {"path": None}] * 2, "[None, None]"),
        ([ROW | {"path": "cat.jpg"}], "cat.jpg"),
        ([ROW | {"bytes": None}, ROW | {"path": "n01440764_2.JPEG"}], "n01440764_1.JPEG has no bytes"),
        ([ROW, ROW], "1 images exist twice, such as n01440764_1.JPEG"),
    ],
)
def test_parquet_files_of_other_content_are_refused(tmp_path, column, found):
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(pa.table({"image": pa.array(column)}), path)
    message = error_of(tmp_path)
    assert str(path) in message and found in message


FIRST_FILES = {
    "class-tars": "train/n01440764.tar",
    "folders": "train/n01440764/n01440764_1.JPEG",
    "kaggle-folders": "ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_1.JPEG",
    "kaggle-zip": "imagenet-object-localization-challenge.zip",
    "kaggle-tar-gz": "imagenet_object_localization_patched2019.tar.gz",
    "hub-tar-gz": "data/train_images_4.tar.gz",
    "hub-folders": "train/n01440764_1_n01440764.JPEG",
    "webdataset": "imagenet1k-train-1023.tar",
    "tfds": "imagenet2012/5.1.0/imagenet2012-validation.tfrecord-00063-of-00064",
}


def test_every_layout_has_the_names_of_its_origin(tmp_path):
    for form, first in FIRST_FILES.items():
        FORMS[form](dict.fromkeys(NAMES, b"an image"), tmp_path / form)
        assert (tmp_path / form / first).is_file()


def test_sample_writes_a_layout_of_all_standins(tmp_path, capsys):
    assert {*FIRST_FILES, "archives", "hub-parquet"} == {*FORMS}
    assert main(["sample", str(tmp_path / "new"), "--configs", "1pct", "--layout", "hub-parquet"]) == 0
    assert "hub-parquet, files: 308 " in capsys.readouterr().out
    files = sorted((tmp_path / "new" / "data").iterdir())
    assert files[0].name == "train-00000-of-00294.parquet"
    assert len(files) == 308 and sum(pq.read_metadata(file).num_rows for file in files) == 65_834


def test_any_damage_is_refused_or_leaves_ranges_of_the_file(images, tmp_path):
    data = bytearray(b"".join(record(example(name, images[name][:400], 7)) for name in TRAIN[:5]))
    path, numbers, refused = tmp_path / "a", random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(numbers.randint(1, 3)):
            damaged[numbers.randrange(len(data))] = numbers.randrange(256)
        path.write_bytes(damaged)
        with open_file(str(path)) as file:
            try:
                rows = list_examples(file).to_pylist()
            except ArchiveError:
                refused += 1
                continue
        assert len(rows) == 5 and all(0 < row["offset"] <= len(data) - row["size"] for row in rows)
    assert 20 < refused < 280


@pytest.mark.parametrize("deeper", ["", "folder/" * 20])
def test_samples_in_several_folders_may_have_the_same_stem(deeper, tmp_path):
    """Folders of long names are in another field of the header."""
    images = {name: numbered_jpeg(k) for k, name in enumerate(TRAIN[:3])}
    with tarfile.open(tmp_path / "imagenet1k-train-0000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, image in images.items():
            for kind, content in {"jpg": image, "json": json.dumps({"filename": name}).encode()}.items():
                member = tarfile.TarInfo(f"{name}.v1/{deeper}000000.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    assert train_of(tmp_path, list(images)) == images
