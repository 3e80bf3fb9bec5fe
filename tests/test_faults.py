"""After faults of a machine: an error that names what failed, or the right rows; never a part taken for the whole."""

import errno
import hashlib
import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import huggingface_hub
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.exceptions import DatasetGenerationError

import imagenet_subsets
from imagenet_reader.official import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError, index_path, read_index

NAMES = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 301)]
FEW = {"splits": ["validation"], "on_missing": "skip", "split": "validation"}
TRAIN = {"splits": ["train"], "split": "train"}

# --------------------------------------------------------------------------------- archives and rows


def jpeg(seed):
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), (seed % 256, seed // 256 * 40, 99)).save(file, "JPEG")
    return file.getvalue()


def write_archive(path, images):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in images.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="session")
def images():
    """{file name: bytes}, every one different."""
    return {name: jpeg(k) for k, name in enumerate(NAMES)}


@pytest.fixture
def few(images, tmp_path):
    """The path of a validation archive of 300 images, for a test to spoil."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / VALIDATION_ARCHIVE
    write_archive(path, images)
    return path


@pytest.fixture
def hf_home(tmp_path, monkeypatch):
    """An HF_HOME of the test's own, in which there is no index yet."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "hf_home"))
    return tmp_path / "hf_home"


@pytest.fixture
def before_reads(monkeypatch):
    """``before_reads(act)``: call ``act(position, size)`` before each read of the script, in forked processes too."""
    pread, preadv = os.pread, os.preadv

    def before_reads(act):
        def acting_pread(fd, size, position):
            act(position, size)
            return pread(fd, size, position)

        def acting_preadv(fd, buffers, position):
            act(position, sum(map(len, buffers)))
            return preadv(fd, buffers, position)

        # Streaming makes datasets give the script its own copy of the module os.
        monkeypatch.setattr(os, "pread", acting_pread)
        monkeypatch.setattr(os, "preadv", acting_preadv)

    return before_reads


def load(path, **options):
    return imagenet_subsets.load_dataset("1pct", data_dir=Path(path).parent, **options)


def images_of(dataset):
    """(file name, bytes) of each row."""
    for row in dataset.cast_column("image", datasets.Image(decode=False)):
        yield row["file_name"], row["image"]["bytes"]


def fails_right(dataset, images):
    """The error that iterating ends with; the images given till then are the right ones, and not all."""
    given = []
    with pytest.raises((ArchiveError, OSError)) as raised:
        given.extend(pair for pair in images_of(dataset))
    assert given == list(images.items())[: len(given)]
    return str(raised.value)


def chain(error):
    """The messages of an error and of its causes."""
    told = []
    while error is not None:
        told.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def tree(folder):
    """The files below a folder, but locks."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.suffix != ".lock")


def files(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


# ------------------------------------------------------------------------------ processes and mounts

PRELUDE = """
import contextlib, ctypes, itertools, os, pathlib, random, resource, signal, sys, time, traceback, warnings
import imagenet_subsets

def forked(run):
    pid = os.fork()
    if pid:
        return pid
    try:
        run()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


def python(code, *arguments, hf_home, timeout=240):
    """The output of a new Python process, which has its own HF_HOME, and must end well."""
    path = os.pathsep.join([str(Path(imagenet_subsets.__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        env={**os.environ, "HF_HOME": str(hf_home), "PYTHONPATH": path},
        cwd=Path(hf_home).parent,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def run_as_root():
    """``run_as_root(*command)``; skips where this cannot be done."""
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]

    def run_as_root(*command):
        try:
            subprocess.run([*rights, *map(str, command)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no rights to {command[0]}: {getattr(error, 'stderr', error)}")

    return run_as_root


@pytest.fixture
def small_disk(run_as_root, tmp_path):
    """``small_disk(size)`` gives a folder that is a file system of its own; called again, it changes the size."""
    folder = tmp_path / "disk"
    mounted = []

    def small_disk(size):
        folder.mkdir(exist_ok=True)
        remount = ["remount,"] if mounted else [""]
        run_as_root("mount", "-t", "tmpfs", "-o", f"{remount[0]}size={size},mode=777", "tmpfs", folder)
        mounted.append(size)
        return folder

    yield small_disk
    if mounted:
        run_as_root("umount", "--lazy", folder)


@pytest.fixture
def read_only(request, run_as_root):
    """``read_only(folder)`` lets nobody write below a folder that exists."""

    def read_only(folder):
        if os.geteuid():
            os.chmod(folder, 0o555)
            request.addfinalizer(lambda: os.chmod(folder, 0o755))
        else:  # whom the modes of files do not stop
            run_as_root("mount", "--bind", folder, folder)
            request.addfinalizer(lambda: run_as_root("umount", "--lazy", folder))
            run_as_root("mount", "-o", "remount,ro,bind", folder)

    return read_only


# ---------------------------------------------------------------------------------- killed processes


@pytest.fixture(scope="module")
def undisturbed(standins_1pct, tmp_path_factory):
    """num_proc -> the folder of a cache that such a preparation has filled."""
    folders = {}
    for num_proc in (None, 2):
        folders[num_proc] = tmp_path_factory.mktemp("undisturbed")
        imagenet_subsets.load_dataset(
            "1pct", data_dir=standins_1pct, num_proc=num_proc, cache_dir=str(folders[num_proc]), **TRAIN
        )
    return folders


def arrow_table(cache):
    """All rows of the Arrow files in a cache."""
    tables = []
    for path in sorted(Path(cache).rglob("*.arrow")):
        with pa.memory_map(str(path)) as source:
            tables.append(pa.ipc.open_stream(source).read_all())
    return pa.concat_tables(tables)


KILLED_INDEXING = """
archive, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)

def index(call=None, number=0):
    "Index, up to the number-th call of a function of os"
    original, count = getattr(os, call or "getpid"), itertools.count(1)
    def killing(*arguments):
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    if call:
        setattr(os, call, killing)
    imagenet_subsets.read_index(archive)

def index_with_small_files():
    "The kernel ends the process in the middle of writing the index"
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    index()

for number in random.sample(range(1, 900), 4):
    assert os.waitpid(forked(lambda: index("pread", number)), 0)[1] == signal.SIGKILL, number
assert os.waitpid(forked(index_with_small_files), 0)[1] & 0x7F == signal.SIGXFSZ
assert os.waitpid(forked(lambda: index("replace", 1)), 0)[1] == signal.SIGKILL
for moment in (random.random() for _ in range(4)):
    pid = forked(index)
    time.sleep(moment / 5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def test_killed_while_indexing(standins_1pct, hf_home, monkeypatch):
    archive = standins_1pct / TRAIN_ARCHIVE
    python(KILLED_INDEXING, archive, 5, hf_home=hf_home)
    killed = read_index(archive)
    name = Path(index_path(archive)).name
    assert files(hf_home) == [name, name + ".lock"]
    content = Path(index_path(archive)).read_bytes()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(hf_home / "undisturbed"))
    assert killed.equals(read_index(archive))
    assert content == Path(index_path(archive)).read_bytes()


KILLED_PREPARING = """
data_dir, cache, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: processes that lose their parent become ours

def prepared():
    "How much of the dataset is written"
    total = 0
    for path in pathlib.Path(cache).rglob("*.arrow"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total

def end_of_all():
    for _ in range(600):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.05)
    children = [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/stat")
                if path.read_text().rpartition(")")[2].split()[1] == str(os.getpid())]
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    sys.exit(f"of a killed preparation, the processes {children} were left")

for argument in sys.argv[4:]:
    num_proc, part = argument.split(":")
    pid = forked(lambda: imagenet_subsets.load_dataset(
        "1pct", data_dir=data_dir, cache_dir=cache, splits=["train"], num_proc=int(num_proc) or None
    ))
    before = prepared()
    while prepared() <= float(part) * size and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    ended = os.waitpid(pid, 0)[1]
    print(ended == signal.SIGKILL, flush=True)
    end_of_all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot be told to end with its parent")
@pytest.mark.parametrize("num_proc", [None, 2])
def test_killed_while_preparing(num_proc, standins_1pct, undisturbed, tmp_path):
    """Killed again and again, with other numbers of processes, in which files of the same names differ."""
    size = sum(path.stat().st_size for path in undisturbed[num_proc].rglob("*.arrow"))
    seeded = random.Random(f"{num_proc}")
    moments = [f"{processes}:{seeded.uniform(0, 0.6)}" for processes in ((3, 2) if num_proc else (2, 0))]
    killed = python(KILLED_PREPARING, standins_1pct, tmp_path / "cache", size, *moments, hf_home=tmp_path / "hf_home")
    assert killed.split() == ["True"] * len(moments)
    cache = {"cache_dir": str(tmp_path / "cache"), "num_proc": num_proc}
    rows = imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, **cache, **TRAIN)
    assert len(rows) == 12_811
    assert tree(tmp_path / "cache") == tree(undisturbed[num_proc])
    assert arrow_table(tmp_path / "cache").equals(arrow_table(undisturbed[num_proc]))


EIGHT = """
data_dir, cache = sys.argv[1:]
start, go = os.pipe()

def prepare():
    os.read(start, 1)  # all at once
    rows = imagenet_subsets.load_dataset("1pct", data_dir=data_dir, cache_dir=cache, splits=["train"], split="train")
    assert len(rows) == 12_811
    table = rows.with_format("arrow")[:]
    assert all(name.as_py().encode() in image["bytes"].as_py() and image["path"] == name
               for name, image in zip(table["file_name"][::50], table["image"][::50]))

children = [forked(prepare) for _ in range(8)]
os.write(go, b"x" * 8)
print([os.waitpid(pid, 0)[1] for pid in children])
"""


def test_eight_processes_that_prepare_the_same_at_once_all_get_it(standins_1pct, undisturbed, tmp_path):
    ended = python(EIGHT, standins_1pct, tmp_path / "cache", hf_home=tmp_path / "hf_home")
    assert ended.split("\n")[-2] == str([0] * 8)
    assert tree(tmp_path / "cache") == tree(undisturbed[None])
    assert arrow_table(tmp_path / "cache").equals(arrow_table(undisturbed[None]))


# ------------------------------------------------------------------------------ disks and permissions


def test_disk_full_while_indexing(standins_1pct, small_disk, monkeypatch):
    disk = small_disk("64k")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(disk / "hf_home"))
    archive = standins_1pct / TRAIN_ARCHIVE
    with pytest.raises(OSError, match=rf"No space left on device.*{disk}") as raised:
        read_index(archive)
    assert raised.value.errno == errno.ENOSPC
    assert not [name for name in files(disk) if not name.endswith(".lock")]
    small_disk("1m")
    assert read_index(archive).num_rows > 12_811


@pytest.mark.parametrize("num_proc", [None, 2])
def test_disk_full_while_preparing(num_proc, standins_1pct, small_disk, undisturbed):
    cache = small_disk("4m")
    options = {"data_dir": standins_1pct, "cache_dir": str(cache), "num_proc": num_proc, **TRAIN}
    with pytest.raises((OSError, DatasetGenerationError)) as raised:
        imagenet_subsets.load_dataset("1pct", **options)
    assert "No space left on device" in chain(raised.value)
    assert str(cache) in chain(raised.value)
    assert not [name for name in files(cache) if not name.endswith(".lock")]
    small_disk("32m")
    assert len(imagenet_subsets.load_dataset("1pct", **options)) == 12_811
    assert tree(cache) == tree(undisturbed[num_proc])


def test_an_hf_home_that_cannot_be_written(few, hf_home, read_only):
    hf_home.mkdir()
    read_only(hf_home)
    with pytest.raises(OSError, match=f"(Read-only file system|Permission denied).*{hf_home}"):
        load(few, streaming=True, **FEW)


def test_an_hf_home_that_is_a_file(few, hf_home):
    hf_home.touch()
    with pytest.raises(OSError, match=str(hf_home)):
        load(few, streaming=True, **FEW)


def test_a_cache_that_cannot_be_written(few, tmp_path, read_only):
    cache = tmp_path / "cache"
    cache.mkdir()
    read_only(cache)
    with pytest.raises(OSError, match=f"(Read-only file system|Permission denied).*{cache}"):
        load(few, cache_dir=str(cache), **FEW)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_data_dir_that_cannot_be_written_is_all_right(few, images, tmp_path, read_only):
    read_only(few.parent)
    with pytest.raises(OSError, match=r"Read-only|denied"):
        (few.parent / "file").touch()
    assert dict(images_of(load(few, streaming=True, **FEW))) == images
    assert dict(images_of(load(few, cache_dir=str(tmp_path / "cache"), **FEW))) == images


# -------------------------------------------------------------------------------------- input errors


@pytest.mark.parametrize("call", [1, 2, 18, 30, 200])
def test_an_input_error_while_indexing(call, few, hf_home, before_reads):
    calls = itertools.count(1)

    def fail(position, size):
        if next(calls) == call:
            raise OSError(errno.EIO, "Input/output error")

    before_reads(fail)
    with pytest.raises(OSError, match="Input/output error") as raised:
        read_index(str(few))
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, str(few))
    assert not [name for name in files(hf_home) if not name.endswith(".lock")]
    assert read_index(str(few)).num_rows == 300


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("num_proc", [None, 2])
def test_an_input_error_while_images_are_read(num_proc, few, images, tmp_path, before_reads):
    read_index(str(few))
    with tarfile.open(few) as tar:
        bad = tar.getmember(NAMES[250]).offset

    def fail(position, size):
        if position <= bad < position + size and size > 512:
            raise OSError(errno.EIO, "Input/output error")

    streamed = load(few, streaming=True, **FEW)
    before_reads(fail)
    told = fails_right(streamed, images)
    assert "Input/output error" in told
    assert str(few) in told
    options = {"cache_dir": str(tmp_path / "cache"), "num_proc": num_proc, **FEW}
    with pytest.raises((OSError, DatasetGenerationError)) as raised:
        load(few, **options)
    assert "Input/output error, while reading" in chain(raised.value)
    assert str(few) in chain(raised.value)
    assert not [name for name in files(tmp_path / "cache") if not name.endswith(".lock")]
    before_reads(lambda position, size: None)
    assert dict(images_of(load(few, **options))) == images


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_read_that_gives_less_than_it_was_asked_for_is_no_image(few, images, monkeypatch):
    dataset, preadv = load(few, streaming=True, **FEW), os.preadv

    def short(fd, buffers, position):
        return preadv(fd, [buffers[0], buffers[1][:-10]], position)

    monkeypatch.setattr(os, "preadv", short)
    assert str(few) in fails_right(dataset, images)


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("size", [0, 100, 100_000, 102_400 + 600])
def test_an_archive_truncated_between_index_and_read(size, few, images):
    dataset = load(few, streaming=True, **FEW)
    os.truncate(few, size)
    told = fails_right(dataset, images)
    assert str(few) in told
    assert "changed" in told


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("other", ["same layout", "another order", "one image less", "rubbish"])
def test_an_archive_replaced_between_index_and_read(other, in_place, few, images, tmp_path):
    dataset = load(few, streaming=True, **FEW)
    pixels = {name: content[:-2] + b"\xff\xd9" + content[-2:] for name, content in images.items()}
    new = tmp_path / "new.tar"
    if other == "rubbish":
        new.write_bytes(b"rubbish " * 50_000)
    elif other == "same layout":  # that is, the same headers at the same places
        sizes = {name: len(content) for name, content in images.items()}
        swapped = {name: jpeg(k + 301) for k, name in enumerate(images)}
        pixels = {name: (swapped[name] + bytes(size))[:size] for name, size in sizes.items()}
        write_archive(new, pixels)
    elif other == "another order":
        write_archive(new, dict(reversed(pixels.items())))
    else:
        write_archive(new, dict(list(pixels.items())[1:]))
    if in_place:
        few.write_bytes(new.read_bytes())
    else:
        os.replace(new, few)
    told = fails_right(dataset, images)
    assert str(few) in told
    assert "changed" in told


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("row", [0, 150, 299])
def test_an_archive_rewritten_while_it_is_prepared(row, few, images, tmp_path, before_reads):
    """Such a dataset would be some images of one archive and some of the other, under the name of the first."""
    others = {name: jpeg(k + 301) for k, name in enumerate(images)}
    others = {name: other[: len(images[name])].ljust(len(images[name]), b"\0") for name, other in others.items()}
    with tarfile.open(few) as tar:
        moment = tar.getmember(NAMES[row]).offset

    def rewrite(position, size):
        if position == moment and size > 512:
            write_archive(few, others)

    read_index(str(few))
    before_reads(rewrite)
    with pytest.raises((ArchiveError, DatasetGenerationError)) as raised:
        load(few, cache_dir=str(tmp_path / "cache"), **FEW)
    assert "changed" in chain(raised.value)
    assert str(few) in chain(raised.value)
    assert not [name for name in files(tmp_path / "cache") if not name.endswith(".lock")]
    before_reads(lambda position, size: None)
    assert dict(images_of(load(few, image_bytes="archive", cache_dir=str(tmp_path / "cache"), **FEW))) == others


# -------------------------------------------------------------------------------------------- indexes


def write_index(table, file):
    content = io.BytesIO()
    pq.write_table(table, content)
    Path(file).write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def with_column(table, name, values):
    return table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(values, pa.int64()))


@pytest.mark.filterwarnings("ignore:.*left out")
def test_the_index_of_another_archive_is_not_taken(few, images, hf_home, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / VALIDATION_ARCHIVE
    write_archive(other, dict(reversed(images.items())))
    for path in (few, other):
        read_index(str(path))
    own = Path(index_path(few)).read_bytes()
    shutil.copy(index_path(other), index_path(few))
    assert dict(images_of(load(few, streaming=True, **FEW))) == images
    assert Path(index_path(few)).read_bytes() == own


@pytest.mark.filterwarnings("ignore:.*left out")
def test_an_index_is_not_taken_once_the_archive_has_changed(few, images, hf_home):
    read_index(str(few))
    changed = dict(reversed(images.items()))
    write_archive(few, changed)
    assert dict(images_of(load(few, streaming=True, **FEW))) == changed


WRONG = {
    "the offsets of others": lambda offsets, sizes: (offsets[1:] + offsets[:1], sizes),
    "a block too far": lambda offsets, sizes: ([offset + 512 for offset in offsets], sizes),
    "a byte too far": lambda offsets, sizes: ([offset + 1 for offset in offsets], sizes),
    "past the end": lambda offsets, sizes: ([offset + (1 << 40) for offset in offsets], sizes),
    "before the beginning": lambda offsets, sizes: ([offset - (1 << 40) for offset in offsets], sizes),
    "a byte less": lambda offsets, sizes: (offsets, [size - 1 for size in sizes]),
    "a byte more": lambda offsets, sizes: (offsets, [size + 1 for size in sizes]),
    "a terabyte more": lambda offsets, sizes: (offsets, [size + (1 << 40) for size in sizes]),
}


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_index_never_gives_a_wrong_image(wrong, few, images, hf_home):
    """Whatever an index says: the header before each image has to be that image's."""
    table = read_index(str(few))
    offsets, sizes = WRONG[wrong](table["offset"].to_pylist(), table["size"].to_pylist())
    write_index(table, index_path(few))
    assert dict(images_of(load(few, streaming=True, **FEW))) == images  # the way to make an index is right
    write_index(with_column(with_column(table, "offset", offsets), "size", sizes), index_path(few))
    assert read_index(str(few))["offset"].to_pylist() == offsets
    with pytest.raises((ArchiveError, OSError)) as raised:
        assert not list(images_of(load(few, streaming=True, **FEW)))
    assert str(few) in str(raised.value)
