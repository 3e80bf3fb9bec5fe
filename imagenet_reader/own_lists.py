"""A user's own list of images."""

import collections
import functools
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from imagenet_reader.lists import label_of_wnid, read_split_list, read_wnids
from imagenet_reader.official import WNID

EXAMPLES = 20  # lines that a message shows
LINE_SHOWN = 50  # characters
LONGEST_PATH = 4096  # characters, of Linux
KAGGLE_HEADER = "ImageId,PredictionString"  # of LOC_train_solution.csv and LOC_val_solution.csv
EXPECTED = "Expected one image per line, as in n01440764_190.JPEG or train/n01440764/n01440764_190.JPEG 0."
UTF_16 = b"\xff\xfe", b"\xfe\xff"

# Folders, of which the last may be a class, the name, and perhaps a number.
_LINE = re.compile(
    r"(?:.*?/)??(?:(?P<wnid>n\d{8})/)?(?P<stem>n\d{8}_\d+|ILSVRC2012_val_\d{8})(?P<suffix>\.JPEG)?(?:\s+(?P<number>\d+))?"
)
_REPAIRS = {  # what is wrong with a line -> what to replace, and by what
    "have quotes, commas or brackets, which do not belong to a name": (re.compile(r"[\"',;()\[\]{}]+"), " "),
    "have backslashes instead of /": (re.compile(r"\\+"), "/"),
    "have another suffix than .JPEG": (re.compile(r"\.(?:jpe?g|JPG|png)\b"), ".JPEG"),
}
UNKNOWN = "name no training or validation image"
REPEATED = "name an image that is listed twice"
OTHER_CLASS = "have another class than the image, which is given after them"
OTHER_LABEL = "have another label than the image, which is given after them"


class Mistake(NamedTuple):
    """What is wrong with a line: ``kind``, after "Lines that", and what is right instead, if that is known."""

    kind: str
    right: str = ""


def as_given(source: Any) -> str | list[str] | None:
    """A user's list as a path or lines, whatever it was passed as.

    Args:
        source: a path; or an iterable of names, such as a list, a NumPy array, a pandas Series or a generator, which
            this exhausts; or ``None``.

    Raises:
        ValueError: it is none of these.
    """
    if source is None:
        return None
    if isinstance(source, (str, bytes, os.PathLike)):
        path = os.fsdecode(source)
        if "\n" in path or len(path) > LONGEST_PATH:
            raise ValueError(
                f"A list of images was passed as one text, {_shortened(path)}; expected the path of a text file, or "
                "a list of names. Pass text.splitlines()."
            )
        return path
    try:
        return [line.decode(errors="replace") if isinstance(line, bytes) else str(line) for line in source]
    except TypeError:
        raise ValueError(
            f"A list of images was passed as {_shortened(source)}; expected the path of a text file, or names, such "
            "as a list, a NumPy array or a pandas Series."
        ) from None


def read_image_list(source: Any) -> list[tuple[str, int]]:
    """The images of a user's own list.

    Args:
        source: the path of a text file with one image per line, or an iterable of such lines: the image's name, after
            any folders and before its label, if it has one, as in ``n01440764_190.JPEG`` and
            ``train/n01440764/n01440764_190.JPEG 0``. ImageNet's and Kaggle's own lists do, too: the lines of
            ``ImageSets/CLS-LOC/train_cls.txt``, ``n01440764/n01440764_190 7``, whose number counts the lines, and
            the file ``LOC_train_solution.csv``.

    Returns:
        ``list[tuple[str, int]]``, (file name, label) per image, sorted by file name.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is none of the above, or contradicts its image. The message has up to 20 such lines.
    """
    given = as_given(source)
    described, lines = (
        ("The list that was passed", given) if isinstance(given, list) else (given, _read_lines(str(given)))
    )
    images: dict[str, int] = {}
    mistakes: dict[str, list[str]] = collections.defaultdict(list)
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line:
            continue
        name, label, mistake = _understand(line)
        if mistake is None and name in images:
            mistake = Mistake(REPEATED)
        if mistake is None:
            images[name] = label
        else:
            mistakes[mistake.kind].append(f"line {number} {_shortened(line)}{mistake.right}")
    if mistakes:
        raise ValueError(f"{described} is not a list of images. {' '.join(_told(mistakes))} {EXPECTED}")
    if not images:
        raise ValueError(f"{described} is not a list of images: it is empty. {EXPECTED}")
    if len({name[:1] for name in images}) > 1:
        raise ValueError(f"{described} lists training and validation images: make two lists of them.")
    return sorted(images.items())


def _read_lines(path: str) -> list[str]:
    """The lines of a text file, of which each may name an image."""
    with open(os.path.expanduser(path), "rb") as file:
        content = file.read()
    if content.startswith(UTF_16):
        raise ValueError(
            f"{path} is text in UTF-16, as Windows PowerShell writes it; expected UTF-8. Save it again as UTF-8: "
            "iconv -f UTF-16 -t UTF-8, or Out-File -Encoding utf8."
        )
    if b"\0" in content:
        raise ValueError(f"{path} is no text file: it has bytes that are 0. {EXPECTED}")
    text = content.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith(("[", "{")):
        raise ValueError(f"{path} is JSON; expected a text file. Pass the list in it: json.load(open({path!r})).")
    lines = text.splitlines()
    if lines and lines[0].strip() == KAGGLE_HEADER:
        return ["", *(line.partition(",")[0] for line in lines[1:])]  # the rest are boxes
    return lines


def _understand(line: str) -> tuple[str, int, Mistake | None]:
    """(file name, label, what is wrong with it) of a line."""
    match = _LINE.fullmatch(line)
    name = f"{match['stem']}.JPEG" if match else ""
    label = _validation_labels().get(name, label_of_wnid().get(name[WNID]))
    if match is None or label is None:
        return name, -1, Mistake(_misspelling(line))
    wnid = read_wnids()[label]
    if (match["wnid"] or wnid) != wnid:
        return name, label, Mistake(OTHER_CLASS, f" ({wnid})")
    # Without a suffix, it is a line of ImageSets/CLS-LOC, which are numbered.
    if match["suffix"] and int(match["number"] or label) != label:
        return name, label, Mistake(OTHER_LABEL, f" ({label})")
    return name, label, None


def _misspelling(line: str) -> str:
    """Why a line names no image: as it would with something replaced, or for no such reason."""
    kinds, repaired = [], line
    for kind, (pattern, replacement) in _REPAIRS.items():
        if pattern.search(repaired):
            kinds.append(kind)
            repaired = pattern.sub(replacement, repaired).strip()
    return kinds[0] if kinds and _LINE.fullmatch(repaired) else UNKNOWN


@functools.cache
def _validation_labels() -> dict[str, int]:
    return dict(read_split_list("validation"))


def _told(mistakes: dict[str, list[str]]) -> Iterator[str]:
    """A sentence per kind of mistake, with 20 lines in all."""
    most = EXAMPLES // len(mistakes)
    for kind, lines in mistakes.items():
        more = f"; and {len(lines) - most:,} more" if len(lines) > most else ""
        yield f"Lines that {kind} ({len(lines):,} in all): {', '.join(lines[:most])}{more}."


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LINE_SHOWN else f"{text[:LINE_SHOWN]}..."
