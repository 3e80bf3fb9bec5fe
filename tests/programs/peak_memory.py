"""Prepare a config and print the peak memory, in kB: CONFIG DATA_DIR CACHE."""

import re
import sys
from pathlib import Path

import imagenet_subsets

config, data_dir, cache = sys.argv[1:]
imagenet_subsets.ImagenetSubsets(config_name=config, data_dir=data_dir, cache_dir=cache).download_and_prepare()
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
