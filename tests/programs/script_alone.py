"""Run the script where the package can't be imported: SCRIPT."""

import runpy
import sys


class NoReader:
    """Finds no ``imagenet_reader``."""

    def find_spec(self, name, *_):
        if name == "imagenet_reader":
            raise ModuleNotFoundError(name=name)


sys.meta_path.insert(0, NoReader())
runpy.run_path(sys.argv[1])
