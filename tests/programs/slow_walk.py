"""Walk the archive ``sys.argv[1]``, where every read takes 0.25 seconds; print "thread" once threads walk it."""

import os
import signal
import sys
import time

from imagenet_reader.walk import ways
from imagenet_reader.formats.tar import walk_archive

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
pread, hop = os.pread, ways.HopByThreads.hop


def slow(*arguments):
    time.sleep(0.25)
    return pread(*arguments)


def begin(self, walks):
    print("thread", flush=True)
    hop(self, walks)


os.pread, ways.HopByThreads.hop = slow, begin
walk_archive(sys.argv[1])
