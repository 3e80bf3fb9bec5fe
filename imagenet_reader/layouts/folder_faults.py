"""Why images are missing from folders."""

import collections
import os
import stat

from imagenet_reader.layouts.folders import CLASS_FOLDER, SYSTEM_FILES, entries_of
from imagenet_reader.layouts.messages import listing

OTHER_SUFFIXES = ".jpeg", ".jpg", ".JPG"  # of images that were renamed
EMPTY, IRREGULAR, BROKEN = "empty files", "no regular files", "broken links"
CURES = {
    EMPTY: "unpack them again; a disk that was full leaves such files",
    IRREGULAR: "replace them by the images",
    BROKEN: "put back what they lead to, or unpack them again",
}


def explain_files(paths: list[str], top: str, class_folders: list[str], by_label: bool) -> str:
    """What is wrong, and what to do.

    Args:
        paths: where the missing images should be.
        top: the folder of all images.
        class_folders: the folders that images of this layout are in; none if they lie side by side.
        by_label: whether the class of an image follows from its label, as for validation, not from its name.
    """
    if not class_folders and CLASS_FOLDER.fullmatch(os.path.basename(top)):
        return f"It is the folder of one class: pass the folder of all as data_dir, such as {os.path.dirname(top)!r}."
    folders = set(map(os.path.dirname, paths))
    absent = sorted(os.path.basename(folder) for folder in folders if not os.path.isdir(folder))
    if absent:
        return f"{len(absent):,} class folders are missing: {listing(absent)}. Unpack these classes again."
    return (
        _explain_unusable(paths)
        or _explain_renamed(paths)
        or _explain_deeper(paths)
        or _explain_misplaced(paths, top, class_folders, by_label)
        or "Unpack the archive again."
    )


def _explain_unusable(paths: list[str]) -> str:
    found = collections.defaultdict(list)
    for path in paths:
        fault = _fault(path)
        if fault:
            found[fault].append(path)
    sentences = []
    for fault, broken in sorted(found.items()):
        target = f", to {os.readlink(broken[0])}" if fault == BROKEN else ""
        sentences.append(f"{len(broken):,} of them are {fault}, such as {broken[0]}{target}: {CURES[fault]}.")
    return " ".join(sentences)


def _fault(path: str) -> str | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return BROKEN if os.path.islink(path) else None
    if not stat.S_ISREG(status.st_mode):
        return IRREGULAR
    return EMPTY if status.st_size == 0 else None


def _explain_renamed(paths: list[str]) -> str:
    for path in paths:
        stem = os.path.splitext(path)[0]
        renamed = next((stem + suffix for suffix in OTHER_SUFFIXES if os.path.exists(stem + suffix)), None)
        if renamed:
            folder, name = os.path.split(renamed)
            return f"{folder} has {name}: rename the files, so that they end in .JPEG as in the archive."
    return ""


def _explain_deeper(paths: list[str]) -> str:
    names = set(map(os.path.basename, paths))
    for folder in dict.fromkeys(map(os.path.dirname, paths)):
        for entry in sorted(entries_of(folder)):
            deeper = os.path.join(folder, entry)
            inside = () if entry.startswith(SYSTEM_FILES) else entries_of(deeper)
            if names.intersection(inside):
                return f"There is a folder {deeper}: move what is in such folders one level up."
    return ""


def _explain_misplaced(paths: list[str], top: str, class_folders: list[str], by_label: bool) -> str:
    """How many of the images are in another folder."""
    expected = {os.path.basename(path): os.path.dirname(path) for path in paths}
    found = {name: folder for folder in [top, *class_folders] for name in entries_of(folder) if name in expected}
    if not found:
        return ""
    name, folder = next(iter(found.items()))
    if folder == top:
        goal = top if by_label else "their class folders"
        return f"{len(found):,} of them are in {folder}, such as {name}: move all images directly into {goal}."
    example = f"{name} is in {os.path.basename(folder)}, and is of class {os.path.basename(expected[name])}."
    advice = f" Move all images directly into {top}; class folders are not needed." if by_label else ""
    return f"{len(found):,} of them are in the folder of a wrong class: {example}{advice}"
