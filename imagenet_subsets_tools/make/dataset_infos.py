"""Make ``dataset_infos.json``, from which datasets 2.x and 3.x verify the splits of a loading script.

    python -m imagenet_subsets_tools.make.dataset_infos dataset_infos.json

It repeats the infos of the builder, without sizes in bytes, which are unknown here.
"""

import json
import os
import sys
from pathlib import Path

from datasets.utils.py_utils import asdict

import imagenet_subsets


def write_dataset_infos(path: str | os.PathLike[str]) -> None:
    """Write the infos of all configs to ``path``, one per line, as ``{config: DatasetInfo as a dict}``."""
    lines = []
    for name in imagenet_subsets.SUBSETS:
        info = asdict(imagenet_subsets.ImagenetSubsets(config_name=name).info)
        for split in info["splits"].values():
            del split["num_bytes"]
            split["dataset_name"] = info["dataset_name"]
        known = {key: value for key, value in info.items() if value is not None}
        lines.append(f"{json.dumps(name)}: {json.dumps(known)}")
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write_dataset_infos(sys.argv[1])
