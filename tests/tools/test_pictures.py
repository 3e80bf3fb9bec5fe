"""The pictures, tables with thumbnails, and ``imagenet-subsets show``."""

import base64
import html
import io
import re
import sys

import datasets
import numpy as np
import pytest
from PIL import Image

import imagenet_subsets
from imagenet_reader.lists import label_names, read_classes
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.pictures import as_dataframe, draw_grid, draw_images_per_class

pytest.importorskip("matplotlib", reason="needs matplotlib")

pytestmark = pytest.mark.once

WORDS = label_names(read_classes(), "words")

# Where the grid has its tiles, in pixels.
LEFTS, TOP, ROW, TILE = (48, 394, 740, 1086, 1432), 184, 362, (320, 240)


def picture_of(figure):
    """A figure as the image that it is saved as."""
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert("RGB")


def tile(picture, k):
    """The inside of a tile."""
    left, top = LEFTS[k % 5] + 20, TOP + k // 5 * ROW + 20
    return picture.crop((left, top, left + TILE[0] - 40, top + TILE[1] - 40))


def difference(one, other):
    """Of two pictures, the mean over their pixels."""
    return np.abs(np.asarray(one, float) - np.asarray(other.resize(one.size), float)).mean()


def test_grid_shows_the_first_rows(standins_1pct, dataset_1pct):
    picture = picture_of(draw_grid("1pct", str(standins_1pct), split="validation", examples=12))
    assert picture.size == (1800, TOP + 3 * ROW + 8)
    for k, row in enumerate(dataset_1pct["validation"].select(range(12))):
        middle = row["image"].resize(TILE).crop((20, 20, TILE[0] - 20, TILE[1] - 20))
        assert difference(tile(picture, k), middle) < 4  # two of other classes: 20 and more
    assert np.asarray(picture)[TOP + 2 * ROW :, LEFTS[2] - 10 :].min() == 255  # two in the last line
    with pytest.raises(ValueError, match="examples is 0"):
        draw_grid("1pct", standins_1pct, examples=0)


def test_grid_crops_images_of_any_shape_and_mode(dataset_1pct, monkeypatch):
    images = [
        Image.new("RGB", (20, 900), (200, 0, 0)),
        Image.new("CMYK", (900, 20), (0, 255, 255, 55)),
        Image.new("L", (300, 300), 90),
    ]

    class Rows(list):
        features, info = dataset_1pct["train"].features, dataset_1pct["train"].info

    rows = Rows({"image": image, "label": -1, "file_name": "x"} for image in images)
    monkeypatch.setattr(imagenet_subsets, "load_dataset", lambda *_, **__: rows)
    picture = picture_of(draw_grid("1pct", "any"))
    for k, colour in enumerate([(200, 0, 0), (200, 0, 0), (90, 90, 90)]):
        assert difference(tile(picture, k), Image.new("RGB", (1, 1), colour)) < 1


def table(frame):
    """(header, rows) as a notebook shows them: texts, and images."""
    rows = re.findall(r"<tr.*?>(.*?)</tr>", frame._repr_html_(), re.DOTALL)
    header, *rows = [
        [read_cell(cell) for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows
    ]
    return header, rows


def read_cell(cell):
    image = re.fullmatch(r'<img src="data:image/jpeg;base64,(.+?)".*>', cell)
    return Image.open(io.BytesIO(base64.b64decode(image[1], validate=True))) if image else html.unescape(cell)


@pytest.fixture(scope="module")
def train(dataset_1pct):
    return dataset_1pct["train"]


def test_a_table_of_a_stream(standins_1pct, train):
    options = {"split": "train", "streaming": True, "label_names": "words"}
    frame = as_dataframe(imagenet_subsets.load_dataset("1pct", data_dir=str(standins_1pct), **options), rows=5)
    expected = train.select(range(5))
    due = [(row["label"], WORDS[row["label"]], row["file_name"]) for row in expected]
    assert list(zip(frame["label"], frame["class"], frame["file_name"])) == due
    assert as_dataframe(train, rows=5)["class"].tolist() == frame["class"].tolist()
    header, rows = table(frame)
    assert header == ["", "image", "label", "class", "file_name"]
    for k, (row, (index, image, *texts)) in enumerate(zip(expected, rows)):
        assert (index, *texts) == (str(k), *map(str, due[k]))
        assert frame["image"][k].mode == "RGB" and difference(frame["image"][k], row["image"]) == 0
        assert difference(image, row["image"]) < 5


def test_selections_from_a_table_show_images(train):
    frame = as_dataframe(train)
    chosen = frame[frame.label < 300].head(3)
    shown = [(type(row[1]).__name__, int(row[2])) for row in table(chosen)[1]]
    assert shown == [("JpegImageFile", label) for label in chosen.label]


def test_other_cells_are_escaped(train):
    frame = as_dataframe(train, rows=2)
    frame["class"] = ['<img src="x">', "fish & 'chips'"]
    frame.index = ["<b>", '"']
    text = frame._repr_html_()
    assert "<b>" not in text and text.count("<img") == 2
    assert [(row[0], row[3]) for row in table(frame)[1]] == [("<b>", '<img src="x">'), ('"', "fish & 'chips'")]


def test_other_tables(train):
    """Of a dataset in another format, and of unlabeled and large images."""
    frame = as_dataframe(train.with_format("numpy"), rows=2)
    assert frame["label"].dtype == np.int64 and frame.label.sum() == sum(train[:2]["label"])
    rows = {"image": [Image.new("L", (800, 400), 70)], "label": [-1], "file_name": ["x"]}
    frame = as_dataframe(datasets.Dataset.from_dict(rows, features=train.features))
    assert (len(frame), frame["image"][0].size) == (1, (96, 48))
    assert table(frame)[1][0][2:] == ["-1", "unlabeled", "x"]


def test_a_table_is_of_one_split(dataset_1pct, train):
    for other in (dataset_1pct, train.remove_columns("label")):
        with pytest.raises(ValueError, match=r"one split.*file_name.*image.*label"):
            as_dataframe(other)


def test_show_writes_both_pictures(standins_1pct, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    names = ["n01440764_10040.JPEG", "n01443537_10176.JPEG"]
    (tmp_path / "my.txt").write_text("\n".join(names))
    options = ["--train-list", str(tmp_path / "my.txt"), "--classes", "n01443537"]
    options += ["--histogram", "--data-dir", str(standins_1pct), "--output-dir", str(folder)]
    assert main(["show", "custom", *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}/custom-train.png: 1800 x {TOP + ROW + 8} pixels",
        f"{folder}/images-per-class.png: 1800 x 1140 pixels",
    ]
    grid = draw_grid("custom", standins_1pct, train_list=names, classes=["n01443537"])
    assert {text.get_text() for text in grid.axes[0].texts} == {"goldfish", "Carassius auratus"}
    histogram = draw_images_per_class()
    counts = {"1pct: 12,811 images, 12 or 13 per class", "lt: 115,846 images, 5 to 1,280 per class"}
    assert counts <= {text.get_text() for text in histogram.axes[0].texts}
    for name, figure in (("custom-train", grid), ("images-per-class", histogram)):
        assert difference(picture_of(figure), Image.open(folder / f"{name}.png").convert("RGB")) == 0
    assert len(list(folder.iterdir())) == 2


def test_show_without_matplotlib_says_what_to_install(tmp_path, monkeypatch, capsys):
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["show", "--histogram", "--output-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith(
        "error: Pictures need matplotlib: pip install -e '.[pictures]' in the clone\n"
    )


def test_show_reports_wrong_arguments(capsys):
    for arguments in ([], ["imagenet", "--data-dir", "x"]):
        with pytest.raises(SystemExit) as end:
            main(["show", *arguments])
        assert end.value.code == 2 and "usage: imagenet-subsets show" in capsys.readouterr().err
