"""The walk over all headers of an archive, in whichever way is faster as it goes on."""

import os
import time

import numpy as np
import pyarrow as pa

from imagenet_reader.files import opened, progress_bar
from imagenet_reader.formats.tar_header import BLOCK, TarWalk
from imagenet_reader.index.members import MEMBERS, last_of_each_name, names_array
from imagenet_reader.official import CLASS_TAR
from imagenet_reader.walk.ways import PROCESSES, Hop, HopByProcesses, Stream, unfinished

ALONE = 0.05  # seconds: an archive that is done by then needs no other process
SLICE = 1.0  # seconds: how long a way is gone before its pace is compared with the other's
LOOK = 0.1  # seconds: how long to try the slower way, to see whether it still is
LOOKING = 0.08  # the part of the time that such looks may take
MEMORY_SPEED = 10e9  # bytes a second: no stream is faster
FOREVER = float("inf")
APPLE_DOUBLE = b"._"  # how the names of members begin that hold attributes of the next one
CORES = os.cpu_count() or 2


def first_member(fd, path, size):
    """The name of the first regular member of a tar of ``size`` bytes, ``bytes``; empty if it has none.

    AppleDouble members, which the tar of macOS puts before others, do not count.

    Raises:
        ArchiveError: it is no tar.
    """
    walk, headers = TarWalk(path, fd, 0, size), 1
    while True:
        names = (name for name in _table(walk)["name"].to_pylist() if not name.startswith(APPLE_DOUBLE))
        name = next(names, b"")
        if name or walk.done:
            return name
        walk.advance(fd, _hop_some(fd, headers))
        headers = walk.STEPS


def _hop_some(fd, headers):
    left = iter(range(headers))
    return lambda position: os.pread(fd, BLOCK, position) if next(left, None) is not None else None


def walk_archive(path):
    """The images in a tar of images or in a tar of class tars, ``pa.Table`` of ``MEMBERS``, each name once.

    Raises:
        ArchiveError: the archive is damaged, truncated, or of a kind that ImageNet's are not.
    """
    with opened(path) as fd:
        size = os.fstat(fd).st_size
        walks = [TarWalk(path, fd, 0, size)]
        with progress_bar(f"Indexing {os.path.basename(path)}", size) as bar:
            if CLASS_TAR.fullmatch(first_member(fd, path, size)):
                walks = _class_tar_walks(walks[0])
            return _walk_all(walks, bar)


def walk_tar(file):
    """The regular members of an open tar, ``pa.Table`` of ``MEMBERS``."""
    walk = TarWalk(file.path, file.fd, 0, file.stamp().size)
    walk.advance(file.fd, lambda position: file.read(position, BLOCK))
    return _table(walk)


def walk_class_tars(folder, wnids):
    """The images in the files of a folder that are class tars, as ``walk_archive`` returns those of one archive."""
    walks = []
    for wnid in wnids:
        path = os.path.join(folder, f"{wnid}.tar")
        walks.append(TarWalk(path, None, 0, os.path.getsize(path), f"{wnid}_".encode()))
    with progress_bar(f"Indexing {folder}", sum(walk.end for walk in walks)) as bar:
        return _walk_all(walks, bar)


def _class_tar_walks(outer):
    """The walks over the class tars in the archive that ``outer`` walks over."""
    Hop().advance([outer], FOREVER)
    class_tars = [member for member in _members(outer).to_pylist() if CLASS_TAR.fullmatch(member["name"])]
    walks = []
    for member in class_tars:
        start = member["offset"] + BLOCK
        prefix = member["name"].removesuffix(b".tar") + b"_"
        walks.append(TarWalk(outer.path, outer.fd, start, start + member["size"], prefix))
    return walks


def _walk_all(walks, bar):
    _finish(walks, bar)
    for walk in walks:
        if walk.error is not None:  # the first of the archive, whoever came upon another earlier
            raise walk.error
    bar.update(bar.total - bar.n)  # the blocks that end tars
    return pa.concat_tables([MEMBERS.empty_table(), *map(_members, walks)])  # a class tar has its own class's names


def _finish(walks, bar):
    """Take every walk to its end, or up to the first error."""
    race = _Race(walks, bar)
    race.go(Hop(), ALONE)
    with HopByProcesses(walks) as hop:
        stream, looking = Stream(), 0
        if len(unfinished(walks)) > 1:
            hop.start(min(CORES, PROCESSES))
        race.took = {hop: LOOK, stream: LOOK}
        race.pace = {hop: FOREVER, stream: 0}
        while unfinished(walks):
            race.go(max(race.pace, key=race.pace.get), SLICE)
            if hop.waits:
                hop.start(PROCESSES)
            slower = min(race.pace, key=race.pace.get)
            due = looking + race.took[slower] <= LOOKING * (time.perf_counter() - race.began)
            if due and not (slower is stream and race.is_beyond_streams(hop)):
                looking += race.go(slower, LOOK)


class _Race:
    """Measures ways to take walks along: ``pace``, headers a second, and ``took``, the seconds of the last time.

    A hop takes as long for any image, and a stream as long for any byte, but in holes of a sparse file. Headers are
    what is left to be passed, so they are the measure of both.
    """

    def __init__(self, walks, bar):
        self.walks, self.bar, self.began = walks, bar, time.perf_counter()
        self.pace, self.took = {}, {}
        self.headers = self.bytes = 0

    def go(self, way, seconds):
        """Take the walks along for some seconds, and return how many it has been."""
        before, started = self._position(), time.perf_counter()
        headers = way.advance(self.walks, seconds)
        self.took[way] = time.perf_counter() - started
        self.pace[way] = headers / self.took[way]
        passed = self._position() - before
        self.headers, self.bytes = self.headers + headers, self.bytes + passed
        self.bar.update(passed)
        return self.took[way]

    def is_beyond_streams(self, hop):
        """Whether no stream can be as fast as this, even out of memory."""
        return self.pace[hop] * self.bytes > MEMORY_SPEED * self.headers

    def _position(self):
        return sum(walk.position for walk in self.walks)


def _members(walk):
    return last_of_each_name(_table(walk), walk.path)


def _table(walk):
    """The members of a walk, ``pa.Table`` of ``MEMBERS``."""
    names, lengths, offsets, sizes = map(b"".join, zip(*walk.members)) if walk.members else (b"",) * 4
    columns = [names_array(names, np.frombuffer(lengths, np.int32))]
    columns += [pa.array(np.frombuffer(column, np.int64)) for column in (offsets, sizes)]
    return pa.table(columns, schema=MEMBERS)
