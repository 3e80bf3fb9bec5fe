"""Export a config as folders of images and lists of paths, for code that does not use ``datasets``."""

import dataclasses
import filecmp
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imagenet_reader.files import TEMPORARY, check_space, write_atomically
from imagenet_reader.hf.options import check_config_name, check_positive
from imagenet_reader.io.paths import normalize_data_dir
from imagenet_reader.layouts.find import holds_images
from imagenet_reader.layouts.folders import Folder
from imagenet_reader.lists import read_wnids, relabel
from imagenet_reader.log import warn
from imagenet_reader.plan import Plan, SplitRows
from imagenet_reader.reading.batches import THREADS, OpenReader, Place, read_checked, work_in_parts
from imagenet_reader.rows import named_tuples
from imagenet_reader.text import shorten
from imagenet_subsets import SUBSETS, ImagenetSubsetsConfig
from imagenet_subsets_tools.lists import published_files, tree_path, write_sidecars

FOLDERS = {"validation": "val"}  # of splits; the others have the split's name
CHOICES: dict[str, list[Any]] = {"tree": ["split", "imagenet"], "link": [None, "hard", "symbolic"]}

_IMAGE = re.compile(r".*\.(jpe?g|png|ppm|bmp|pgm|tiff?|webp)", re.IGNORECASE)  # what ImageFolder reads
_Content = bytes | memoryview | str  # an image, or the path of its file if that is to be linked


def export_images(
    config: str,
    output_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    *,
    tree: str = "split",
    image_bytes: str = "archive",
    link: str | None = None,
    num_proc: int | None = None,
    splits: Sequence[str] | None = None,
    unlabeled: bool = False,
    train_list: str | os.PathLike[str] | None = None,
    validation_list: str | os.PathLike[str] | None = None,
    classes: str | Sequence[str] | None = None,
    holdout: bool = False,
    sidecars: bool = False,
) -> Path:
    """Write the images of a config as files, with lists of their paths, for ``ImageFolder`` and readers of lists.

    An interrupted export resumes: files that exist are compared with the images, and kept.

    Args:
        config, data_dir, splits, unlabeled, train_list, validation_list, classes, holdout: as for ``load_dataset``.
        output_dir: the folder; created if it does not exist.
        tree: ``"split"`` (default), a folder per split: ``train``, ``val``, ``test`` and so on; or ``"imagenet"``, as
            in the complete ImageNet: training images of any split in ``train``, validation images in ``val``.
        image_bytes: ``"archive"`` (default) or ``"benchmark"``, as for ``load_dataset``.
        link: of extracted images, ``"hard"`` or ``"symbolic"`` makes links instead of copies.
        num_proc: number of threads, which read and write, 8 by default.
        sidecars: also writes ``labels.txt`` and ``meta.bin``, which torchvision's ``ImageNet`` needs.

    Returns:
        ``Path``: ``output_dir``.

    Raises:
        FileExistsError: a file exists with other bytes, or the folder holds the source images.
        OSError, ArchiveError: as ``load_dataset``; the disk has too little space.
        ValueError: an unknown option; links to images that are not extracted; a split lacks a class.

    Example:

        >>> export_images("1pct", "/data/imagenet-1pct", data_dir="/data/imagenet")
        PosixPath('/data/imagenet-1pct')
    """
    given = locals()
    check_config_name(config, [*SUBSETS, "custom"])
    check_positive("num_proc", num_proc)
    for name, value in {"tree": tree, "link": link}.items():
        if value not in CHOICES[name]:
            raise ValueError(f"{name}={value!r:.200} is not known; choose one of {CHOICES[name]}.")
    if link and image_bytes == "benchmark":
        raise ValueError("A link has the bytes of the archive: leave out link or image_bytes.")
    if config != "lt" and "test" in (splits or ()):
        raise ValueError("The official test images have no class, and so no folder: leave out 'test'.")
    output_dir, data_dir = Path(output_dir).expanduser(), normalize_data_dir(data_dir)
    chosen = "image_bytes", "unlabeled", "train_list", "validation_list", "classes", "holdout"
    options = {name: given[name] for name in chosen} | {"splits": splits and list(splits)}
    plan = ImagenetSubsetsConfig(config, data_dir=data_dir, **options).plan
    if holds_images(output_dir, data_dir):
        raise FileExistsError(f"{output_dir} is, or is in, the folder that the images are read from. Choose another.")
    for layout in plan.layouts:
        if link and not isinstance(layout, Folder):
            raise ValueError(f"link={link!r} needs extracted images, which {layout.path} is not. Leave it out.")
    folders = {split: FOLDERS.get(split, split) if tree == "split" else "" for split in plan.splits}
    names = {split: map(bytes.decode, images.rows["name"].tolist()) for split, images in plan.splits.items()}
    paths = {split: [tree_path(name, folders[split]) for name in names[split]] for split in names}
    _check_classes(plan, paths)
    _Export(output_dir, image_bytes, link, num_proc or THREADS).run(plan, paths, sidecars)
    return output_dir


def _check_classes(plan: Plan, paths: dict[str, list[str]]) -> None:
    wnids = {read_wnids()[label] for label in plan.columns.classes or range(len(read_wnids()))}
    for split, of_split in paths.items():
        if absent := sorted(wnids.difference(path.split("/")[1] for path in of_split)):
            raise ValueError(
                f"{split} has no image of {len(absent):,} of {len(wnids):,} classes, so ImageFolder would shift the "
                f"labels after them: {shorten(absent)}. Pass classes=[...], those of every split, or leave out splits."
            )


def _lists(plan: Plan, paths: dict[str, list[str]]) -> dict[str, bytes]:
    """Path below the root -> content of the lists of the splits, in row order, and of the published ones."""
    lists = {} if plan.columns.classes else published_files(plan.config, "holdout" in plan.subset)
    for split, images in plan.splits.items():
        labels = relabel(images.rows["label"], plan.columns.classes).tolist()
        lists[f"{split}.txt"] = "".join(map("{} {}\n".format, paths[split], labels)).encode()
    return {f"lists/{name}": content for name, content in lists.items()}


@dataclasses.dataclass(frozen=True)
class _Export:
    output_dir: Path
    image_bytes: str
    link: str | None
    threads: int

    def run(self, plan: Plan, paths: dict[str, list[str]], sidecars: bool) -> None:
        """Write what is missing, once all that exists has been compared."""
        lists, missing = _lists(plan, paths), dict[str, list[int]]()
        present = self._existing({path for of_split in paths.values() for path in of_split})
        exist = [path for path in lists if (self.output_dir / path).exists()]
        changed, known = [path for path in exist if (self.output_dir / path).read_bytes() != lists[path]], set(present)
        for split, images in plan.splits.items():
            existing = [k for k, path in enumerate(paths[split]) if path in present]
            changed += self._each(f"Comparing {split}", images, existing, paths[split], self._differs)
            missing[split] = [k for k, path in enumerate(paths[split]) if path not in known]
            known.update(paths[split])  # an image of two splits is written once
        if changed:
            raise FileExistsError(
                f"{self.output_dir} holds {len(changed):,} files with other content than this export would write: "
                f"{shorten(changed)}. Remove them, or export to another folder."
            )
        sizes = [int(images.rows["size"][missing[split]].sum()) for split, images in plan.splits.items()]
        check_space(self.output_dir, 0 if self.link else sum(sizes), f"the images of {plan.config}")
        for folder in sorted({os.path.dirname(path) for path in (*known, *lists)}):
            os.makedirs(self.output_dir / folder, exist_ok=True)
        if sidecars:
            write_sidecars(self.output_dir)
        for split, images in plan.splits.items():
            self._each(f"Writing {split}", images, missing[split], paths[split], self._write)
        for path, content in lists.items():
            with write_atomically(self.output_dir / path) as written:
                Path(written).write_bytes(content)

    def _existing(self, wanted: set[str]) -> set[str]:
        """Which of the files exist; deletes leftovers of a killed export, and warns of what else ImageFolder reads."""
        patterns = [f"{top}/{below}" for top in {path.split("/")[0] for path in wanted} for below in ("*", "*/*")]
        found = {path for pattern in patterns for path in glob.glob(pattern, root_dir=self.output_dir)}
        for path in found - wanted:
            if path.removesuffix(TEMPORARY) in wanted:
                os.unlink(self.output_dir / path)
        unknown = found - wanted - set(map(os.path.dirname, wanted))
        others = sorted(path for path in unknown if _IMAGE.fullmatch(path) or os.path.isdir(self.output_dir / path))
        if others:
            warn(
                f"{self.output_dir} has {len(others):,} folders or images that are not of this export; they are kept, "
                f"but ImageFolder would read them: {shorten(others)}."
            )
        return found & wanted

    def _each(
        self, doing: str, images: SplitRows, chosen: list[int], paths: list[str], act: Callable[[str, _Content], Any]
    ) -> list[str]:
        """Call ``act`` for the chosen rows, by threads; the paths for which it returns true."""
        rows = images.rows[chosen]

        def act_on(opened: OpenReader, part: list[int]) -> list[str]:
            found, some = [], list(named_tuples(rows[part]))
            contents: Iterator[_Content] = (images.reader.where(row).file for row in some)
            if not self.link:
                contents = self._read(opened.places(some), memoryview(bytearray(rows["size"][part].max())))
            for k, content in zip(part, contents):
                if opened.stop.is_set():
                    break
                if act(os.path.join(self.output_dir, paths[chosen[k]]), content):
                    found.append(paths[chosen[k]])
            return found

        parts = work_in_parts(images.reader, rows, act_on, self.threads, doing)
        return sorted(path for found in parts for path in found)

    def _read(self, places: Iterable[Place], buffer: memoryview) -> Iterator[memoryview | bytes]:
        """The images at some places, each read into the same buffer: new memory would take as long as reading."""
        for place in places:
            original = buffer[: place[2].size]
            image = read_checked(place, original)
            yield image if self.image_bytes == "benchmark" else original

    def _differs(self, path: str, content: _Content) -> bool:
        if not os.path.isfile(path):
            return True
        if isinstance(content, str):
            return not (os.path.samefile(content, path) or filecmp.cmp(content, path, shallow=False))
        return Path(path).read_bytes() != content

    def _write(self, path: str, content: _Content) -> None:
        if isinstance(content, str):  # a link to a symbolic link would depend on it
            return (os.link if self.link == "hard" else os.symlink)(os.path.realpath(content), path)
        with write_atomically(path, sync=False) as written, open(written, "wb", buffering=0) as file:
            rest = memoryview(content)
            while rest:  # a full disk takes a part
                rest = rest[file.write(rest) :]
