"""Child processes that run a function."""

import os
import traceback


def forked(run):
    """The process id of a child process that runs ``run()``."""
    pid = os.fork()
    if pid:
        return pid
    try:
        run()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
