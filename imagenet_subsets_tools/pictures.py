"""Pictures of the datasets: a grid of examples, the images per class, and tables with thumbnails for notebooks."""

import base64
import html
import io
import itertools
import textwrap
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageOps

import imagenet_subsets
from imagenet_reader.lists import label_names, read_classes, read_wnids
from imagenet_subsets_tools.longtail import images_per_class, shot_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _PIXELS = 900, 2  # units, the pixels of a README, and real pixels for each
_BLACK, _GREY = "#1b1f24", "#59636e"
_TEXT: dict[str, Any] = {"family": "DejaVu Sans", "fontsize": 9.5, "color": _BLACK}
_COLUMNS, _LEFT, _TOP, _STEP, _ROW, _TILE = 5, 24, 92, 173, 181, (160, 120)  # of the grid, in units
_CURVES = {"1pct": "#1a7f37", "10pct": "#0969da", "lt": "#a84300"}  # in the order of drawing
_LABEL_AT = {"1pct": (40, 16.5), "10pct": (590, 165), "lt": (60, 700)}  # rank, images: free space beside the curve
_GROUPS = {  # of lt: colour and definition
    "many": ("#ffe2cc", "more than 100 images"),
    "medium": ("#fff0e5", "20 to 100 images"),
    "few": ("#fff9f5", "fewer than 20"),
}
_IMAGE_TICKS = (5, 10, 20, 50, 100, 200, 500, 1_000)
_THUMBNAIL = 96, 96  # pixels, at most


def draw_grid(config: str, data_dir: str, split: str = "train", examples: int = 20, **options: Any) -> "Figure":
    """Draw the first examples of a split, cropped to 4:3, with their classes.

    The rows are streamed, so nothing is built; the rows of every split mix the classes.

    Args:
        config, data_dir, options: as for ``imagenet_subsets.load_dataset``.
        split: a split of the config.
        examples: maximum number of examples, 1 or more.

    Returns:
        ``matplotlib.figure.Figure``, 1,800 pixels wide, five examples per row.

    Raises:
        OSError, ValueError: as ``imagenet_subsets.load_dataset``.
        ModuleNotFoundError: matplotlib is not installed.

    Example:

        >>> draw_grid("1pct", "/data/imagenet").savefig("grid.png")
    """
    if examples < 1:
        raise ValueError(f"examples is {examples}; expected 1 or more")
    dataset = imagenet_subsets.load_dataset(
        config, data_dir=data_dir, streaming=True, splits=[split], split=split, label_names="words", **options
    )
    rows = list(itertools.islice(dataset, examples))
    class_of = _class_names(dataset.features["label"].names)
    count = dataset.info.splits[split].num_examples
    height = _TOP + -(-len(rows) // _COLUMNS) * _ROW + 4
    figure = _new_figure(f"{config} {split}", f"{count:,} images; here the first {len(rows):,}", height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    size = _PIXELS * _TILE[0], _PIXELS * _TILE[1]
    corners = Image.new("L", size)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), 6 * _PIXELS, fill=255)
    for k, row in enumerate(rows):
        left, top = _LEFT + k % _COLUMNS * _STEP, _TOP + k // _COLUMNS * _ROW
        tile = ImageOps.fit(row["image"].convert("RGB"), size, Image.Resampling.LANCZOS)
        tile.putalpha(corners)
        axes.imshow(tile, extent=(left, left + _TILE[0], top + _TILE[1], top))
        name, _, others = class_of[row["label"]].partition(", ")
        lines = [(text, _BLACK) for text in _wrap(name, 2)] + [(text, _GREY) for text in _wrap(others, 1)]
        for line, (text, colour) in enumerate(lines[:2]):
            place = left, top + _TILE[1] + 15 + 19 * line
            axes.text(*place, text, **_TEXT | {"color": colour}, va="center_baseline", parse_math=False)
    axes.set(xlim=(0, _WIDTH), ylim=(height, 0), aspect="auto")
    return figure


def _new_figure(title: str, subtitle: str, height: int) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ModuleNotFoundError("Pictures need matplotlib: pip install -e '.[pictures]' in the clone") from None
    figure = Figure(figsize=(_WIDTH / 100, height / 100), dpi=100 * _PIXELS, facecolor="white")
    place = _LEFT / _WIDTH, 1 - 33 / height
    figure.text(*place, title, **_TEXT | {"fontsize": 16}, va="center")
    figure.text(place[0], 1 - 60 / height, subtitle, **_TEXT | {"fontsize": 10, "color": _GREY}, va="center")
    return figure


def _class_names(names: list[str]) -> dict[int, str]:
    """{label: words} for the class names of a dataset, which may be wnids or words."""
    words = dict(zip(read_wnids(), label_names(read_classes(), "words")))
    return {-1: "unlabeled"} | {label: words.get(name, name) for label, name in enumerate(names)}


def _wrap(text: str, lines: int) -> list[str]:
    return [line.replace(",...", "...") for line in textwrap.wrap(text, 20, max_lines=lines, placeholder="...")]


def draw_images_per_class() -> "Figure":
    """Draw how many training images each class has in 1pct, 10pct and lt, from the split lists alone.

    Returns:
        ``matplotlib.figure.Figure``, 1,800 pixels wide; the background shows the shot groups of lt.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    Example:

        >>> draw_images_per_class().savefig("images-per-class.png")
    """
    height = 570
    subtitle = "The classes of each config, sorted from most to fewest images"
    figure = _new_figure("Training images per class", subtitle, height)
    axes = figure.add_axes((78 / _WIDTH, 66 / height, 798 / _WIDTH, 346 / height))
    start = 0
    for (name, (colour, definition)), labels in zip(_GROUPS.items(), shot_groups("lt").values()):
        axes.axvspan(start, start + len(labels), color=colour, linewidth=0)
        for line, text in enumerate((f"lt: {name}", f"{len(labels)} classes", definition)):
            look = _TEXT | {"color": _GREY if line else _CURVES["lt"]}
            axes.annotate(text, (start, 1), (6, 36 - 13 * line), ("data", "axes fraction"), "offset points", **look)
        start += len(labels)
    for config, colour in _CURVES.items():
        count = np.sort(images_per_class(config))[::-1]
        axes.plot(np.arange(1000) + 0.5, count, color=colour, linewidth=1.8, solid_capstyle="butt")
        between = "or" if np.ptp(count) == 1 else "to"
        text = f"{config}: {count.sum():,} images, {count.min():,} {between} {count.max():,} per class"
        axes.text(*_LABEL_AT[config], text, **_TEXT | {"fontsize": 10, "color": colour}, va="center")
    axes.set(xlim=(0, 1000), yscale="log", ylim=(4, 1_600), xticks=range(0, 1001, 200), yticks=_IMAGE_TICKS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.tick_params(colors=_GREY, labelsize=_TEXT["fontsize"], labelfontfamily=_TEXT["family"], pad=5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(_GREY)
    axes.set_xlabel("classes", **_TEXT, labelpad=8)
    axes.text(-0.012, 1, "images", **_TEXT, ha="right", va="center", transform=axes.transAxes)
    return figure


class ThumbnailFrame(pd.DataFrame):  # type: ignore[misc]  # pandas is not typed
    """A ``pandas.DataFrame`` whose cells with images notebooks show as pictures, as in frames derived from it."""

    @property
    def _constructor(self) -> type["ThumbnailFrame"]:
        return ThumbnailFrame

    def _repr_html_(self) -> str:
        frame = pd.DataFrame(self).rename(index=_as_html, columns=_as_html)
        formatters, rows = [_as_html] * len(frame.columns), pd.get_option("display.max_rows")
        with pd.option_context("display.max_colwidth", None):  # images are long texts in HTML
            return str(frame.to_html(formatters=formatters, escape=False, max_rows=rows))  # _as_html escapes texts


def _as_html(cell: object) -> str:
    if not isinstance(cell, Image.Image):
        return html.escape(str(cell))
    file = io.BytesIO()
    cell.convert("RGB").save(file, "JPEG", quality=85)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'


def as_dataframe(dataset: Any, rows: int = 20) -> ThumbnailFrame:
    """The first rows of a split as a table that notebooks show with thumbnails.

    Args:
        dataset: a split from ``imagenet_subsets.load_dataset``, with or without ``streaming=True``.
        rows: maximum number of rows. Images are decoded one at a time, and only thumbnails (30 kB) are kept.

    Returns:
        ``ThumbnailFrame``, ``[rows, 4]``: ``image`` (``PIL.Image.Image``, RGB, up to 96 x 96 pixels), ``label``
        (int64, -1 if unlabeled), ``class`` (words, ``"unlabeled"`` for -1) and ``file_name``.

    Raises:
        ValueError: ``dataset`` is not a split with these columns (except ``class``).

    Example:

        >>> frame = as_dataframe(imagenet_subsets.load_dataset("1pct", data_dir="/data/imagenet", split="train"))
        >>> frame[frame.label < 300].head()  # the last line of a notebook cell
    """
    features = getattr(dataset, "features", None) or {}
    if not {"image", "label", "file_name"} <= set(features):
        raise ValueError("expected one split, such as dataset['train'], with the columns file_name, image and label")
    class_of = _class_names(features["label"].names)
    if isinstance(dataset, datasets.Dataset):
        dataset = dataset.with_format(None)  # others give arrays or tensors instead of images
    shown = []
    for row in itertools.islice(dataset, rows):
        thumbnail = row["image"].convert("RGB")
        thumbnail.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
        shown.append((thumbnail, row["label"], class_of[row["label"]], row["file_name"]))
    columns = ["image", "label", "class", "file_name"]
    frame: ThumbnailFrame = ThumbnailFrame(shown, columns=columns).astype({"label": np.int64})
    return frame
