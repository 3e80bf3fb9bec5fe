"""Send the signal NUMBER in a callback, where Python swallows the exception that a handler raises."""

import os
import time


def interrupt():
    if number := os.environ.pop("NUMBER", None):  # once
        os.kill(os.getpid(), int(number))
        time.sleep(0.01)


os.register_at_fork(after_in_parent=interrupt)
