"""Ways to take walks along: hopping from header to header, here or by processes, and streaming."""

import contextlib
import itertools
import os
import pathlib
import selectors
import subprocess
import sys
import time

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.tar_header import BLOCK
from imagenet_reader.sources.local import naming
from imagenet_reader.walk.worker import reader, receive, send

PROCESSES = 16  # where most of them wait for the storage
WAITING = 0.5  # the part of the time in which a process that waits for the storage works, at the most
STREAM_BYTES = 8 << 20
START = "import sys; sys.path.append(sys.argv[1]); from imagenet_reader.walk.worker import main; main()"


def unfinished(walks):
    """The walks that are not done, up to the first that has met an error: nobody asks for what follows."""
    sound = itertools.takewhile(lambda walk: walk.error is None, walks)
    return [walk for walk in sound if not walk.done]


def _advance_in_turn(walks, deadline, advance):
    """Call ``advance(walk, fd)`` for one walk after the other until the deadline; the sum of the headers passed."""
    headers = 0
    for walk in unfinished(walks):
        if time.perf_counter() >= deadline:
            break
        with naming(walk.path, "reading"), walk.opened() as fd:
            headers += advance(walk, fd)
    return headers


class Stream:
    """Reads the headers out of large pieces that are read one after the other."""

    def __init__(self):
        self.path, self.start, self.piece = None, 0, b""

    def advance(self, walks, seconds):
        """Take walks along, in their order, for some seconds; return how many headers were passed.

        Raises:
            ArchiveError: see ``TarWalk.advance``; so does every way.
            OSError: a file cannot be read.
        """
        deadline = time.perf_counter() + seconds
        return _advance_in_turn(walks, deadline, lambda walk, fd: walk.advance(fd, self._reader(walk, fd, deadline)))

    def _reader(self, walk, fd, deadline):
        if walk.path != self.path:
            self.path, self.start, self.piece = walk.path, 0, b""

        def read(position):
            end = self.start + len(self.piece)
            if not self.start <= position <= end - BLOCK:
                if time.perf_counter() >= deadline:  # and never amid a piece: what is read is made use of
                    return None
                # The next piece begins where this one ends, if that will do.
                self.start = end if end <= position <= end + STREAM_BYTES - BLOCK else position
                self.piece = os.pread(fd, STREAM_BYTES, self.start)
            begin = position - self.start
            return self.piece[begin : begin + BLOCK]

        return read


class Hop:
    """Reads headers one by one, in this process."""

    def advance(self, walks, seconds):
        """As ``Stream.advance``."""
        deadline = time.perf_counter() + seconds
        return _advance_in_turn(walks, deadline, lambda walk, fd: walk.advance(fd, reader(fd), deadline))


class HopByProcesses:
    """Reads headers one by one in each of several processes, which end with the context ``with``.

    They get the open files of the walks. Those that end before their time are done without; where none can be started,
    or only one walk is left, this process hops itself.

    Attributes:
        waits: whether the processes have had to wait for the storage, so that more of them are faster.
    """

    def __init__(self, walks):
        self.files = {walk.fd for walk in walks} - {None}
        self.alone, self.processes, self.busy = Hop(), [], selectors.DefaultSelector()
        self.started, self.waits = 0, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in list(self.processes):
            self._lose(process)
        self.busy.close()

    def start(self, count):
        """Start processes, until so many were started; none where this program is no ``python`` that could be one."""
        if "python" not in os.path.basename(sys.executable or "").lower():
            return
        package = str(pathlib.Path(__file__).resolve().parents[2])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with contextlib.suppress(OSError):  # too many processes, or too little memory
            while self.started < count:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", START, package],
                    **pipes,
                    pass_fds=self.files,
                    start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others
                )
                self.processes.append(process)
                self.started += 1

    def advance(self, walks, seconds):
        """As ``Stream.advance``, but every walk that meets an error has it as its ``error``."""
        waiting = unfinished(walks)
        if len(waiting) < 2 or not self.processes:
            return self.alone.advance(walks, seconds)
        began, queue, headers, worked = time.perf_counter(), iter(waiting), 0, 0
        deadline = began + seconds
        for process in list(self.processes):
            self._give(process, queue, deadline)
        while self.busy.get_map():
            for key, _ in self.busy.select():
                passed, spent = self._take(key.data[0], key.data[1])
                headers, worked = headers + passed, worked + spent
                if all(walk.error is None for walk in waiting):
                    self._give(key.data[0], queue, deadline)
        self.waits = worked < WAITING * len(self.processes) * (time.perf_counter() - began)
        return headers

    def _give(self, process, queue, deadline):
        """Let an idle process walk on with the next walk, if there is one and time is left."""
        seconds = deadline - time.perf_counter()
        if seconds <= 0 or process not in self.processes:
            return
        walk = next(queue, None)
        if walk is not None:
            try:
                send(process.stdin, (walk.path, walk.fd, walk.position, walk.end, walk.prefix, seconds))
                self.busy.register(process.stdout, selectors.EVENT_READ, (process, walk))
            except BrokenPipeError:  # it has ended; this walk's turn comes again
                self._lose(process)

    def _take(self, process, walk):
        """Take the result of a process that has one: how many headers it has passed, and its seconds of work."""
        self.busy.unregister(process.stdout)
        try:
            position, done, headers, members, worked, error = receive(process.stdout)
        except EOFError:
            self._lose(process)
            return 0, 0
        walk.position, walk.done = position, done
        walk.members += members
        if isinstance(error, str):
            walk.error = ArchiveError(error)
        elif error is not None:
            walk.error = OSError(error, f"{os.strerror(error)}, while reading", walk.path)
        return headers, worked

    def _lose(self, process):
        self.processes.remove(process)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what is still to be sent
                pipe.close()
