"""An image as the benchmarks see it: damage, colours and orientation, read from the markers of its own file."""

import io
import re
from collections.abc import Iterator

import PIL
import PIL.ExifTags
import PIL.features
import PIL.Image
import PIL.ImageChops

JPEG_START, JPEG_END = b"\xff\xd8", re.compile(rb"\xff\xd9")
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN, APP1, ADOBE, PADDING = 0xDA, 0xE1, 0xEE, 0xFF
TELLING = FRAMES | {SCAN, APP1, ADOBE}  # markers of the segments that matter here
# Where metadata may have an orientation that turns the image, or are broken.
SUSPECT = re.compile(
    rb"\x01\x12\0(?!\x03\0\0\0\x01\0[\0\x01])[\x01-\x10]|\x12\x01(?!\x03\0\x01\0\0\0[\0\x01]\0)[\x01-\x10]\0"
    rb"|tiff:Orientation(?:=\"|>)[2-8]|Exif\0\0(?!II\*\0|MM\0\*)"
)
# The usual forms of such an orientation, in EXIF (of either byte order) or XMP.
ORIENTATION = re.compile(
    rb"\x01\x12\0\x03\0\0\0\x01(\0[\2-\x08])|\x12\x01\x03\0\x01\0\0\0([\2-\x08]\0)|tiff:Orientation(?:=\"|>)([2-8])"
)
XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)[2-8]")
UPRIGHT = {1: b"\0\1", 2: b"\1\0", 3: b"1"}  # orientation 1, by the group that matches
TURNING = range(2, 9)
# How a segment of metadata begins -> a beginning that readers of metadata ignore.
HIDDEN = {b"Exif\0\0": b"exif\0\0", b"http://ns.adobe.com/xap/1.0/\0": b"HTTP://ns.adobe.com/xap/1.0/\0"}


def as_benchmark(data: bytes | memoryview) -> bytes | memoryview:
    """An image as TFDS and torchvision users see it once ``datasets`` has decoded it.

    A JPEG of four colours (CMYK, YCCK), or anything but a JPEG, becomes an RGB JPEG (quality 100, 4:4:4). An EXIF or
    XMP orientation, which only ``datasets`` would apply, becomes 1 (upright); metadata that have it in an unusual form,
    or cannot be read, get another identifier, so that they are ignored. Other bytes do not change.

    Args:
        data: an image file.

    Returns:
        ``data`` itself for all but a few images in a thousand, else ``bytes`` of a JPEG file.

    Raises:
        OSError: Pillow cannot decode all of it (other errors of Pillow's are passed on, too).
    """
    colours, adobe, suspect, complete = 0, False, False, False
    for marker, start, end in _segments(data):
        if marker in FRAMES:
            colours = data[start + 5]
        elif marker == ADOBE:
            adobe = True
        elif marker == APP1:
            suspect = suspect or SUSPECT.search(data, start, end) is not None
        elif marker == SCAN:
            complete = bool(JPEG_END.match(data, len(data) - 2) or JPEG_END.search(data, end))
    if complete and colours in (1, 3):
        return _upright(data) if suspect else data
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()  # Pillow decides what counts as damaged
        if colours not in (1, 3):
            return _as_rgb_jpeg(image, inverted=colours == 4 and not adobe)
    return _upright(data) if suspect else data


def shrunk(data: bytes | memoryview, shorter_side: int) -> bytes | memoryview:
    """An image of ``as_benchmark`` as a JPEG whose shorter side has so many pixels; ``data`` if it is no larger."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        shorter = min(image.size)
        if shorter <= shorter_side:
            return data
        width, height = (shorter_side * side // shorter for side in image.size)  # as torchvision rounds
        small = image.resize((width, height), PIL.Image.Resampling.BICUBIC)
    small.info = {}  # else Pillow writes the comment of the image
    file = io.BytesIO()
    small.save(file, "JPEG", quality=90, subsampling="4:2:0")
    return file.getvalue()


def encoder() -> dict[str, str | None]:
    """The versions of what resizes and encodes images: with others, bytes may differ."""
    libjpeg = PIL.features.version("libjpeg_turbo") or PIL.features.version("jpg")
    return {"pillow": PIL.__version__, "libjpeg": libjpeg}


def _upright(data: bytes | memoryview) -> bytes | memoryview:
    """A JPEG file that ``datasets`` does not turn, with the same pixels and size as ``data``."""
    metadata = [(start, end) for marker, start, end in _segments(data) if marker == APP1]
    while _is_turned(data, metadata):
        turned = next(filter(None, (ORIENTATION.search(data, *segment) for segment in metadata)), None)
        if turned is None or turned.lastindex is None:
            return _without_metadata(data, metadata)
        start, end = turned.span(turned.lastindex)
        data = b"".join((data[:start], UPRIGHT[turned.lastindex], data[end:]))
    return data


def _is_turned(data: bytes | memoryview, metadata: list[tuple[int, int]]) -> bool:
    """Whether ``datasets`` would turn the image, or fail to read its metadata, with any version of Pillow."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        try:
            orientation = image.getexif().get(PIL.ExifTags.Base.Orientation)
        except Exception:  # Pillow's errors have no common base
            return True
    if orientation is None:  # before version 11, Pillow ignored the XMP of a JPEG
        return any(XMP_ORIENTATION.search(data, *segment) for segment in metadata)
    return orientation in TURNING


def _without_metadata(data: bytes | memoryview, metadata: list[tuple[int, int]]) -> bytes:
    """A JPEG file whose metadata are hidden from their readers."""
    hidden = bytearray(data)
    for start, _ in metadata:
        for identifier, other in HIDDEN.items():
            if hidden.startswith(identifier, start):
                hidden[start : start + len(other)] = other
    return bytes(hidden)


def _as_rgb_jpeg(image: PIL.Image.Image, inverted: bool) -> bytes:
    if inverted:  # Pillow assumes that every CMYK JPEG is inverted, as Adobe writes them
        image = PIL.ImageChops.invert(image)
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=100, subsampling=0)
    return file.getvalue()


def _segments(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the ``TELLING`` segments of a JPEG file, up to its first scan; none of another file."""
    if data[:2] != JPEG_START:
        return
    at, marker, length = 2, None, len(data)
    while marker != SCAN and at + 9 < length and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == PADDING:
            at += 1
            continue
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if marker in TELLING:
            yield marker, at + 4, min(end, length)
        at = end
