"""The forms of the Hub, of WebDataset and of TensorFlow Datasets: their readers, on what the makers write."""

import collections
import gzip
import json
import os
import random
import struct
import tarfile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.hub_parquet import hub_cache, hub_parquet
from makers.hub_tar_gz import hub_folders, hub_tar_gz
from makers.images import numbered_jpeg
from makers.layouts import truncate
from makers.tfds import tfds
from makers.webdataset import webdataset

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats import parquet_images
from imagenet_reader.formats.crc32c import crc32c
from imagenet_reader.formats.hub_names import official_name, official_names
from imagenet_reader.formats.parquet_images import find_pieces, read_images
from imagenet_reader.formats.tfrecord import list_examples
from imagenet_reader.formats.webdataset import list_images
from imagenet_reader.sources import open_file
from imagenet_reader.walk.archive import walk_archive
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.standins import make_standins
from imagenet_subsets_tools.standins.forms import FORMS, write_form
from imagenet_subsets_tools.standins.forms.names import label_of
from imagenet_subsets_tools.standins.forms.tfds import example, record
from imagenet_subsets_tools.standins.tars import write_tar

pytestmark = pytest.mark.once

TRAIN = [f"{wnid}_{number}.JPEG" for wnid in ("n01440764", "n01443537", "n15075141") for number in range(1, 161)]
NAMES = TRAIN + [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 31)] + ["ILSVRC2012_test_00000001.JPEG"]


@pytest.fixture(scope="module")
def images():
    """{file name: bytes} of three splits; all differ, and some are larger than one read of a record."""
    return {name: numbered_jpeg(k) + name.encode() + bytes(k % 3 * 2_000) for k, name in enumerate(NAMES)}


def content(table, file):
    """{name: bytes} of a table of names, offsets and sizes, every name once."""
    rows = table.to_pylist()
    found = {row["name"].decode(): file.read(row["offset"], row["size"]) for row in rows}
    assert len(found) == len(rows)
    return found


def message(read, *arguments):
    """The message of the error, which is short."""
    with pytest.raises(ArchiveError) as raised:
        collections.deque(read(*arguments), 0)
    assert len(str(raised.value)) < 2_000
    return str(raised.value)


# ------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("n01440764_10026_n01440764.JPEG", "n01440764_10026.JPEG"),
        ("ILSVRC2012_val_00000001_n01751748.JPEG", "ILSVRC2012_val_00000001.JPEG"),
        ("ILSVRC2012_test_00000001.JPEG", "ILSVRC2012_test_00000001.JPEG"),
        ("n01440764/n01440764_10026.JPEG", "n01440764_10026.JPEG"),
        ("train/n01440764_10026.jpg", "n01440764_10026.JPEG"),
        ("n01440764_10026", "n01440764_10026.JPEG"),
        ("n01440764_10026_n01443537.JPEG", None),
        ("n01440764_10026_.JPEG", None),
        ("n01440764_10026.JPEG\n", None),
        ("xn01440764_10026.JPEG", None),
        ("n01440764.JPEG", None),
        ("ILSVRC2012_val_0000001.JPEG", None),
        ("00000001.jpg", None),
        ("", None),
    ],
)
def test_names_of_the_hub_hold_official_ones(path, name):
    assert official_name(path) == name
    for kind in (pa.string(), pa.large_string()):
        array = official_names(pa.chunked_array([[path, None], [path]], kind))
        assert array.type == kind and array.to_pylist() == [name, None, name]


# ---------------------------------------------------------------------------------------- TFRecords

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
        return content(list_examples(file), file)


def field(number, content):
    """A field of a protocol buffer, of any length."""
    size, groups = len(content), []
    while size > 127:
        groups.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *groups, size]) + content


def feature(key, value, kind=1):
    return field(1, field(1, key) + field(2, field(kind, field(1, value))))


def test_records_of_tfds_hold_the_images(images, tmp_path):
    tfds(images, tmp_path)
    found = {}
    for path in tmp_path.rglob("*.tfrecord-*"):
        with open_file(str(path)) as file:
            found |= content(list_examples(file), file)
    assert found == images
    first = {example(name, images[name], 0).index(name.encode()) < 100 for name in images}
    assert first == {True, False}  # whether the name comes before the image


def test_a_record_is_read_as_tensorflow_wrote_it(tmp_path):
    jpeg = b"\xff\xd8\xff" + b"i" * 130
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert tfrecord(tmp_path / "a", BY_TENSORFLOW) == {"n01440764_10026.JPEG": jpeg}
    made = record(example("n01440764_10026.JPEG", jpeg, 300))
    assert len(made) == len(BY_TENSORFLOW) and made[:12] == BY_TENSORFLOW[:12]


def test_records_may_hold_other_features_in_any_order(tmp_path):
    name, image = feature(b"file_name", b"n01440764_1.JPEG"), feature(b"image", b"\xff\xd8\xff" + bytes(3_000))
    other = feature(b"floats", bytes(2_000), kind=2) + feature(b"", b"") + field(1, field(1, b"no value"))
    unknown = b"\x10\x85\x01" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + field(5, bytes(1_000))
    turned = field(1, field(2, field(1, field(1, b"n01440764_2.JPEG"))) + field(1, b"file_name"))
    path = tmp_path / "a"
    for features in (name + other + image, other + image + other + name, image + name + other):
        found = tfrecord(path, record(unknown + field(1, features) + unknown))
        assert found == {"n01440764_1.JPEG": b"\xff\xd8\xff" + bytes(3_000)}
    assert list(tfrecord(path, record(field(1, image) + field(1, turned)))) == ["n01440764_2.JPEG"]
    assert tfrecord(path) == {}


class Counting:
    """A file that counts reads and their bytes."""

    def __init__(self, file):
        self.path, self.file, self.reads = file.path, file, []

    def stamp(self):
        return self.file.stamp()

    def read(self, offset, size):
        self.reads.append(size)
        return self.file.read(offset, size)


def test_of_large_records_little_is_read(tmp_path):
    images = {name: b"\xff\xd8\xff" + bytes(100_000) for name in TRAIN[:50]}
    tfds(images, tmp_path, {"train": 1}, "")
    with open_file(str(tmp_path / "imagenet2012-train.tfrecord-00000-of-00001")) as file:
        counting = Counting(file)
        assert len(list_examples(counting)) == 50
    assert len(counting.reads) <= 101 and sum(counting.reads) < 50 * 1_200


VALID_RECORD = record(example("n01440764_1.JPEG", b"\xff\xd8\xff" + bytes(900), 0))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (VALID_RECORD + VALID_RECORD[:5], "truncated"),
        (VALID_RECORD + VALID_RECORD[:300], "truncated"),
        (VALID_RECORD + VALID_RECORD[:-2], "truncated"),
        (VALID_RECORD + bytes([VALID_RECORD[0] ^ 1]) + VALID_RECORD[1:], f"at byte {len(VALID_RECORD):,}"),
        (VALID_RECORD + bytes(4096), f"at byte {len(VALID_RECORD):,}"),
        (b"\xff\xd8\xff\xe0" * 100, "at byte 0"),
        (gzip.compress(VALID_RECORD), "at byte 0"),
        (record(b""), "features of none"),
        (record(b"\x0b\x0c"), "wire type 3"),
        (record(b"\xff" * 40), "does not end"),
        (record(b"\x0a\x7f" + bytes(20)), "ends after it"),
        (record(field(1, feature(b"image/encoded", b"\xff\xd8\xff"))), "image/encoded"),
        (record(field(1, feature(b"image", b"\xff\xd8\xff") + feature(b"label", b"\1", 3))), "image, label"),
        (record(field(1, feature(b"image", b"1", 3))), "without bytes"),
    ],
)
def test_what_is_no_tfrecord_file_of_imagenet_is_refused(tmp_path, data, found):
    path = tmp_path / "imagenet2012-train.tfrecord-00000-of-01024"
    path.write_bytes(data)
    with open_file(str(path)) as file:
        said = message(lambda: list_examples(file).to_pylist())
    assert str(path) in said and found in said and "again" in said


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


# --------------------------------------------------------------------------------------- WebDataset


def images_of_tar(path):
    with open_file(str(path)) as file:
        return content(list_images(walk_archive(str(path)), file), file)


@pytest.mark.parametrize("by_name", [True, False])
def test_tars_of_webdataset_hold_the_images(images, tmp_path, by_name):
    webdataset(images, tmp_path, by_name=by_name, folders=not by_name)
    found = {}
    for path in tmp_path.rglob("imagenet1k-*.tar"):
        found |= images_of_tar(path)
    assert found == images
    with tarfile.open(next(tmp_path.rglob("imagenet1k-train-0000.tar"))) as tar:
        stem = os.path.splitext(tar.getnames()[0])[0]
        assert tar.getnames()[:3] == [f"{stem}.{kind}" for kind in ("cls", "jpg", "json")]
        assert (official_name(stem) is not None) == by_name


@pytest.mark.parametrize("kind", ["jpg", "jpeg", "JPEG"])
def test_samples_may_lack_what_is_not_needed(tmp_path, kind):
    write(tmp_path / "a.tar", {"n01440764_1." + kind: b"\xff\xd8\xff", "readme.txt": b"x", "n01440764_1.json": b"?"})
    assert images_of_tar(tmp_path / "a.tar") == {"n01440764_1.JPEG": b"\xff\xd8\xff"}


def write(path, members):
    write_tar(path, members.items())


@pytest.mark.parametrize(
    ("described", "found"),
    [
        (None, "no 00000007.json"),
        (b"{", "not valid JSON"),
        (b"[1]", "[1]"),
        (b'{"label": 3}', '{"label": 3}'),
        (b'{"filename": 3}', '{"filename": 3}'),
        (b'{"filename": "cat.jpg"}', "cat.jpg"),
        (b"\xff" * 10, "not valid JSON"),
    ],
)
def test_samples_without_a_name_are_refused(tmp_path, described, found):
    members = {"00000007.jpg": b"\xff\xd8\xff"} | ({} if described is None else {"00000007.json": described})
    write(tmp_path / "a.tar", members)
    said = message(images_of_tar, tmp_path / "a.tar")
    assert str(tmp_path / "a.tar") in said and found in said and "filename" in said


# ------------------------------------------------------------------------------------------ Parquet


def parquet_files(folder):
    return sorted(str(path) for path in folder.rglob("*.parquet"))


def extract(files, wanted=None, **options):
    return list(read_images(find_pieces(files, wanted), **options))


def bytes_of(folder, wanted=None):
    images = extract(parquet_files(folder), wanted)
    assert len(dict(images)) == len(images)
    return dict(images)


def test_parquet_files_hold_the_images(images, tmp_path):
    hub_parquet(images, tmp_path)
    assert bytes_of(tmp_path) == images
    file = pq.ParquetFile(tmp_path / "data" / "train-00000-of-00003.parquet")
    features = datasets.Features.from_arrow_schema(file.schema_arrow)
    assert features["image"] == datasets.Image() and features["label"].int2str(0) == "tench, Tinca tinca"
    group = file.metadata.row_group(0)
    column = group.column(0)
    assert group.num_rows == 100 and column.compression == "SNAPPY" and column.has_dictionary_page
    rows = file.read().to_pylist()
    assert {official_name(row["image"]["path"]): row["label"] for row in rows} == {
        name: label_of(name) for name in map(official_name, (row["image"]["path"] for row in rows))
    }


def test_a_snapshot_in_the_hubs_cache_is_read_through_its_links(images, tmp_path):
    snapshot = hub_cache(images, tmp_path)
    assert all(os.path.islink(file) for file in parquet_files(snapshot))
    assert bytes_of(snapshot) == images


def test_only_row_groups_that_hold_wanted_images_are_read(images, tmp_path):
    hub_parquet(images, tmp_path, {"train": 1, "validation": 1, "test": 1})
    files = parquet_files(tmp_path)
    train = pq.ParquetFile(files[1])
    paths = train.read_row_group(2, columns=["image.path"])["image"].to_pylist()
    wanted = {official_name(path["path"]) for path in paths[3:60:7]}
    read = []
    found = extract(files, wanted | {"n01440764_99999.JPEG"}, advance=read.append, threads=2)
    assert dict(found) == {name: images[name] for name in wanted} and len(found) == len(wanted)
    assert read == [train.metadata.row_group(2).column(0).total_compressed_size]


@pytest.mark.parametrize(("constant", "size"), [("AHEAD", 1), ("AHEAD", 100_000), ("PIECE", 1), ("BATCH", 1)])
def test_sizes_of_what_is_held_change_nothing(images, tmp_path, monkeypatch, constant, size):
    hub_parquet(images, tmp_path)
    files, wanted = parquet_files(tmp_path), set(NAMES[::7])
    expected, few = extract(files), extract(files, wanted)
    monkeypatch.setattr(parquet_images, constant, size)
    assert extract(files) == expected
    assert extract(files, wanted) == few and dict(few) == {name: images[name] for name in wanted}


def parquet_of(path, column, **more):
    pq.write_table(pa.table({"image": column, **more}), path)


ROW = {"bytes": b"\xff\xd8\xff", "path": "n01440764_1_n01440764.JPEG"}


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([b"\xff\xd8\xff"], "columns image;"),
        ([{"bytes": b"\xff\xd8\xff"}], "columns image.bytes;"),
        ([ROW | {"path": None}] * 2, "[None, None]"),
        ([ROW | {"path": "cat.jpg"}], "cat.jpg"),
        ([ROW | {"bytes": None}, ROW | {"path": "n01440764_2.JPEG"}], "n01440764_1.JPEG has no bytes"),
        ([ROW, ROW], "n01440764_1.JPEG is in 2 rows"),
    ],
)
def test_parquet_files_of_other_content_are_refused(tmp_path, column, found):
    path = tmp_path / "train-00000-of-00001.parquet"
    parquet_of(path, pa.array(column))
    said = message(extract, [str(path)])
    assert str(path) in said and found in said


def test_an_image_in_two_parquet_files_is_refused(tmp_path):
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file in files:
        parquet_of(file, pa.array([ROW]))
    said = message(extract, list(map(str, files)), {"n01440764_1.JPEG"})
    assert all(str(file) in said for file in files)
    assert extract(list(map(str, files)), {"n01440764_2.JPEG"}) == []


def cut_short(path):
    truncate(path, 0.7)


def not_parquet(path):
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 3)


def emptied(path):
    path.write_bytes(b"")


def damaged_page(path):
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 40 + data[44:])


@pytest.mark.parametrize("damage", [cut_short, not_parquet, emptied, damaged_page])
def test_damaged_parquet_files_are_refused(images, tmp_path, damage):
    hub_parquet(images, tmp_path)
    path = tmp_path / "data" / "train-00001-of-00003.parquet"
    damage(path)
    said = message(extract, parquet_files(tmp_path))
    assert str(path) in said and "again" in said


def test_a_parquet_file_that_is_absent_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        find_pieces([str(tmp_path / "a.parquet")], None)


# -------------------------------------------------------------------------------------- the writers


def test_tar_gz_of_the_hub_are_flat_and_shuffled(images, tmp_path):
    hub_tar_gz(images, tmp_path)
    found, order = {}, []
    for path in sorted((tmp_path / "data").iterdir()):
        with tarfile.open(path) as tar:
            for member in tar:
                found[member.name] = tar.extractfile(member).read()
                order.append(member.name)
    assert {official_name(name): data for name, data in found.items()} == images
    assert {"n01440764_1_n01440764.JPEG", "ILSVRC2012_test_00000001.JPEG"} <= found.keys()
    assert order != sorted(order)


@pytest.mark.parametrize("by_class", [False, True])
def test_folders_of_the_hub_keep_its_names(images, tmp_path, by_class):
    hub_folders(images, tmp_path, by_class)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.JPEG")}
    assert len(found) == len(images)
    folder = "n01440764/" if by_class else ""
    assert {f"train/{folder}n01440764_1_n01440764.JPEG", "test/ILSVRC2012_test_00000001.JPEG"} <= found


FIRST_FILES = {
    "class-tars": "train/n01440764.tar",
    "folders": "train/n01440764/n01440764_1.JPEG",
    "kaggle-folders": "ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_1.JPEG",
    "kaggle-zip": "imagenet-object-localization-challenge.zip",
    "kaggle-tar-gz": "imagenet_object_localization_patched2019.tar.gz",
    "hub-parquet": "data/train-00000-of-00294.parquet",
    "hub-tar-gz": "data/train_images_4.tar.gz",
    "hub-folders": "train/n01440764_1_n01440764.JPEG",
    "webdataset": "imagenet1k-train-1023.tar",
    "tfds": "imagenet2012/5.1.0/imagenet2012-validation.tfrecord-00063-of-00064",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_names_of_its_origin(images, tmp_path, form):
    write_form(form, images, tmp_path)
    assert (tmp_path / FIRST_FILES[form]).is_file()


def test_prepared_tfds_describe_their_records(images, tmp_path):
    tfds(images, tmp_path)
    folder = tmp_path / "imagenet2012" / "5.1.0"
    splits = {split["name"]: split for split in json.loads((folder / "dataset_info.json").read_text())["splits"]}
    assert {name: sum(map(int, split["shardLengths"])) for name, split in splits.items()} == {
        "train": 480,
        "validation": 30,
        "test": 1,
    }
    sizes = sum(path.stat().st_size for path in folder.glob("*-train.tfrecord-*"))
    assert int(splits["train"]["numBytes"]) == sizes - 480 * struct.calcsize("<QII")


def test_sample_writes_a_form_of_all_standins(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "new"), "--configs", "1pct", "--layout", "hub-parquet"]) == 0
    assert "hub-parquet, 308 files" in capsys.readouterr().out
    files = parquet_files(tmp_path / "new")
    assert len(files) == 308 and sum(pq.read_metadata(file).num_rows for file in files) == 65_834


def test_sample_overwrites_nothing_and_names_the_layouts(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(FileExistsError, match="holds mine"):
        make_standins(tmp_path, layout="tfds")
    with pytest.raises(ValueError, match=r"'tfd'.*'archives', 'class-tars'.*'tfds'"):
        make_standins(tmp_path, layout="tfd")
    with pytest.raises(ValueError, match=r"'full'.*'tfds'"):
        make_standins(tmp_path / "new", layout="tfds", members="full")
    assert os.listdir(tmp_path) == ["mine"]
