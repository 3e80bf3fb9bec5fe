"""The manual is correct: the Python of every page runs as printed, and its links have targets.

Archives are stand-ins, put in for the paths of the pages; each block is a script of its own, in an empty folder.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap

import datasets
import pytest
from helpers.pages import PAGES, PROJECT, block, blocks
from helpers.remote import served
from makers.hub_parquet import hub_parquet
from makers.layouts import official_tars, train_images, unlabelled_images, validation_images

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.lists import read_real_labels

VERSION = tuple(int(part) for part in datasets.__version__.split(".")[:2])

# ------------------------------------------------------------------------------------------ Python blocks

LOAD, SCRIPT = 'print(dataset["train"][0])', '"./imagenet_subsets.py"'
CUSTOM, MORE_SPLITS = 'train_list="my.txt"', "unlabeled=True"
TORCH, STREAM, TIMM, TRANSFORMERS = (
    "model = resnet18(num_classes",
    "stream.set_epoch",
    "import timm",
    "import AutoModel",
)
LONG_TAIL, DATA_FRAME = "shot_accuracy(", "as_dataframe("
SELECT = "imagenet_subsets.select(imagenet"
IN_PLACE, IN_PLACE_LT = "shuffle(seed=0)[0])", 'load_dataset("lt", data_dir="/path/to/the/folder", in_place=True)'
CLASSES, FOLDS, SPLIT_BY_SPLIT = "chosen = {0, 1, 388}", "# Five folds", 'folder, splits=["validation"]'
EVALUATE, DDP, TIMM_FOLDER = "ResNet50_Weights.IMAGENET1K_V1", "DistributedDataParallel(", 'create_dataset("hfds/hub"'
IMAGENET_100, REAL, FEW_SHOT = 'classes="imagenet100"', "ResNet50_Weights.IMAGENET1K_V2", 'train_list="5imgs_class.txt"'
FILTER, EMBED, AT_ONCE = "fishes =", "embed_table_storage", 'filesystem("imagenet")'
REMOTE, REMOTE_OPTIONS = "hf://datasets/team/archives", "storage_options=options"
HUB, BUILD, DASK, NODES, RAY, SQL = (
    'load_dataset("hub"',
    "push_to_hub(",
    "client.get_executor()",
    "split_dataset_by_node(",
    "import ray",
    "import duckdb",
)
EVERY_BLOCK = (
    *(LOAD, SCRIPT, CUSTOM, MORE_SPLITS, TORCH, STREAM, TIMM, TRANSFORMERS, LONG_TAIL, DATA_FRAME),
    *(HUB, BUILD, DASK, NODES, RAY, SQL),
    *(REMOTE, REMOTE_OPTIONS),
    *(SELECT, IN_PLACE, IN_PLACE_LT, FILTER, EMBED, AT_ONCE),
    *(CLASSES, FOLDS, SPLIT_BY_SPLIT, EVALUATE, DDP, TIMM_FOLDER),
    *(IMAGENET_100, REAL, FEW_SHOT),
)

# A torchvision that is built for CUDA lacks its operators beside a CPU build of torch, and cannot be imported. Its
# transforms need none of them.
WITHOUT_OPERATORS = """
import torch

try:
    import torchvision
except RuntimeError:
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def test_every_python_block_is_tested():
    found = [[phrase for phrase in EVERY_BLOCK if phrase in text] for text in blocks("python")]
    assert all(len(phrases) == 1 for phrases in found), found
    assert sorted(phrases[0] for phrases in found) == sorted(EVERY_BLOCK)


@pytest.fixture
def run(standins_1pct, tmp_path):
    """``run(text, after=..., ...)`` -> stdout of a script in an empty folder; ``after`` is run at its end."""

    def run(text, before="", after="pass", cwd=tmp_path, replace=(), by=(sys.executable,), **environment):
        for old, new in {"/path/to/the/folder": str(standins_1pct), **dict(replace)}.items():
            text = text.replace(old, new)
        script = tmp_path / "block.py"
        after = textwrap.indent(textwrap.dedent(after), "    ")
        script.write_text(f"{before}\n{text}\nif __name__ == '__main__':\n{after}\n")
        result = subprocess.run(
            [*by, script],
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},  # the tests use all cores already
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def skip_without(*modules):
    """Skip where a module of an extra is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


# Blocks that start no processes, and what follows them: those of a page share an interpreter.
OF_PAGES = {
    "README.md": {
        IN_PLACE: """
            assert "mode=RGB size=64x48" in printed and len(dataset["validation"]) == 50_000
        """,
        HUB: """
            assert len(dataset["train"]) == 12_811
        """,
    },
    "docs/caches.md": {
        SPLIT_BY_SPLIT: """
            assert (len(train), len(validation)) == (12_811, 50_000)
        """
    },
    "docs/in-place.md": {
        IN_PLACE_LT: """
            image = dataset["train"].with_format("arrow")[0]["image"][0].as_py()
            assert image["bytes"] is None and image["path"].startswith("imagenet://tar:")
        """,
        FILTER: """
            assert printed.split() == ["90"]
        """,
        EMBED: """
            import pyarrow.parquet

            table = pyarrow.parquet.read_table("train.parquet")
            images = table["image"].to_pylist()
            assert all(image["bytes"] for image in images)
            assert [image["path"] for image in images] == table["file_name"].to_pylist()
        """,
        AT_ONCE: """
            assert printed == "(64, 48)\\n"
            plain = dataset["train"][:500]["image"]
            assert [image.tobytes() for image in train[:500]["image"]] == [image.tobytes() for image in plain]
        """,
    },
    "docs/pictures.md": {
        DATA_FRAME: """
            assert len(as_dataframe(dataset["train"], rows=5)) == 5
        """
    },
    "docs/recipes.md": {
        CLASSES: """
            assert printed.splitlines()[0] == "{'train': 38, 'validation': 150}" and "giant panda" in printed
        """,
        FEW_SHOT: """
            assert few_shot["train"]["label"][:] == [20, 0] and few_shot["validation"][1]["real_labels"]
        """,
        FOLDS: """
            import collections

            folds = [set(order[fold::5].tolist()) for fold in range(5)]  # each row is held out once
            assert set.union(*folds) == set(range(len(train))) and sum(map(len, folds)) == len(train)
            for rows in folds:  # each class is in each fold
                assert set(collections.Counter(labels[sorted(rows)].tolist()).values()) <= {2, 3}
            assert not set(fit["file_name"][:]) & set(validate["file_name"][:])
            assert collections.Counter(five["label"][:]) == dict.fromkeys(range(1000), 5)
            assert printed.splitlines() == ["10248 2563"] + ["10249 2562"] * 4 + ["5000"]
        """,
    },
    "docs/training.md": {
        CUSTOM: """
            assert mine["train"]["label"][:] == [20, 0] and len(mine["validation"]) == 50_000
        """,
        LONG_TAIL: """
            lines = printed.splitlines()
            assert lines[:2] == ["1280", "{'many': 385, 'medium': 479, 'few': 136}"]
            assert all(f"'{group}': " in lines[2] for group in ("overall", "many", "medium", "few"))
        """,
    },
}
RUN_ALL = """
import contextlib, io, json, sys

for text, after in json.load(sys.stdin):
    names, printed = {"__name__": "__main__"}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(text, names)
    exec(after, names | {"printed": printed.getvalue()})
"""


@pytest.mark.once
@pytest.mark.parametrize("page", OF_PAGES)
def test_blocks_of_a_page(page, standins_1pct, standins_all, hub_folder, tmp_path):
    """With a built folder in place of the repository, which test_publish.py pushes and loads."""
    (tmp_path / "my.txt").write_text("n01601694_21328.JPEG\ntrain/n01440764/n01440764_10040.JPEG 0\n")
    (tmp_path / "5imgs_class.txt").write_text("n01601694_21328.JPEG\nn01440764_10040.JPEG\n")
    (tmp_path / "hub").symlink_to(hub_folder)
    lt = 'load_dataset("lt", data_dir='
    paths = {f'{lt}"/path/to/the/folder"': f'{lt}"{standins_all}"'}
    paths |= {"/path/to/the/folder": str(standins_1pct), "team/imagenet-subsets": str(hub_folder)}
    texts = []
    for phrase, after in OF_PAGES[page].items():
        text = block(phrase)
        assert phrase in PAGES[page]
        for old, new in paths.items():
            text = text.replace(old, new)
        texts.append((text, textwrap.dedent(after)))
    call = {"cwd": tmp_path, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    result = subprocess.run(
        [sys.executable, "-c", RUN_ALL], input=json.dumps(texts), text=True, stderr=subprocess.PIPE, **call
    )
    assert result.returncode == 0, result.stderr


def test_load_and_clear_the_caches(run, tmp_path):
    """The first call, with the default caches; then the README's commands delete them."""
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / ".cache" / "huggingface")}
    after = "assert [len(dataset[split]) for split in ('train', 'validation')] == [12_811, 50_000]"
    printed = run(block(LOAD), after=after, **home)
    assert "'file_name': 'n01601694_21328.JPEG'" in printed
    (clearing,) = (text for text in blocks("bash") if "rm -r" in text)
    assert re.search("^1pct-[0-9a-f]{8} .*\nindex-", run_bash(clearing, tmp_path).stdout, re.MULTILINE)
    left = [path for path in (tmp_path / ".cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []


def run_bash(text, home):
    environment = {name: value for name, value in os.environ.items() if name != "HF_HOME"} | {"HOME": str(home)}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{environment['PATH']}"
    return subprocess.run(["bash", "-euc", text], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.skipif(VERSION >= (2, 20), reason="datasets 2.20 and later ask first, or run no scripts")
def test_script(run, tmp_path):
    run(block(SCRIPT), after="assert len(dataset['train']) == 12_811", cwd=PROJECT, HF_HOME=str(tmp_path / "home"))


@pytest.mark.once
def test_more_splits(run, standins_1pct, tmp_path):
    """With the training images of the stand-ins as the complete training set."""
    folder = tmp_path / "data"
    official_tars(unlabelled_images(), folder)
    for archive in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
        (folder / archive).hardlink_to(standins_1pct / archive)
    images = imagenet_subsets.read_index(str(standins_1pct / TRAIN_ARCHIVE)).num_rows
    before = f"from imagenet_reader import lists\nlists.TRAIN_IMAGES = {images}"
    after = """
        assert list(semi) == ["train", "validation", "unlabeled"]
        assert [next(iter(rows))["label"] for rows in (semi["unlabeled"], test)] == [-1, -1]
    """
    run(block(MORE_SPLITS), before, after, replace={"/path/to/the/folder": str(folder)})


@pytest.mark.engines
def test_torch(run):
    """The PyTorch block and the streaming one that continues it."""
    skip_without("torch", "torchvision")
    printed = run(block(TORCH) + block(STREAM), WITHOUT_OPERATORS)
    shape = re.escape("torch.Size([32, 3, 224, 224])")
    labels = r"tensor\((\[.*\])\)"
    match = re.fullmatch(rf"loss [67]\.\d\d\n0 {shape} {labels}\n1 {shape} {labels}\n", printed)
    assert match, printed
    assert match[1] != match[2]  # the epochs differ


@pytest.mark.engines
def test_timm(run):
    skip_without("timm")
    assert re.fullmatch(r"loss [67]\.\d\d\n", run(block(TIMM), WITHOUT_OPERATORS))


@pytest.mark.engines
def test_timm_on_a_folder(run, hub_folder, tmp_path):
    skip_without("timm")
    (tmp_path / "hub").symlink_to(hub_folder)
    after = """
        assert create_dataset("hfds/" + os.path.realpath("hub"), root=None, split="validation")[0][1] == 65
    """
    printed = run(block(TIMM_FOLDER), "import os\n" + WITHOUT_OPERATORS, after)
    assert printed == "12811 torch.Size([3, 224, 224]) 20\n"


@pytest.mark.engines
def test_evaluation(run):
    """With random weights and on 32 images."""
    skip_without("torch", "torchvision")
    replace = {"weights=weights": "", 'split="validation")': 'split="validation[:32]")'}
    printed = run(block(EVALUATE), WITHOUT_OPERATORS, replace=replace)
    assert re.fullmatch(r"top-1 accuracy: \d\.\d\d %\n", printed)


@pytest.mark.engines
def test_real_accuracy(run):
    """With random weights and on 32 images, two of which have no ReaL labels."""
    skip_without("torch", "torchvision")
    replace = {"weights=weights": "", 'split="validation"': 'split="validation[:32]"'}
    printed = run(block(REAL), WITHOUT_OPERATORS, replace=replace)
    counted = sum(map(bool, read_real_labels()[:32]))
    pattern = rf"top-1 accuracy: \d\.\d\d % of 32\nReaL accuracy: \d\.\d\d % of {counted}\n"
    assert re.fullmatch(pattern, printed), printed


@pytest.mark.engines
def test_imagenet100(run):
    """With the training images of 1pct in place of all."""
    skip_without("torch", "torchvision")
    printed = run(block(IMAGENET_100), WITHOUT_OPERATORS, "assert len(train) == 1278", replace={'"full"': '"1pct"'})
    assert re.fullmatch(r"loss [45]\.\d\d, 100 classes\n", printed), printed


@pytest.mark.engines
def test_the_accuracy_to_compare_with():
    skip_without("torch", "torchvision")
    code = f"{WITHOUT_OPERATORS}\nfrom torchvision.models import ResNet50_Weights\n"
    code += "print(ResNet50_Weights.IMAGENET1K_V1.meta['_metrics']['ImageNet-1K']['acc@1'])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"{printed.strip()} % top-1 accuracy on the 50,000" in PAGES["docs/training.md"].replace("\n", " ")


@pytest.mark.engines
def test_ddp(run, tmp_path):
    """Two processes load at once into an empty cache."""
    skip_without("torch", "torchvision")
    by = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    printed = run(block(DDP), WITHOUT_OPERATORS, by=by, HF_DATASETS_CACHE=str(tmp_path / "cache"))
    assert sorted(printed.splitlines()) == [f"process {k}: 6406 of 12811 rows" for k in range(2)]
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 1


@pytest.mark.engines
def test_transformers(run):
    skip_without("transformers", "accelerate")
    after = """
        assert trainer.state.global_step == 1
        assert trainer.model.config.id2label[0] == "tench, Tinca tinca"
    """
    assert "'train_loss'" in run(block(TRANSFORMERS), WITHOUT_OPERATORS, after)


@pytest.mark.once
def test_select(run, standins_1pct, tmp_path):
    """With stand-ins of the Hub's Parquet files in place of the repository."""
    hub_parquet(train_images(standins_1pct) | validation_images(standins_1pct), tmp_path / "hub")
    local = f'"parquet", data_files={{s: f"{tmp_path}/hub/data/{{s}}-*.parquet" for s in ("train", "validation")}}'
    after = "assert [len(rows) for rows in subset.values()] == [12_811, 50_000]"
    printed = run(block(SELECT), after=after, replace={'"ILSVRC/imagenet-1k"': local}, HF_HOME=str(tmp_path / "home"))
    assert "'file_name': 'n01601694_21328.JPEG'" in printed


@pytest.mark.once
def test_build_and_push(run):
    """The calls fit the functions; test_parquet.py and test_publish.py make them."""
    before = """
from unittest import mock

from imagenet_subsets_tools import build, publish

build.build_parquet = mock.create_autospec(build.build_parquet)
publish.push_to_hub = mock.create_autospec(publish.push_to_hub)
"""
    after = """
        build_parquet.assert_called_once()
        push_to_hub.assert_called_once_with("hub", "team/imagenet-subsets")
    """
    run(block(BUILD), before, after)


@pytest.mark.engines
def test_dask(run, standins_1pct, tmp_path):
    """With a separate cluster and a smaller config."""
    skip_without("distributed")
    from distributed import LocalCluster

    here = {"/shared": str(tmp_path), "/data/imagenet": str(standins_1pct), '"full"': '"1pct"'}
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        replace = {"tcp://scheduler:8786": cluster.scheduler_address, **here}
        run(block(DASK), replace=replace)
    assert (tmp_path / "hub/README.md").is_file()


@pytest.mark.engines
@pytest.mark.skipif(not hasattr(datasets.IterableDataset, "reshard"), reason="needs datasets 5")
def test_nodes(run, hub_folder):
    skip_without("torch")
    run(
        block(NODES),
        after="assert 12_811 // 8 - 16 <= sum(1 for row in loader) <= 12_811 // 8 + 16",
        replace={"team/imagenet-subsets": str(hub_folder)},
        RANK="1",
        WORLD_SIZE="8",
    )


@pytest.mark.engines
def test_ray(run, hub_folder):
    skip_without("ray")
    before = """
import ray

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)  # small
"""
    printed = run(block(RAY), before, replace={"hub/1pct": f"{hub_folder}/1pct"}, RAY_USAGE_STATS_ENABLED="0")
    assert 600 < float(printed.splitlines()[-1]) < 1200


@pytest.mark.engines
def test_sql(run, hub_folder):
    skip_without("duckdb", "polars")
    printed = run(block(SQL), replace={"hub/lt": f"{hub_folder}/1pct"})
    assert printed.count("13") >= 2 and "shape: (1_000, 2)" in printed


@pytest.mark.once
@pytest.mark.parametrize("text", [REMOTE, REMOTE_OPTIONS])
def test_images_behind_a_url(text, run, small_images, list_options, tmp_path):
    """With a few images in place of 1pct."""
    token = "Bearer ..." if text == REMOTE_OPTIONS else ""
    with served("archives", small_images, tmp_path, indexed=False, token=token) as server:
        urls = "s3://bucket/imagenet", "hf://datasets/team/archives", "https://server/imagenet"
        lists = ", ".join(f"{name}={path!r}" for name, path in list_options.items())
        replace = {**dict.fromkeys(urls, server.url), '"1pct"': f'"custom", {lists}'}
        printed = run(
            block(text), after="print(sum(dataset.num_rows.values()))", replace=replace, HF_HOME=str(tmp_path / "home")
        )
    assert printed == f"{len(small_images)}\n"


def anchors(path):
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_have_targets(name):
    path = PROJECT / name
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            page, _, anchor = link.partition("#")
            target = (path.parent / page) if page else path
            assert target.is_file(), link
            assert not anchor or anchor in anchors(target), link
