"""The lists of a plan: which one each split is from, and their images."""

from typing import Any, NamedTuple

from imagenet_reader import lists
from imagenet_reader.class_sets import of_classes
from imagenet_reader.official import VALIDATION_NAME
from imagenet_reader.own_lists import read_image_list


class SplitList(NamedTuple):
    """The list that a split is from.

    ``name`` is a key of ``lists.LISTS``; ``"full"``, all training images; ``"test"``, the official test images; or the
    name of a user's own list. With ``complement``, the split has all training images not in the list, with label -1.
    """

    name: str
    complement: bool = False


class PlanLists:
    """The lists of a plan, each read once: published ones, and ``own``, name -> a user's own list.

    Only images of ``classes``, published labels, are kept, unless it is ``None``.
    """

    def __init__(self, own: dict[str, Any], classes: tuple[int, ...] | None):
        self.own, self.classes = own, classes
        self._read: dict[str, Any] = {}

    def read(self, name: str) -> Any:
        """The images of a list, (file name, label); ``None`` for ``"full"``, which has no list."""
        if name not in self._read:
            images = self._read_list(name)
            self._read[name] = images and of_classes(images, self.classes)
            if images and not self._read[name]:
                raise ValueError(f"{name} has no image of the chosen classes.")
        return self._read[name]

    def _read_list(self, name: str) -> list[tuple[str, int]] | None:
        if name in self.own:
            return read_image_list(self.own[name])
        if name in lists.LISTS:
            return lists.read_split_list(name)
        return lists.test_images() if name == "test" else None

    def images(self, split_list: SplitList) -> list[tuple[str, int]] | None:
        """The images of a split; ``None`` if it has no list."""
        return None if split_list.complement else self.read(split_list.name)

    def count(self, split_list: SplitList) -> int | None:
        """The number of images in a complete split; ``None`` if no list says how many images its classes have."""
        name, complement = split_list
        if self.classes is not None and (complement or name == "full"):
            return None
        if name in self.own or self.classes is not None:
            return len(self.read(name))
        counts = {"full": lists.TRAIN_IMAGES, "test": lists.TEST_IMAGES} | {k: n for k, (n, _) in lists.LISTS.items()}
        return lists.TRAIN_IMAGES - counts[name] if complement else counts[name]

    def image_set(self, split_list: SplitList) -> str:
        """The set of images that a split is from: ``"train"``, ``"validation"`` or ``"test"``."""
        if split_list.name in self.own:
            first, _ = self.read(split_list.name)[0]
            return "validation" if VALIDATION_NAME.fullmatch(first.encode()) else "train"
        return split_list.name if split_list.name in ("validation", "test") else "train"
