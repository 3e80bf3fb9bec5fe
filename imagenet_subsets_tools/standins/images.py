"""The content of the stand-in images: drawn pictures, no two files equal."""

import functools
import io
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageChops, PngImagePlugin

# The training images of the official archive that are CMYK JPEGs, and the one that is a PNG.
CMYK_IMAGES = frozenset(
    f"{stem}.JPEG"
    for stem in """
    n01739381_1309 n02077923_14822 n02447366_23489 n02492035_15739 n02747177_10752 n03018349_4028
    n03062245_4620 n03347037_9675 n03467068_12171 n03529860_11437 n03544143_17228 n03633091_5218
    n03710637_5125 n03961711_5286 n04033995_2932 n04258138_17003 n04264628_27969 n04336792_7448
    n04371774_5854 n04596742_4225 n07583066_647 n13037406_4650
    """.split()
)
PNG_IMAGE = "n02105855_2933.JPEG"


def name_hash(name):
    """A number from 0 to 2 ** 32 - 1 that determines everything that varies between images."""
    return zlib.crc32(name.encode())


def varied_size(name, mean):
    """A size in bytes for an image, 0.4 to 1.9 times the mean; as with photos, few are very large."""
    return int(mean * (0.4 + 1.5 * (name_hash(name) / 2**32) ** 1.5))


class Images:
    """The content of every image file. Few pictures are encoded, and many files use each."""

    _SMALL = ((64, 48),) * 4
    _PHOTO_SHARES = (0.35, 0.8)  # sizes of the pictures of a class, relative to the average file
    _PHOTO_BYTES_PER_PIXEL = 0.5  # at this quality and grain; ImageNet has about 0.6

    def __init__(self, image_bytes):
        self.image_bytes = image_bytes
        self._sizes = self._SMALL
        if image_bytes is not None:
            pixels = [image_bytes * share / self._PHOTO_BYTES_PER_PIXEL for share in self._PHOTO_SHARES]
            self._sizes = [(round((n * 4 / 3) ** 0.5), round((n * 3 / 4) ** 0.5)) for n in pixels]
        self._padding = np.random.RandomState(0).bytes(0xFFFF)
        self._grain = functools.cache(self._grain)
        self._jpeg = functools.cache(self._jpeg)

    def content(self, name, label):
        """The bytes of the file ``name`` of class ``label``."""
        if name == PNG_IMAGE:
            return self._png(name, label)
        draw = (name_hash(name) >> 2) % 1000  # 20 of 1,000 are grey, 3 others are rotated
        mode = "CMYK" if name in CMYK_IMAGES else "L" if draw < 20 else "RGB"
        orientation = {20: 6, 21: 8, 22: 3}.get(draw)
        head = [b"\xff\xd8", jpeg_segment(0xFE, name.encode())]
        if orientation is not None:
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            head.append(jpeg_segment(0xE1, exif.tobytes()))
        if self.image_bytes is None:
            variant = name_hash(name) % len(self._sizes) if mode == "RGB" else 0
            return b"".join((*head, self._jpeg(label, variant, mode)))

        room = varied_size(name, self.image_bytes) - sum(map(len, head))
        variants = range(len(self._sizes)) if mode == "RGB" else (0,)
        jpegs = [self._jpeg(label, variant, mode) for variant in variants]
        jpeg = max((jpeg for jpeg in jpegs if len(jpeg) <= room), key=len, default=jpegs[0])
        return b"".join((*head, *self._comments(room - len(jpeg)), jpeg))

    def _comments(self, room):
        """Comment segments that fill the room with random bytes, which do not compress."""
        while room >= 4:
            comment = jpeg_segment(0xFE, self._padding[: min(room, 0xFFFF) - 4])
            room -= len(comment)
            yield comment

    def _png(self, name, label):
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", name)
        file = io.BytesIO()
        self._picture(label, 0).save(file, "PNG", pnginfo=text)
        return file.getvalue()

    def _jpeg(self, label, variant, mode):
        """A JPEG without its first two bytes, the start-of-image marker."""
        file = io.BytesIO()
        picture = self._picture(label, variant).convert(mode)
        if self.image_bytes is None:
            picture.save(file, "JPEG", quality=80, optimize=True)
        else:
            picture.save(file, "JPEG", quality=90)
        return file.getvalue()[2:]

    def _picture(self, label, variant):
        picture = _landscape(label, variant)
        if self.image_bytes is None:
            return picture
        large = picture.resize(self._sizes[variant], Image.Resampling.BICUBIC)
        return ImageChops.add(large, self._grain(variant), offset=-128)

    def _grain(self, variant):
        """Grey noise around 128; without it, pictures of this size would be small files."""
        width, height = self._sizes[variant]
        noise = np.random.RandomState(variant).normal(128, 20, (height, width)).clip(0, 255)
        return Image.fromarray(noise.astype(np.uint8)).convert("RGB")


def jpeg_segment(marker, content):
    """A segment of a JPEG file."""
    return b"\xff%c%b%b" % (marker, (len(content) + 2).to_bytes(2, "big"), content)


# Signed distances from the edge of a shape of size 1, negative inside.
_SHAPES = (
    lambda x, y: np.hypot(x, y) - 1,
    lambda x, y: abs(np.hypot(x, y) - 0.85) - 0.22,
    lambda x, y: abs(x) + abs(y) - 1.15,
    lambda x, y: np.hypot(x, y) - 0.85 - 0.2 * np.cos(5 * np.arctan2(x, -y)),
    lambda x, y: np.maximum(0.87 * abs(x) - 0.5 * y, y) - 0.6,
    lambda x, y: np.hypot(np.maximum(abs(x) - 0.55, 0), np.maximum(abs(y) - 0.55, 0)) - 0.3,
    lambda x, y: np.maximum(np.hypot(x, y) - 1, 0.85 - np.hypot(x - 0.5, y + 0.25)),
)


def _landscape(label, variant):
    """A 64 x 48 picture: the class determines colours and shape, the variant the position of the shape."""
    random = np.random.RandomState([label, variant])
    hue = label * 0.618034 % 1  # golden ratio: neighbouring classes differ in colour
    y, x = (axis / 24 for axis in np.ogrid[-23.5:24, -31.5:32])

    slope = 0.45 * (label % 5 - 2)
    down = np.clip(0.5 + 0.36 * (y * np.cos(slope) - x * np.sin(slope)), 0, 1)[..., None]
    sky = _colour(hue, 0.74, 0.16) * (1 - down) + _colour(hue + 0.14, 0.46, 0.22) * down

    size = random.uniform(0.45, 0.62)
    left, top = random.uniform(-0.5, 0.5), random.uniform(-0.25, 0.1)
    distance = size * _SHAPES[label % len(_SHAPES)]((x - left) / size, (y - top) / size)[..., None]
    glow = 0.35 * np.exp(-3 * distance.clip(0))
    inside = np.clip(0.5 - 24 * distance, 0, 1)
    picture = sky + (_colour(hue + 0.5, 0.88, 0.11) - sky) * np.maximum(inside, glow)

    ground = np.clip(0.5 + 24 * (y - 0.62 - 0.16 * np.sin(1.7 * x + label + 2 * variant)), 0, 1)[..., None]
    picture += (_colour(hue + 0.2, 0.3, 0.16) - picture) * 0.9 * ground
    return Image.fromarray((255 * picture.clip(0, 1)).astype(np.uint8))


def _colour(hue, lightness, strength):
    return lightness + strength * np.cos(2 * np.pi * (hue + np.arange(3) / 3))
