"""How one image is stored in a file: ``format_of`` returns a format by name, and imports it on first use."""

import functools
import importlib

from imagenet_reader.formats.base import Format

FORMATS = {
    "tar": "imagenet_reader.formats.tar:Tar",
    "zip": "imagenet_reader.formats.zip:Zip",
    "file": "imagenet_reader.formats.file:WholeFile",
    "hub_file": "imagenet_reader.formats.hub_file:HubFile",
    "range": "imagenet_reader.formats.range:ByteRange",
}


@functools.cache
def format_of(name: str) -> Format:
    """The format with this name, a key of ``FORMATS``."""
    module, _, class_name = FORMATS[name].partition(":")
    return getattr(importlib.import_module(module), class_name)()
