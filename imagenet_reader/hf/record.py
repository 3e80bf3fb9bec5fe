"""The record of a cached dataset: what it is, since the name of its folder is only a digest.

The record's modification time is when the dataset was last used, see ``files.note_use``.
"""

import json
import os

from imagenet_reader.sources.local import naming

RECORD = "imagenet_subsets.json"
LONGEST = 4  # of a list that is noted in full


def write_record(folder, config, options, archives):
    """Write the record of the dataset that is being written to a folder.

    Args:
        config: the name of the config.
        options: ``dict``, the non-default options; a long list is noted by its length.
        archives: ``list[str]``, the paths of the archives or folders that hold the images.

    Raises:
        OSError: the folder cannot be written.
    """
    noted = dict(options)
    for name, value in options.items():
        if isinstance(value, (list, tuple)) and len(value) > LONGEST:
            noted[name] = f"{len(value):,} lines"
    path, record = os.path.join(folder, RECORD), {"config": config, "options": noted, "archives": archives}
    with naming(path, "writing the dataset"), open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, default=str)  # paths need not be strings


def read_record(folder):
    """The record in a folder, ``dict`` with the arguments of ``write_record``; ``None`` if it holds none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):  # none, or an incomplete one
        return None
