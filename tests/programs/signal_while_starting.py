"""Send Ctrl-C while the third process starts."""

import os
import signal
import time

forks = 0


def count():
    global forks
    forks += 1


def interrupt():
    if forks == 3:  # two that write, and the one by which datasets learns how far they are
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.2)


os.register_at_fork(before=count, after_in_child=interrupt)
