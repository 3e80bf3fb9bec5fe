"""Processes that are killed while they index or prepare leave nothing that a later load takes for whole."""

import random
import sys
from pathlib import Path

import huggingface_hub
import pytest
from helpers.faults import TRAIN, arrow_table, files, python, tree

import imagenet_subsets
from imagenet_reader.official import TRAIN_ARCHIVE
from imagenet_subsets import index_path, read_index

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


@pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc and a subreaper")
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
