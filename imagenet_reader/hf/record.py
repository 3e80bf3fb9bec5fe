"""The record of a cached dataset: a JSON file that says what the dataset is, since its folder is named by a digest.

The record's modification time is the time of the dataset's last use, see ``files.note_use``.
"""

import json
import os

from imagenet_reader.sources.local import naming

RECORD = "imagenet_subsets.json"
LONGEST = 4  # lines of a list that is recorded in full


def write_record(folder, config, options, archives):
    """Write the record of a dataset to its folder.

    Args:
        folder: the folder that the dataset is written to.
        config: the name of the config.
        options: ``dict``, the non-default options; of a long list, only the length is recorded.
        archives: ``list[str]``, the paths of the archives or folders that hold the images.

    Raises:
        OSError: the folder cannot be written.
    """
    recorded = dict(options)
    for name, value in options.items():
        if isinstance(value, (list, tuple)) and len(value) > LONGEST:
            recorded[name] = f"{len(value):,} lines"
    path, record = os.path.join(folder, RECORD), {"config": config, "options": recorded, "archives": archives}
    with naming(path, "writing the dataset"), open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, default=str)  # paths need not be strings


def read_record(folder):
    """The record in a folder, ``dict`` with the arguments of ``write_record``; ``None`` if the folder has none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):  # absent or incomplete
        return None
