"""Send Ctrl-C once, when a pool has just started the thread that replaces exited processes."""

import os
import signal
import threading

start = threading.Thread.start


def interrupt(thread):
    start(thread)
    if "_handle_workers" in thread.name:
        threading.Thread.start = start
        os.kill(os.getpid(), signal.SIGINT)


threading.Thread.start = interrupt
