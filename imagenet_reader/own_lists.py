"""A user's own list of images."""

import collections
import os
import pathlib
import re
from typing import Any

from imagenet_reader.lists import Images, label_of, read_wnids
from imagenet_reader.text import shorten

EXAMPLES = 20  # lines shown in a message
LONGEST_PATH = 4096  # characters, on Linux
KAGGLE_HEADER = "ImageId,PredictionString"  # of LOC_train_solution.csv and LOC_val_solution.csv
EXPECTED = "Expected one image per line, such as n01440764_190.JPEG or train/n01440764/n01440764_190.JPEG 0."

# Any folders, the last of which may be a class, then the name, and optionally a number.
_LINE = re.compile(
    r"(?:.*?/)??(?:(?P<wnid>n\d{8})/)?(?P<stem>n\d{8}_\d+|ILSVRC2012_val_\d{8})(?P<suffix>\.JPEG)?(?:\s+(?P<number>\d+))?"
)
_REPAIRS = {  # kind of mistake -> pattern to replace, and its replacement
    "have quotes, commas or brackets, which are not part of a name": (re.compile(r"[\"',;()\[\]{}]+"), " "),
    "have backslashes instead of /": (re.compile(r"\\+"), "/"),
    "have a suffix other than .JPEG": (re.compile(r"\.(?:jpe?g|JPG|png)\b"), ".JPEG"),
}
# Kinds of mistakes, which end a sentence that begins "Lines that".
UNKNOWN = "name no training or validation image"
REPEATED = "name an image that is listed twice"
OTHER_CLASS = "have the wrong class (the right one follows in parentheses)"
OTHER_LABEL = "have the wrong label (the right one follows in parentheses)"


def as_given(source: Any) -> str | list[str] | None:
    """Convert a user's list to a path or a list of lines."""
    if source is None:
        return None
    if isinstance(source, (str, bytes, os.PathLike)):
        path = os.fsdecode(source)
        if "\n" in path or len(path) > LONGEST_PATH:
            raise ValueError(
                f"A list of images was passed as a single string, {path!r:.50}; expected the path of a text "
                "file, or a list of names. Pass text.splitlines()."
            )
        return path
    try:
        return [line.decode(errors="replace") if isinstance(line, bytes) else str(line) for line in source]
    except TypeError:
        raise ValueError(
            f"A list of images was passed as {source!r:.50}; expected the path of a text file, or names, such "
            "as a list, a NumPy array or a pandas Series."
        ) from None


def read_image_list(source: Any) -> Images:
    """The images of a user's own list.

    Args:
        source: the path of a text file with one image per line, or an iterable of such lines. A line is the image's
            name, optionally with folders before it and its label after it, such as ``n01440764_190.JPEG`` or
            ``train/n01440764/n01440764_190.JPEG 0``. The lists of ImageNet and Kaggle are accepted, too: lines of
            ``ImageSets/CLS-LOC/train_cls.txt``, ``n01440764/n01440764_190 7``, where the number is that of the line,
            and the file ``LOC_train_solution.csv``.

    Returns:
        ``list[tuple[str, int]]``, (file name, label) per image, sorted by file name.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line has another form, or contradicts its image. The message has up to 20 such lines.
    """
    described = given = as_given(source)
    if isinstance(given, list):
        described, lines = "The list that was passed", given
    else:
        lines = _read_lines(str(given))
    images: dict[str, int] = {}
    mistakes: dict[str, list[str]] = collections.defaultdict(list)
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line:
            continue
        name, label, mistake, right = _understand(line)
        if mistake := mistake or REPEATED * (name in images):
            mistakes[mistake].append(f"line {number} {line!r:.50}{right}")
        else:
            images[name] = label
    if mistakes:
        most = EXAMPLES // len(mistakes)
        told = [f"Lines that {kind}, {len(of):,} in total: {shorten(of, most)}." for kind, of in mistakes.items()]
        raise ValueError(f"{described} is not a list of images. {' '.join(told)} {EXPECTED}")
    if not images:
        raise ValueError(f"{described} is not a list of images: it is empty. {EXPECTED}")
    if len({name[:1] for name in images}) > 1:
        raise ValueError(f"{described} has both training and validation images: split it into two lists.")
    return sorted(images.items())


def _read_lines(path: str) -> list[str]:
    """The lines of a text file that may name images."""
    try:
        content = pathlib.Path(path).expanduser().read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise type(error)(f"{os.path.abspath(path)}: there is no such text file. {EXPECTED}") from None
    if b"\0" in content:
        raise ValueError(f"{path} is not a text file in UTF-8: it contains NUL bytes. {EXPECTED}")
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    if lines and lines[0].strip() == KAGGLE_HEADER:
        return ["", *(line.partition(",")[0] for line in lines[1:])]  # the second column has bounding boxes
    return lines


def _understand(line: str) -> tuple[str, int, str, str]:
    """Parse a line into (file name, label, kind of mistake, correction); the last two may be empty."""
    match = _LINE.fullmatch(line)
    name = f"{match['stem']}.JPEG" if match else ""
    label = label_of(name)
    if match is None or label == -1:
        return name, -1, _misspelling(line), ""
    wnid = read_wnids()[label]
    if (match["wnid"] or wnid) != wnid:
        return name, label, OTHER_CLASS, f" ({wnid})"
    # A line without a suffix is from ImageSets/CLS-LOC; its number is that of the line.
    if match["suffix"] and int(match["number"] or label) != label:
        return name, label, OTHER_LABEL, f" ({label})"
    return name, label, "", ""


def _misspelling(line: str) -> str:
    """The kind of mistake in a line: the first repair needed to make it valid, or ``UNKNOWN``."""
    kinds, repaired = [], line
    for kind, (pattern, replacement) in _REPAIRS.items():
        if pattern.search(repaired):
            kinds.append(kind)
            repaired = pattern.sub(replacement, repaired).strip()
    return kinds[0] if kinds and _LINE.fullmatch(repaired) else UNKNOWN
