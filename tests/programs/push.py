"""Push a folder to the Hub: FOLDER REPO."""

import sys

from imagenet_subsets_tools.publish import push_to_hub

push_to_hub(*sys.argv[1:])
