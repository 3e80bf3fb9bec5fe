"""A load never uses incomplete files that killed processes have left."""

import random
import sys
from pathlib import Path

import huggingface_hub
import pytest
from helpers.faults import TRAIN, arrow_table, files, paths_below
from helpers.programs import output

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_subsets import index_path, read_index

pytestmark = pytest.mark.oldest_and_newest


@pytest.mark.once
def test_killed_while_indexing(standins_1pct, hf_home, monkeypatch):
    archive = standins_1pct / TRAIN_ARCHIVE
    output("killed_indexing", archive, 5, HF_HOME=str(hf_home))
    killed = read_index(archive)
    name = Path(index_path(archive)).name
    assert files(hf_home) == [name, name + ".lock"]
    content = Path(index_path(archive)).read_bytes()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(hf_home / "undisturbed"))
    assert killed.equals(read_index(archive))
    assert content == Path(index_path(archive)).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc and a subreaper")
@pytest.mark.parametrize("num_proc", [None, 2])
def test_killed_while_preparing(num_proc, standins_1pct, complete_caches, hf_home, tmp_path):
    """Killed repeatedly, with different numbers of processes, whose files have equal names but other content."""
    size = sum(path.stat().st_size for path in complete_caches[num_proc].rglob("*.arrow"))
    seeded = random.Random(f"{num_proc}")
    moments = [f"{processes}:{seeded.uniform(0, 0.6)}" for processes in ((3, 2) if num_proc else (2, 0))]
    killed = output("killed_preparing", standins_1pct, tmp_path / "cache", size, *moments, HF_HOME=str(hf_home))
    assert killed.split() == ["True"] * len(moments)
    cache = {"cache_dir": str(tmp_path / "cache"), "num_proc": num_proc}
    rows = imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, **cache, **TRAIN)
    assert len(rows) == 12_811
    assert paths_below(tmp_path / "cache") == paths_below(complete_caches[num_proc])
    assert arrow_table(tmp_path / "cache").equals(arrow_table(complete_caches[num_proc]))


@pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc")
def test_a_process_killed_while_it_waits_for_work(standins_1pct, hf_home, tmp_path):
    """It holds a lock that closing the pool needs: with datasets alone, the load never ends."""
    ended = output("killed_waiting", standins_1pct, tmp_path / "cache", HF_HOME=str(hf_home))
    message = "A process that prepared the dataset was killed by SIGKILL, perhaps because memory ran out"
    assert ended.split("\n")[:-1] == [f"{message}: use a lower num_proc. []", "12811"]


def test_eight_processes_prepare_the_same_dataset_at_once(standins_1pct, complete_caches, hf_home, tmp_path):
    ended = output("eight_loads", standins_1pct, tmp_path / "cache", HF_HOME=str(hf_home))
    assert ended.split("\n")[-2] == str([0] * 8)
    assert paths_below(tmp_path / "cache") == paths_below(complete_caches[None])
    assert arrow_table(tmp_path / "cache").equals(arrow_table(complete_caches[None]))
