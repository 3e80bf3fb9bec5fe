"""An image as the benchmarks see it: damage, colours and orientation, read from the markers of its own file."""

import io
import re

import PIL.ExifTags
import PIL.Image
import PIL.ImageChops

JPEG_START, JPEG_END = b"\xff\xd8", re.compile(rb"\xff\xd9")
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN, APP1, ADOBE, PADDING = 0xDA, 0xE1, 0xEE, 0xFF
TELLING = FRAMES | {SCAN, APP1, ADOBE}  # markers of the segments that decide what an image becomes
# An orientation other than "as it is", in EXIF (of either byte order) or XMP, and what makes it "as it is".
ORIENTATION = re.compile(
    rb"\x01\x12\0\x03\0\0\0\x01(\0[\2-\x08])|\x12\x01\x03\0\x01\0\0\0([\2-\x08]\0)|tiff:Orientation(?:=\"|>)([2-8])"
)
UPRIGHT = {1: b"\0\1", 2: b"\1\0", 3: b"1"}  # by the group that matches


def as_benchmark(data):
    """An image as TFDS and torchvision users see it once ``datasets`` has decoded it.

    A JPEG of four colours (CMYK, YCCK), or anything but a JPEG, becomes an RGB JPEG (quality 100, 4:4:4). An EXIF or
    XMP orientation, which only ``datasets`` would heed, becomes 1, "as it is". Other bytes stay as they are.

    Args:
        data: ``bytes``, or a view of bytes: an image file.

    Returns:
        ``data`` itself in all but a few cases in a thousand, else ``bytes`` of a JPEG file.

    Raises:
        OSError: Pillow cannot decode it all (other errors of Pillow's come through, too).
    """
    colours, adobe, turned, whole = 0, False, None, False
    for marker, start, end in _segments(data):
        if marker in FRAMES:
            colours = data[start + 5]
        elif marker == ADOBE:
            adobe = True
        elif marker == APP1:
            turned = turned or ORIENTATION.search(data, start, end)
        elif marker == SCAN:
            whole = JPEG_END.match(data, len(data) - 2) or JPEG_END.search(data, end)
    if whole and colours in (1, 3) and not turned:
        return data
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()  # the judge of what is damaged
        if colours not in (1, 3):
            return _as_rgb_jpeg(image, inverted=colours == 4 and not adobe)
        if turned and image.getexif().get(PIL.ExifTags.Base.Orientation, 1) != 1:
            start, end = turned.span(turned.lastindex)
            return b"".join((data[:start], UPRIGHT[turned.lastindex], data[end:]))
    return data


def _as_rgb_jpeg(image, inverted):
    if inverted:  # Pillow takes every CMYK JPEG for inverted, as Adobe writes them
        image = PIL.ImageChops.invert(image)
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=100, subsampling=0)
    return file.getvalue()


def _segments(data):
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
