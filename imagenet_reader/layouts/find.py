"""Which layout a folder has; and if it has none, a message that says where the images are, and what to do."""

import contextlib
import heapq
import itertools
import os

from imagenet_reader.facts import FIRST_MEMBERS, OFFICIAL_SIZES, SUPPORTED_LAYOUTS, ArchiveError, download_advice
from imagenet_reader.io import Listing, stamp_of
from imagenet_reader.io.paths import is_url, join
from imagenet_reader.layouts.archives import ClassTars, KaggleTar, KaggleZip, OfficialTar, first_name
from imagenet_reader.layouts.base import IMAGE_SETS, ImageSet, Layout
from imagenet_reader.layouts.extracted import HubParquet, HubTarGz, KaggleTarGz
from imagenet_reader.layouts.folders import FEW, Folder, holdings_of
from imagenet_reader.layouts.shards import Tfds, WebDataset
from imagenet_reader.text import shorten

LAYOUTS: tuple[type[Layout], ...] = (
    OfficialTar,
    ClassTars,
    Folder,
    KaggleZip,
    KaggleTar,
    KaggleTarGz,
    WebDataset,
    Tfds,
    HubParquet,
    HubTarGz,
)  # the first one counts, unless it is a few left-over files
FILES = ".tar", ".gz", ".zip", ".parquet"
NAMES_SHOWN = 8
MAX_FOLDERS = 200  # below data_dir, that are searched
MAX_TARS = 20


def find_layouts(set_names: list[str], data_dir: str) -> dict[str, Layout]:
    """The layout of each of some sets of images in a folder; each folder is listed once."""
    listing, layouts = Listing(), {}
    for name in set_names:
        layout = find_layout(name, data_dir, listing)
        if layout is None:
            # At a URL, it may be forbidden, or a web page.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                stamp_of(join(data_dir, IMAGE_SETS[name].archives[0]))
            raise FileNotFoundError(describe_missing(name, set_names, data_dir, listing))
        layouts[name] = layout
    return layouts


def find_layout(set_name: str, data_dir: str, listing: Listing) -> Layout | None:
    """The layout of one set of images: the first of ``LAYOUTS`` that finds them; ``None`` if there is none."""
    images, left_over = IMAGE_SETS[set_name], None
    for kind in LAYOUTS:
        layout = kind.find(images, data_dir, listing) if kind.remote or not is_url(data_dir) else None
        if layout is None:
            continue
        if not os.path.isdir(layout.path) or holdings_of(images, layout.path, listing).images_or_classes >= FEW:
            return layout
        left_over = left_over or layout  # so few images may be left over, if the set exists elsewhere
    return left_over


def holds_images(folder: str | os.PathLike[str], data_dir: str) -> bool:
    """Whether a folder, which need not exist, is ``data_dir``, or is, or is in, a folder of its images."""
    if is_url(data_dir):
        return False
    found, listing = os.path.realpath(folder), Listing()
    layouts = (find_layout(name, data_dir, listing) for name in IMAGE_SETS)
    places = [os.path.realpath(layout.path) for layout in layouts if layout is not None and os.path.isdir(layout.path)]
    return found == os.path.realpath(data_dir) or any(os.path.commonpath([found, place]) == place for place in places)


def describe_missing(set_name: str, needed: list[str], data_dir: str, listing: Listing) -> str:
    """The message for images that a folder does not have in a supported layout."""
    images = IMAGE_SETS[set_name]
    if is_url(data_dir):
        return _describe_missing_remotely(images, data_dir, listing)
    if os.path.isfile(data_dir):
        return f"data_dir={data_dir!r} is a file: pass the folder that it is in."
    if not os.path.isdir(data_dir):
        advice = "Pass the folder of the images, or a URL, such as hf://datasets/ILSVRC/imagenet-1k."
        return f"data_dir={data_dir!r}: there is no such folder. {advice}"
    names, kind = listing.names(data_dir), "training" if set_name == "train" else set_name
    shown = shorten(heapq.nsmallest(NAMES_SHOWN, names)) + (" ..." if len(names) > NAMES_SHOWN else "")
    found = f"{data_dir} has no {kind} images in a supported layout (it holds: {shown or 'nothing'})."
    hint = _describe_nearby(set_name, needed, data_dir, listing) or _describe_tars(images, data_dir, listing)
    if hint:
        return f"{found} {hint}"
    absent = [IMAGE_SETS[name].archives[0] for name in needed if find_layout(name, data_dir, listing) is None]
    skipping = "To build only the splits that do not need them, pass splits=[...]."
    return f"{found} {SUPPORTED_LAYOUTS} {download_advice(absent, data_dir)} {skipping}"


def _describe_missing_remotely(images: ImageSet, url: str, listing: Listing) -> str:
    if url.endswith(FILES):
        return f"data_dir={url!r} is a file: pass the URL of the folder that it is in."
    found = shorten(listing.names(url), NAMES_SHOWN) or "nothing that is listed"
    return (
        f"{url} has no {images.archives[0]} (found: {found}). At a URL, expected the official archives, the class tars "
        "(train/n01440764.tar), or files of the Hugging Face Hub (Parquet, .tar.gz, WebDataset) or of TensorFlow "
        "Datasets (TFRecords); download other layouts first. To build only the splits that do not need it, pass "
        "splits=[...]."
    )


def _describe_nearby(set_name: str, needed: list[str], data_dir: str, listing: Listing) -> str:
    """Which folder below or above has all that the config needs; else which folders below have such images."""
    names = listing.matching(data_dir, r"[^.\n]+")  # those of folders, mostly: to ask of each file takes long
    below = [os.path.join(data_dir, name, tree) for name in names[:MAX_FOLDERS] for tree in ("", "Data/CLS-LOC")]
    above = os.path.dirname(data_dir), os.path.dirname(os.path.dirname(data_dir))  # data_dir may be a class folder
    parts: list[str] = []
    for place in filter(os.path.isdir, map(os.path.normpath, (*below, *above))):
        with contextlib.suppress(OSError):
            layouts = {name: find_layout(name, place, listing) for name in {set_name, *needed}}
            paths = {name: layout.path for name, layout in layouts.items() if layout is not None}
            overlap = any(os.path.commonpath([data_dir, path]) in (data_dir, path) for path in paths.values())
            if paths.keys() == layouts.keys() and overlap:
                return f"But {place} has such images: pass data_dir={place!r}."
            parts += [path for name, path in paths.items() if name == set_name and path.startswith(f"{data_dir}/")]
    goal = os.path.join(data_dir, IMAGE_SETS[set_name].folders[0])
    return f"But {shorten(parts, 3, 400)} has such images: move them to {goal}." if parts else ""


def _describe_tars(images: ImageSet, data_dir: str, listing: Listing) -> str:
    """What the tars in a folder are, by their first bytes, or by their size."""
    archive, seen = images.archives[0], []
    for name in itertools.islice(listing.matching(data_dir, r"[^\n]*\.(?:tar|tar\.gz|tgz)[^\n]*"), MAX_TARS):
        path = os.path.join(data_dir, name)
        try:
            if os.path.isfile(path) and FIRST_MEMBERS[archive].fullmatch(first_name(path)):
                size, official = os.path.getsize(path), OFFICIAL_SIZES.get(archive)
                sizes = "" if size == official or official is None else f" (of {size:,} bytes; it has {official:,})"
                return f"But {path} begins like that archive{sizes}; rename it to {archive}."
        except ArchiveError as error:
            if images.archives[0].removesuffix(".tar") in name:
                seen.append(str(error))
        except OSError as error:
            seen.append(f"{path} cannot be read: {error.strerror}")
    return f"But {' '.join(seen[:3])}" if seen else ""
