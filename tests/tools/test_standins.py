import collections
import io
import itertools
import os
import re
import subprocess
import sys
import tarfile

import pytest
from helpers.programs import PROJECT
from helpers.rows import TRAIN_NAME
from makers.layouts import validation_images
from PIL import Image

from imagenet_reader.lists import SPLIT_FILES
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.lists import published_lines
from imagenet_subsets_tools.standins import CMYK_IMAGES, PNG_IMAGE, make_standins
from imagenet_subsets_tools.standins.images import jpeg_segment

pytestmark = pytest.mark.once

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
WNIDS = published_lines(SPLIT_FILES, "classes.parquet", "{wnid}")


def listed(*files):
    return {name for file in files for name in published_lines(SPLIT_FILES, file, TRAIN_NAME)}


def test_train_is_a_tar_of_sorted_class_tars(standins_1pct, train):
    """They hold listed, unlisted and special images."""
    names = []
    with tarfile.open(standins_1pct / TRAIN) as outer:
        assert outer.getnames() == [f"{wnid}.tar" for wnid in WNIDS]
        for class_tar in outer:
            with tarfile.open(fileobj=outer.extractfile(class_tar)) as inner:
                in_class = inner.getnames()
            assert in_class == sorted(set(in_class))
            assert all(re.fullmatch(class_tar.name[:-4] + r"_\d+\.JPEG", name) for name in in_class)
            names += in_class
    assert names == list(train)
    special = CMYK_IMAGES | {PNG_IMAGE}
    assert len(special) == 23
    wanted = listed("1pct.parquet") | special
    assert wanted <= train.keys()
    extra = train.keys() - wanted
    assert collections.Counter(name[:9] for name in extra) == dict.fromkeys(WNIDS, 3)
    assert not extra & listed("1pct.parquet", "10pct.parquet", "lt_train.parquet", "lt_validation.parquet")


def test_each_image_decodes_and_says_its_name(train, standins_1pct):
    """Modes and orientations are those of the official archive."""
    modes, turns = {}, collections.Counter()
    validation = itertools.islice(validation_images(standins_1pct).items(), 2_000)
    for name, content in [*train.items(), *validation]:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert image.size == (64, 48)
            assert image.format == ("PNG" if name == PNG_IMAGE else "JPEG")
            assert name != PNG_IMAGE or image.info["Comment"] == name
            modes[name] = image.mode
            turns[image.getexif().get(0x0112)] += 1
        assert name == PNG_IMAGE or content.startswith(b"\xff\xd8" + jpeg_segment(0xFE, name.encode()))
    assert {name for name, mode in modes.items() if mode == "CMYK"} == CMYK_IMAGES
    assert 0.015 < list(modes.values()).count("L") / len(modes) < 0.025
    assert set(modes.values()) == {"RGB", "L", "CMYK"}
    assert turns.keys() == {None, 3, 6, 8}
    assert 0.001 < 1 - turns[None] / len(modes) < 0.005


def test_an_archive_is_never_overwritten(tmp_path):
    for name in (TRAIN, VALIDATION):
        (tmp_path / name).write_bytes(b"138 GB")
        with pytest.raises(FileExistsError, match=name):
            make_standins(tmp_path, configs=["1pct"])
        assert (tmp_path / name).read_bytes() == b"138 GB"
        assert os.listdir(tmp_path) == [name]
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"configs": ["5pct"]}, "unknown config '5pct'; the configs are '1pct', '10pct', 'lt'"),
        ({"layout": "tfd"}, "unknown layout 'tfd'; the layouts are 'archives', .*'tfds'"),
    ],
)
def test_error_for_a_wrong_value_lists_the_valid_ones(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_standins(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def run(*arguments, before="pass", **options):
    """The finished command, run by a new interpreter after the statements ``before``."""
    code = f"import sys; {before}; from imagenet_subsets_tools.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, **options)


def test_nothing_is_left_after_a_failed_write(tmp_path):
    (tmp_path / "other").touch()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    result = run("sample", tmp_path, "--configs", "1pct", before=limit)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.fullmatch("imagenet-subsets: error: .*File too large.*", result.stderr.splitlines()[-1])
    assert os.listdir(tmp_path) == ["other"]


def test_every_call_makes_the_same_bytes(standins_1pct, standins_all):
    assert (standins_1pct / VALIDATION).read_bytes() == (standins_all / VALIDATION).read_bytes()
    some, more = (set(first_class(folder)) for folder in (standins_1pct, standins_all))
    assert some and some < more


def first_class(folder):
    """The contents of the images in the first class tar."""
    with tarfile.open(folder / TRAIN) as outer, tarfile.open(fileobj=outer.extractfile(outer.next())) as inner:
        return [inner.extractfile(image).read() for image in inner]


def test_demo_shows_rows_and_cleans_up(tmp_path):
    temporary, home = tmp_path / "tmp", tmp_path / "home"
    temporary.mkdir()
    environment = os.environ | {"HF_DATASETS_DISABLE_PROGRESS_BARS": "0"}  # as on a terminal
    result = run("demo", env={**environment, "TMPDIR": str(temporary), "HF_HOME": str(home)})
    assert result.returncode == 0, result.stderr
    assert "num_rows: 12811" in result.stdout and "num_rows: 50000" in result.stdout
    assert re.search(r"ILSVRC2012_val_00000001.JPEG +65 +sea snake +64x48", result.stdout)
    calls = re.findall(r"(\w+)\.load_dataset\(", result.stdout)
    assert calls == ["imagenet_subsets", "imagenet_subsets"]
    assert "Warning" not in result.stderr
    last = {line.partition(":")[0]: line for line in re.split("[\r\n]", result.stderr) if line.startswith("Indexing")}
    assert len(last) == 2 and all("100%" in line for line in last.values())
    assert os.listdir(temporary) == []
    left = [path for path in home.rglob("*") if path.is_file() and "modules" not in path.parts]
    assert left == []


def test_errors_are_one_line_and_wrong_usage_ends_with_2(tmp_path, capsys):
    (tmp_path / TRAIN).touch()
    for command in (["sample", str(tmp_path)], ["index", f"{tmp_path}/no.tar"]):
        assert main(command) == 1
        (message,) = capsys.readouterr().err.splitlines()
        assert message.startswith(f"imagenet-subsets: error: {tmp_path}")
    for arguments in (["sample"], ["unknown"], ["sample", "x", "--members", "all"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2 and "usage: imagenet-subsets" in capsys.readouterr().err


def test_help_is_quick():
    result = run("demo", "--help", before="sys.modules['datasets'] = None")  # importing it would fail
    assert result.returncode == 0, result.stderr


def test_headers_and_ends_are_those_of_gnu_tars(standins_1pct):
    for path in (standins_1pct / TRAIN, standins_1pct / VALIDATION):
        with tarfile.open(path) as archive, path.open("rb") as file:
            for member in (archive.next(), archive.next()):
                header = tarfile.TarInfo(member.name)
                header.size = member.size
                file.seek(member.offset)
                assert file.read(512) == header.tobuf(tarfile.GNU_FORMAT)
                if path.name == TRAIN:
                    assert member.size % 10_240 == 0
                    file.seek(member.offset_data + member.size - 1024)
                    assert file.read(1024) == bytes(1024)
            file.seek(-1024, os.SEEK_END)
            assert file.read() == bytes(1024) and file.tell() % 10_240 == 0
