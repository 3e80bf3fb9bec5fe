"""Send Ctrl-C as soon as the main thread has acquired a lock, after it has started a process."""

import os
import signal
import sys

locks = []  # that the main thread has taken since it started a process
process, forked = os.getpid(), []


def interrupt(frame, event, argument):
    if event == "return" and frame.f_code.co_name == "__enter__" and os.getpid() == process and forked:
        locks.append(frame)
        if len(locks) == 20:
            sys.setprofile(None)
            os.kill(process, signal.SIGINT)


os.register_at_fork(after_in_parent=lambda: forked.append(True))
sys.setprofile(interrupt)
