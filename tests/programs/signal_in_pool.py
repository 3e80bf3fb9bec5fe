"""Ctrl-C arrives once, while a pool of processes has started the thread that replaces those that exit."""

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
