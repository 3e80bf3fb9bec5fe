"""Make each read of images take 5 ms, as on slow storage, so that there is time to interrupt."""

import os
import time

delay, original = 0.005, os.preadv


def slow(*arguments):
    time.sleep(delay)
    return original(*arguments)


os.preadv = slow
