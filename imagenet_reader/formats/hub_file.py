"""Images in files with the Hub's names, such as ``n01440764_10026_n01440764.JPEG``."""

from imagenet_reader.formats.file import WholeFile
from imagenet_reader.lists import read_wnids
from imagenet_reader.official import TRAIN_NAME, WNID


class HubFile(WholeFile):
    """An extracted image whose name ends with its class."""

    def file_name(self, name: bytes, label: int) -> bytes:
        """The Hub's name of an image; test images, which have no label, keep their official names."""
        if TRAIN_NAME.fullmatch(name):
            wnid = name[WNID]
        elif label >= 0:
            wnid = read_wnids()[label].encode()
        else:
            return name
        return name.removesuffix(b".JPEG") + b"_" + wnid + b".JPEG"
