"""Pictures of the datasets: a grid of examples, the images per class, and tables with thumbnails for notebooks.

Everything is drawn with Pillow and its built-in font, so that nothing else needs to be installed.
"""

import base64
import functools
import io
import itertools
import re
import secrets

import datasets
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps, features

import imagenet_subsets
from imagenet_reader.lists import label_names, read_classes
from imagenet_subsets_tools.longtail import images_per_class, shot_groups

UNLABELED = "unlabeled"  # class name of label -1

_WIDTH, _MARGIN = 900, 24  # pixels; a README shows 830 to 1,000
_INK, _GREY, _LINE = "#1b1f24", "#59636e", "#d1d9e0"
_SIZE = 14  # of text
_SCALE = 4  # shapes are drawn this many times larger, for smooth edges
_FREETYPE = features.check("freetype2")  # without it, Pillow has only one small font size
_TEXT_SCALE = 2 if _FREETYPE else 1  # the same for text, for even spacing


# ------------------------------------------------------------------------------------- a grid of examples

_COLUMNS, _GAP = 5, 13
_TILE = 160, 120  # width and height; most images are 4:3
_CAPTION_AT, _CAPTION_LINE, _CAPTION_LINES = _TILE[1] + 9, 19, 2
_GRID_TOP, _CELL = 92, _CAPTION_AT + _CAPTION_LINES * _CAPTION_LINE + 14  # top of the grid, height of a row


def draw_grid(config, data_dir, split="train", examples=20, **options):
    """Draw the first examples of a split, cropped to 4:3, with their classes.

    The rows are streamed, so nothing is built; the rows of every split mix the classes.

    Args:
        config: ``"1pct"``, ``"10pct"``, ``"lt"``, ``"full"`` or ``"custom"``.
        data_dir: the folder with ImageNet, as for ``imagenet_subsets.load_dataset``.
        split: a split of the config.
        examples: maximum number of examples, 1 or more.
        **options: other options of ``imagenet_subsets.load_dataset``, such as ``train_list``.

    Returns:
        ``PIL.Image.Image``, RGB, 900 pixels wide, five examples per row.

    Raises:
        ValueError: ``examples`` is less than 1, or the config or split does not exist.
        FileNotFoundError, ArchiveError: as ``imagenet_subsets.load_dataset``.

    Example:

        >>> draw_grid("1pct", "/data/imagenet").save("grid.png")
    """
    if examples < 1:
        raise ValueError(f"examples is {examples}; expected 1 or more")
    dataset = imagenet_subsets.load_dataset(
        config, data_dir=data_dir, streaming=True, splits=[split], split=split, label_names="words", **options
    )
    rows = list(itertools.islice(dataset, examples))
    class_of = _class_names(dataset.features["label"].names)
    canvas = Image.new("RGB", (_WIDTH, _GRID_TOP + -(-len(rows) // _COLUMNS) * _CELL + 4), "white")
    count = dataset.info.splits[split].num_examples
    _draw_heading(canvas, f"{config} {split}", f"{count:,} images; here the first {len(rows):,}")
    for k, row in enumerate(rows):
        left = _MARGIN + k % _COLUMNS * (_TILE[0] + _GAP)
        top = _GRID_TOP + k // _COLUMNS * _CELL
        tile = ImageOps.fit(row["image"].convert("RGB"), _TILE, Image.Resampling.LANCZOS)
        canvas.paste(tile, (left, top), _tile_shape())
        _draw_caption(canvas, left, top + _CAPTION_AT, class_of[row["label"]])
    return canvas


def _class_names(names):
    """{label: words} for the class names of a dataset, which may be wnids or words."""
    classes = read_classes()
    words = {wnid: name for (wnid, _), name in zip(classes, label_names(classes, "words"))}
    return {-1: UNLABELED} | {label: words.get(name, name) for label, name in enumerate(names)}


@functools.cache
def _tile_shape():
    """A rectangle with rounded corners."""
    shape = Image.new("L", [_SCALE * side for side in _TILE])
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, *(side - 1 for side in shape.size)), 6 * _SCALE, fill=255)
    return shape.reduce(_SCALE)


def _draw_caption(canvas, left, top, words):
    """Draw the first name of a class, and its other names in grey if a line is left."""
    first, _, others = words.partition(", ")
    lines = [(line, _INK) for line in _wrap(first, _CAPTION_LINES)]
    if others and len(lines) < _CAPTION_LINES:
        lines += [(line, _GREY) for line in _wrap(others, _CAPTION_LINES - len(lines))]
    for k, (line, colour) in enumerate(lines):
        _draw_text(canvas, (left, top + k * _CAPTION_LINE), line, colour, _SIZE)


def _wrap(text, limit):
    """Break a text into at most ``limit`` lines as wide as a tile; shorten the last one with dots if necessary."""
    lines, words = [], text.split()
    while words and len(lines) < limit - 1:
        fit = sum(_length(" ".join(words[:count]), _SIZE) <= _TILE[0] for count in range(1, len(words) + 1))
        if not fit:  # a word wider than a line
            break
        lines.append(" ".join(words[:fit]))
        words = words[fit:]
    return lines + [_shorten(" ".join(words))] if words else lines


def _shorten(text):
    if _length(text, _SIZE) <= _TILE[0]:
        return text
    while _length(f"{text}...", _SIZE) > _TILE[0]:
        text = text[:-1]
    return f"{text.rstrip(' ,')}..."


# -------------------------------------------------------------------------------------- images per class

_PLOT, _HEIGHT = (78, 144, _WIDTH - _MARGIN, 490), 556  # left, top, right, bottom
_LOWEST, _HIGHEST = 4, 1_600  # images
_IMAGE_TICKS, _CLASS_TICKS = (5, 10, 20, 50, 100, 200, 500, 1_000), range(0, 1_001, 200)
_CURVES = {"1pct": "#1a7f37", "10pct": "#0969da", "lt": "#a84300"}
_LABEL_AT = {"1pct": (40, 16.5), "10pct": (620, 165), "lt": (60, 700)}  # rank, images: free space beside the curve
_BANDS = {"many": "#ffe2cc", "medium": "#fff0e5", "few": "#fff9f5"}
_DEFINITIONS = {"many": "more than 100 images", "medium": "20 to 100 images", "few": "fewer than 20"}


def draw_images_per_class():
    """Draw how many training images each class has in 1pct, 10pct and lt, from the split lists alone.

    The classes of each config are sorted from most to fewest images, on a logarithmic axis. The background shows the
    shot groups of lt.

    Returns:
        ``PIL.Image.Image``, RGB, 900 pixels wide.

    Raises:
        ValueError: ``split_files/`` does not hold the published lists.

    Example:

        >>> draw_images_per_class().save("images-per-class.png")
    """
    counts = {config: np.sort(images_per_class(config))[::-1] for config in _CURVES}
    sizes = {name: len(labels) for name, labels in shot_groups("lt").items()}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist()))
    canvas = _draw_shapes(counts, [(_BANDS[name], starts[name], starts[name] + sizes[name]) for name in sizes])
    _draw_heading(canvas, "Training images per class", "The classes of each config, sorted from most to fewest images")
    _draw_axes(canvas)
    for name, start in starts.items():
        for line, text in enumerate((f"lt: {name}", f"{sizes[name]} classes", _DEFINITIONS[name])):
            top = _PLOT[1] - 58 + 18 * line
            _draw_text(canvas, (_x(start) + 8, top), text, _GREY if line else _CURVES["lt"], _SIZE)
    for config, count in counts.items():
        rank, images = _LABEL_AT[config]
        text = f"{config}: {count.sum():,} images, {_range(count)} per class"
        _draw_text(canvas, (_x(rank), _y(images)), text, _CURVES[config], 15, up=0.5)
    return canvas


def _range(count):
    return f"{count.min():,} {'or' if np.ptp(count) == 1 else 'to'} {count.max():,}"


def _x(rank):
    left, _, right, _ = _PLOT
    return left + rank * (right - left) / 1000


def _y(images):
    _, top, _, bottom = _PLOT
    return bottom - np.log(images / _LOWEST) / np.log(_HIGHEST / _LOWEST) * (bottom - top)


def _draw_shapes(counts, bands):
    """Draw everything except text."""
    left, top, right, bottom = _PLOT
    canvas = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    draw = ImageDraw.Draw(canvas)

    def draw_line(points, colour, width):
        draw.line([(x * _SCALE, y * _SCALE) for x, y in points], colour, round(width * _SCALE), joint="curve")

    for colour, start, end in bands:
        draw.rectangle([(_x(start) * _SCALE, top * _SCALE), (_x(end) * _SCALE, bottom * _SCALE)], colour)
    for images in _IMAGE_TICKS:
        draw_line([(left, _y(images)), (right, _y(images))], _LINE, 1)
    for rank in _CLASS_TICKS:
        draw_line([(_x(rank), bottom), (_x(rank), bottom + 5)], _GREY, 1)
    draw_line([(left, bottom), (right, bottom)], _GREY, 1)
    for config, count in counts.items():
        draw_line([(_x(rank + 0.5), _y(images)) for rank, images in enumerate(count)], _CURVES[config], 2.5)
    return canvas.reduce(_SCALE)


def _draw_axes(canvas):
    left, _, right, bottom = _PLOT
    for images in _IMAGE_TICKS:
        _draw_text(canvas, (left - 10, _y(images)), f"{images:,}", _GREY, _SIZE, back=1, up=0.5)
    for rank in _CLASS_TICKS:
        _draw_text(canvas, (_x(rank), bottom + 12), f"{rank:,}", _GREY, _SIZE, back=0.5)
    _draw_text(canvas, ((left + right) / 2, bottom + 36), "classes", _INK, _SIZE, back=0.5)
    _draw_text(canvas, (left - 10, _PLOT[1]), "images", _INK, _SIZE, back=1, up=0.5)


# --------------------------------------------------------------------------------------------------- text


def _draw_heading(canvas, title, subtitle):
    _draw_text(canvas, (_MARGIN, 24), title, _INK, 2 * _SIZE - 4)
    _draw_text(canvas, (_MARGIN, 54), subtitle, _GREY, 15)


def _draw_text(canvas, place, text, colour, size, back=0, up=0):
    """Draw a line of text with the top left of its digits at ``place``, moved by fractions of its width and height."""
    font, width = _font(size), _length(text, size)
    _, top, _, bottom = (edge / _TEXT_SCALE for edge in font.getbbox("0"))
    x, y = place[0] - back * width, place[1] - top - up * (bottom - top)
    mask = Image.new("L", (_TEXT_SCALE * (round(width) + 2 * size), _TEXT_SCALE * 2 * size))
    ImageDraw.Draw(mask).text((_TEXT_SCALE * size, 0), text, 255, font)
    canvas.paste(colour, (int(x + 0.5) - size, int(y + 0.5)), mask.reduce(_TEXT_SCALE))


def _length(text, size):
    return _font(size).getlength(text) / _TEXT_SCALE


@functools.cache
def _font(size):
    return ImageFont.load_default(_TEXT_SCALE * size if _FREETYPE else None)


# ------------------------------------------------------------------------------------ tables in notebooks

_THUMBNAIL = 96  # pixels: maximum length of the longer side


class ThumbnailFrame(pd.DataFrame):
    """A ``pandas.DataFrame`` whose column ``image`` notebooks show as pictures, as in frames derived from it.

    Its cells are ``PIL.Image.Image``. ``pandas.DataFrame(frame)`` makes an ordinary frame of it.
    """

    @property
    def _constructor(self):
        return ThumbnailFrame

    def _repr_html_(self):
        # pandas truncates, escapes and lays out a table with unique marks, which are then replaced by the images.
        frame, images, key = pd.DataFrame(self), [], secrets.token_hex(8)
        if isinstance(self.get("image"), pd.Series):
            images = self["image"].tolist()
            marks = [f"{key}-{k}" if isinstance(image, Image.Image) else image for k, image in enumerate(images)]
            frame = frame.assign(image=marks)
        html = frame._repr_html_()
        return html and re.sub(rf"{key}-(\d+)", lambda mark: _as_html(images[int(mark[1])]), html)


def _as_html(image):
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=85)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'


def as_dataframe(dataset, rows=20):
    """The first rows of a split as a table that notebooks show with thumbnails.

    Args:
        dataset: a split from ``imagenet_subsets.load_dataset``, with or without ``streaming=True``.
        rows: maximum number of rows. Images are decoded one at a time, and only thumbnails (30 kB) are kept.

    Returns:
        ``ThumbnailFrame``, ``[rows, 4]``: ``image`` (``PIL.Image.Image``, RGB, up to 96 x 96 pixels), ``label``
        (int64, -1 if unlabeled), ``class`` (words, ``"unlabeled"`` for -1) and ``file_name``.

    Raises:
        ValueError: ``dataset`` is not a split with these columns (except ``class``), or ``rows`` is negative.

    Example:

        >>> frame = as_dataframe(imagenet_subsets.load_dataset("1pct", data_dir="/data/imagenet", split="train"))
        >>> frame[frame.label < 300].head()  # the last line of a notebook cell
    """
    columns = {"image", "label", "file_name"}
    of_columns = getattr(dataset, "features", None) or {}
    if not columns <= set(of_columns):
        raise ValueError(f"expected one split, such as dataset['train'], with the columns {sorted(columns)}")
    class_of = _class_names(of_columns["label"].names)
    if isinstance(dataset, datasets.Dataset):
        dataset = dataset.with_format(None)  # others give arrays or tensors instead of images
    images, labels, names = [], [], []
    for row in itertools.islice(dataset, rows):
        thumbnail = row["image"].convert("RGB")
        thumbnail.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
        images.append(thumbnail)
        labels.append(row["label"])
        names.append(row["file_name"])
    return ThumbnailFrame(
        {
            "image": pd.Series(images, dtype=object),
            "label": np.array(labels, np.int64),
            "class": [class_of[label] for label in labels],
            "file_name": names,
        }
    )
