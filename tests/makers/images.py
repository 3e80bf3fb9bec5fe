"""Small images."""

import io

import PIL.Image


def jpeg(colour):
    """An image of 8 x 8 pixels of one colour."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), colour).save(file, "JPEG")
    return file.getvalue()


def numbered_jpeg(number):
    """An image that differs from those of other numbers below 1,536."""
    return jpeg((number % 256, number // 256 * 40, 99))
