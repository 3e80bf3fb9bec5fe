"""Send Ctrl-C once the main thread has acquired twenty locks since it started a process, or after a second."""

import os
import signal
import sys
import time

process, forked, locks = os.getpid(), [], []


def interrupt(frame, event, argument):
    if os.getpid() != process or not forked:
        return
    if event == "return" and frame.f_code.co_name == "__enter__":
        locks.append(frame)
    if len(locks) == 20 or time.monotonic() > forked[0] + 1:
        sys.setprofile(None)
        os.kill(process, signal.SIGINT)


os.register_at_fork(after_in_parent=lambda: forked.append(time.monotonic()))
sys.setprofile(interrupt)
