"""The walk over all headers of an archive, hopping from one to the next or streaming, whichever is faster here."""

import concurrent.futures
import functools
import os
import time

import pyarrow as pa

from imagenet_reader.files import opened, progress_bar
from imagenet_reader.index import last_of_each_name
from imagenet_reader.official import CLASS_TAR
from imagenet_reader.tar import BLOCK, MEMBERS, TarWalk

PROBE = 256  # headers passed to measure how fast the storage is
WARM = 50e-6  # seconds a header: below, the bytes come from memory and threads would only wait for each other
THREADS = 16
STREAM_BYTES = 8 << 20
NO_LIMIT = 1 << 62


def first_member(fd, path, size):
    """The name of the first regular member of a tar of ``size`` bytes, ``bytes``; empty if it has none.

    Raises:
        ArchiveError: it is no tar.
    """
    walk, headers = TarWalk(fd, path, 0, size), 1
    while not walk.done and not (walk.tables and len(walk.tables[-1])):
        walk.advance(functools.partial(_hop, fd), headers)
        headers = walk.CHUNK
    return walk.tables[-1]["name"][0].as_py() if walk.tables and len(walk.tables[-1]) else b""


def walk_archive(path):
    """The images in a tar of images or in a tar of class tars, ``pa.Table`` of ``tar.MEMBERS``, each name once.

    Raises:
        ArchiveError: the archive is damaged, truncated, or of a kind that ImageNet's are not.
    """
    with opened(path) as fd:
        size = os.fstat(fd).st_size
        walks = [TarWalk(fd, path, 0, size)]
        if CLASS_TAR.fullmatch(first_member(fd, path, size)):
            walks = _class_tar_walks(walks[0])
        with progress_bar(f"Indexing {os.path.basename(path)}", size) as bar:
            _walk_all(fd, walks, bar.update)
            bar.update(size - bar.n)  # what ends tars, and lies between them
    return pa.concat_tables(_members(walk) for walk in walks)  # a class tar holds names of its class alone


def walk_class_tar(path, wnid, progress):
    """The images in a file that is a class tar, ``pa.Table`` of ``tar.MEMBERS``; raises as ``walk_archive``."""
    with opened(path) as fd:
        walk = TarWalk(fd, path, 0, os.fstat(fd).st_size, prefix=f"{wnid}_".encode())
        walk.advance(functools.partial(_hop, fd), NO_LIMIT, progress)
    return _members(walk)


def _members(walk):
    return last_of_each_name(pa.concat_tables([MEMBERS.empty_table(), *walk.tables]), walk.path)


def _class_tar_walks(outer):
    """The walks over the class tars in the archive that ``outer`` walks over."""
    outer.advance(functools.partial(_hop, outer.fd), NO_LIMIT)
    class_tars = [member for member in _members(outer).to_pylist() if CLASS_TAR.fullmatch(member["name"])]
    walks = []
    for member in class_tars:
        start = member["offset"] + BLOCK
        prefix = member["name"].removesuffix(b".tar") + b"_"
        walks.append(TarWalk(outer.fd, outer.path, start, start + member["size"], prefix))
    return walks


def _hop(fd, position):
    return os.pread(fd, BLOCK, position)


class _Stream:
    """Reads headers as ``_hop`` does, out of large pieces read one after the other."""

    def __init__(self, fd):
        self.fd, self.start, self.piece = fd, 0, b""

    def __call__(self, position):
        end = self.start + len(self.piece)
        if not self.start <= position <= end - BLOCK:  # the next piece begins where this one ends, if that will do
            self.start = end if end <= position <= end + STREAM_BYTES - BLOCK else position
            self.piece = os.pread(self.fd, STREAM_BYTES, self.start)
        begin = position - self.start
        return self.piece[begin : begin + BLOCK]


def _walk_all(fd, walks, progress):
    """Take every walk to its end, in the way that is faster here."""
    hop, stream = functools.partial(_hop, fd), _Stream(fd)
    if min(_seconds_per_header(walks, hop, progress) for _ in range(8)) < WARM:  # other work on the machine slows some
        _advance_in_turn(walks, hop, progress, limit=NO_LIMIT)
        return
    stream_pace = _pace(walks, lambda: _stream_a_while(walks, stream, progress))
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:

        def hop_together(limit, some_walks):
            list(pool.map(lambda walk: walk.advance(hop, limit, progress), some_walks))

        unfinished = [walk for walk in walks if not walk.done]
        hop_pace = _pace(walks, lambda: hop_together(PROBE // THREADS, unfinished[:THREADS]))
        if hop_pace > stream_pace:
            hop_together(NO_LIMIT, walks)
    _advance_in_turn(walks, stream, progress, limit=NO_LIMIT)


def _advance_in_turn(walks, read, progress, limit=PROBE):
    passed = 0
    for walk in walks:
        passed += walk.advance(read, limit - passed, progress)
    return passed


def _stream_a_while(walks, stream, progress):
    goal = sum(walk.position for walk in walks) + 4 * STREAM_BYTES  # a piece that is hardly used would say nothing
    while sum(walk.position for walk in walks) < goal and not all(walk.done for walk in walks):
        _advance_in_turn(walks, stream, progress)


def _seconds_per_header(walks, read, progress):
    started = time.perf_counter()
    headers = _advance_in_turn(walks, read, progress, limit=PROBE // 8)
    return (time.perf_counter() - started) / max(headers, 1)


def _pace(walks, advance):
    """How fast ``advance()`` takes the walks along, in bytes of archive a second."""
    before, started = sum(walk.position for walk in walks), time.perf_counter()
    advance()
    return (sum(walk.position for walk in walks) - before) / (time.perf_counter() - started)
