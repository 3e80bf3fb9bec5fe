"""The manual is correct: the Python of every page runs as printed, and its links have targets.

Archives are stand-ins, put in for the paths of the pages; each block runs by itself, in an empty folder.
"""

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from unittest import mock

import datasets
import pytest
from helpers.pages import PAGES, PROJECT, block, blocks
from helpers.remote import served
from helpers.rows import VERSION
from makers.layouts import hub_parquet, official_tars, unlabelled_images

import imagenet_subsets
from imagenet_reader import lists
from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_subsets_tools import build, publish

LOAD, SCRIPT = 'print(dataset["train"][0])', '"./imagenet_subsets.py"'
HUB, PUSH, UNLABELED = 'load_dataset("hub"', "push_to_hub(", "unlabeled=True"
SELECT, DASK = "imagenet_subsets.select(imagenet", "client.get_executor()"
TORCH, STREAM, DDP = "model = resnet18(num_classes", "stream.set_epoch", "DistributedDataParallel("
REMOTE, REMOTE_OPTIONS = "hf://datasets/team/archives", "storage_options=options"

# Before blocks that import torchvision.
VISION = f"import sys; sys.path.append({str(PROJECT / 'tests')!r}); import helpers.vision"


@pytest.fixture
def text_of(standins_1pct):
    """``text_of(phrase, replace)``: the block with a phrase, and with paths of this machine."""

    def text_of(phrase, replace=()):
        text = block(phrase)
        for old, new in [*dict(replace).items(), ("/path/to/the/folder", str(standins_1pct))]:
            text = text.replace(old, new)
        return text

    return text_of


@pytest.fixture
def execute(text_of, tmp_path, monkeypatch, capsys):
    """``execute(phrase, after, replace)`` runs a block in this process, in an empty folder; then ``after``."""
    monkeypatch.chdir(tmp_path)

    def execute(phrase, after, replace=()):
        names = {"__name__": "__main__"}
        exec(text_of(phrase, replace), names)
        exec(textwrap.dedent(after), names | {"printed": capsys.readouterr().out})

    return execute


@pytest.fixture
def run(text_of, tmp_path):
    """``run(*phrases, after=..., ...)``: stdout of a script of these blocks, with ``after`` at its end.

    Skips the test where a module that they import is not installed.
    """

    def run(*phrases, after="pass", cwd=tmp_path, replace=(), by=(sys.executable,), **environment):
        text = "\n".join(text_of(phrase, replace) for phrase in phrases)
        for module in re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE):
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{module} is not installed")
        script = tmp_path / "block.py"
        before = VISION if "torchvision" in text else ""
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


# Blocks that start no processes, and what follows them.
AFTER = {
    "shuffle(seed=0)[0])": """
        assert "mode=RGB size=64x48" in printed and len(dataset["validation"]) == 50_000
    """,
    'folder, splits=["validation"]': """
        assert (len(train), len(validation)) == (12_811, 50_000)
    """,
    'load_dataset("lt", data_dir="/path/to/the/folder", in_place=True)': """
        image = dataset["train"].with_format("arrow")[0]["image"][0].as_py()
        assert image["bytes"] is None and image["path"].startswith("imagenet://tar:")
    """,
    "fishes =": """
        assert printed.split() == ["90"]
    """,
    "embed_table_storage": """
        import pyarrow.parquet

        table = pyarrow.parquet.read_table("train.parquet")
        images = table["image"].to_pylist()
        assert all(image["bytes"] for image in images)
        assert [image["path"] for image in images] == table["file_name"].to_pylist()
    """,
    'files = fsspec.filesystem("imagenet")': """
        assert printed == "(64, 48)\\n"
        plain = dataset["train"][:500]["image"]
        assert [image.tobytes() for image in train[:500]["image"]] == [image.tobytes() for image in plain]
    """,
    "as_dataframe(": """
        assert len(as_dataframe(dataset["train"], rows=5)) == 5
    """,
    "chosen = {0, 1, 388}": """
        assert printed.splitlines()[0] == "{'train': 38, 'validation': 150}" and "giant panda" in printed
    """,
    'train_list="5imgs_class.txt"': """
        assert few_shot["train"]["label"][:] == [20, 0] and few_shot["validation"][1]["real_labels"]
    """,
    "# Five folds": """
        import collections

        folds = [set(order[fold::5].tolist()) for fold in range(5)]  # each row is held out once
        assert set.union(*folds) == set(range(len(train))) and sum(map(len, folds)) == len(train)
        for rows in folds:  # each class is in each fold
            assert set(collections.Counter(labels[sorted(rows)].tolist()).values()) <= {2, 3}
        assert not set(fit["file_name"][:]) & set(validate["file_name"][:])
        assert collections.Counter(five["label"][:]) == dict.fromkeys(range(1000), 5)
        assert printed.splitlines() == ["10248 2563"] + ["10249 2562"] * 4 + ["5000"]
    """,
    'train_list="my.txt"': """
        assert mine["train"]["label"][:] == [20, 0] and len(mine["validation"]) == 50_000
    """,
    "shot_accuracy(": """
        lines = printed.splitlines()
        assert lines[:2] == ["1280", "{'many': 385, 'medium': 479, 'few': 136}"]
        assert all(f"'{group}': " in lines[2] for group in ("overall", "many", "medium", "few"))
    """,
}


@pytest.mark.once
@pytest.mark.parametrize("phrase", AFTER)
def test_blocks(phrase, execute, standins_all, tmp_path):
    (tmp_path / "5imgs_class.txt").write_text("n01601694_21328.JPEG\nn01440764_10040.JPEG\n")
    lt = 'load_dataset("lt", data_dir='
    execute(phrase, AFTER[phrase], {f'{lt}"/path/to/the/folder"': f'{lt}"{standins_all}"'})


@pytest.mark.once
def test_load_from_the_hub(execute, hub_folder, tmp_path):
    """The built folder is in place of the repository, too."""
    (tmp_path / "hub").symlink_to(hub_folder)
    execute(HUB, 'assert len(dataset["train"]) == 12_811', {"team/imagenet-subsets": str(hub_folder)})


@pytest.mark.once
def test_push(execute, monkeypatch):
    """The calls fit the functions; test_parquet.py and test_publish.py make them."""
    monkeypatch.setattr(build, "build_parquet", mock.create_autospec(build.build_parquet))
    monkeypatch.setattr(publish, "push_to_hub", mock.create_autospec(publish.push_to_hub))
    execute(PUSH, 'push_to_hub.assert_called_once_with("hub", "team/imagenet-subsets")')
    build.build_parquet.assert_called_once()


@pytest.mark.once
def test_images_without_labels(execute, data_dir, monkeypatch):
    """With the images of stand-ins as all images."""
    official_tars(unlabelled_images(30), data_dir)
    monkeypatch.setattr(lists, "TRAIN_IMAGES", imagenet_subsets.read_index(data_dir / TRAIN_ARCHIVE).num_rows)
    monkeypatch.setattr(lists, "TEST_IMAGES", 30)
    after = """
        assert list(semi) == ["train", "validation", "unlabeled"]
        assert [next(iter(rows))["label"] for rows in (semi["unlabeled"], test)] == [-1, -1]
    """
    execute(UNLABELED, after, {"/path/to/the/folder": str(data_dir)})


def test_load_and_clear_the_caches(run, tmp_path):
    """The first call, with the default caches; then the README's commands delete them."""
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / ".cache" / "huggingface")}
    after = "assert [len(dataset[split]) for split in ('train', 'validation')] == [12_811, 50_000]"
    printed = run(LOAD, after=after, **home)
    assert "'file_name': 'n01601694_21328.JPEG'" in printed
    (clearing,) = (text for text in blocks("bash") if "rm -r" in text)
    default = {name: value for name, value in os.environ.items() if name != "HF_HOME"} | {"HOME": str(tmp_path)}
    default["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{default['PATH']}"
    call = {"env": default, "capture_output": True, "text": True, "check": True}
    printed = subprocess.run(["bash", "-euc", clearing], **call).stdout
    assert re.search("^1pct-[0-9a-f]{8} .*\nindex-", printed, re.MULTILINE)
    left = [path for path in (tmp_path / ".cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []


@pytest.mark.skipif(VERSION >= (2, 20), reason="datasets 2.20 and later ask first, or run no scripts")
def test_script(run, tmp_path):
    run(SCRIPT, after="assert len(dataset['train']) == 12_811", cwd=PROJECT, HF_HOME=str(tmp_path / "home"))


RAY = "import ray; ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2 * 10**8)"
SHAPE, LABELS = re.escape("torch.Size([32, 3, 224, 224])"), r"tensor\((\[.*\])\)"
REAL_LABELS = sum(map(bool, lists.read_real_labels()[:32]))
ENGINES = {  # phrase: what the block prints, and what else to run it with
    # With the streaming block that continues it; the epochs differ.
    TORCH: (rf"loss [67]\.\d\d\n0 {SHAPE} {LABELS}\n1 {SHAPE} (?!tensor\(\1\)){LABELS}\n", {}),
    "simplejpeg.decode_jpeg(": (  # of copied rows, in place, of select, streamed, and of the archive's own bytes
        rf"{SHAPE} {LABELS}\n",
        {
            "after": """
                import numpy as np

                def first(loaded, **call):
                    return next(loaded.cast_column("image", datasets.Image(**call)).iter(batch_size=1000))

                call = {"name": "1pct", "data_dir": folder, "splits": ["train"], "split": "train"}
                copied = imagenet_subsets.load_dataset(**call)
                expected = [np.asarray(image, dtype=int) for image in first(copied, mode="RGB")["image"]]
                ways = {"in_place": True}, {"streaming": True}, {"image_bytes": "archive"}
                loaded = [imagenet_subsets.load_dataset(**call, **way) for way in ways]
                loaded.append(imagenet_subsets.select(loaded[2], "1pct", split="train"))
                for found in (train, copied, *loaded):
                    images = list(decode(first(found, decode=False)))
                    assert len(images) == len(expected) == 1000
                    for image, other in zip(images, expected):
                        assert np.abs(image.permute(1, 2, 0).numpy() - other).max() <= 1
            """
        },
    ),
    "import timm": (r"loss [67]\.\d\d\n", {}),
    'create_dataset("hfds/hub"': (
        re.escape("12811 torch.Size([3, 224, 224]) 20\n"),
        {
            "after": """
                import os

                assert create_dataset("hfds/" + os.path.realpath("hub"), root=None, split="validation")[0][1] == 65
            """
        },
    ),
    "ResNet50_Weights.IMAGENET1K_V1": (  # with random weights and on 32 images
        r"top-1 accuracy: \d\.\d\d %\n",
        {"replace": {"weights=weights": "", 'split="validation")': 'split="validation[:32]")'}},
    ),
    "ResNet50_Weights.IMAGENET1K_V2": (  # the same; two of the images have no ReaL labels
        rf"top-1 accuracy: \d\.\d\d % of 32\nReaL accuracy: \d\.\d\d % of {REAL_LABELS}\n",
        {"replace": {"weights=weights": "", 'split="validation"': 'split="validation[:32]"'}},
    ),
    'classes="imagenet100"': (  # with the training images of 1pct in place of all
        r"loss [45]\.\d\d, 100 classes\n",
        {"after": "assert len(train) == 1278", "replace": {'"full"': '"1pct"'}},
    ),
    "import AutoModel": (
        ".*'train_loss'.*",
        {
            "after": """
                assert trainer.state.global_step == 1
                assert trainer.model.config.id2label[0] == "tench, Tinca tinca"
            """
        },
    ),
    "split_dataset_by_node(": (
        "",
        {
            "after": "assert 12_811 // 8 - 16 <= sum(1 for row in loader) <= 12_811 // 8 + 16",
            "RANK": "1",
            "WORLD_SIZE": "8",
        },
    ),
    "import ray": (r"(.*\n)?([6-9]\d\d|1[01]\d\d)\.\d+\n", {"replace": {"import ray": RAY}}),
    "import duckdb": (r".*13.*shape: \(1_000, 2\).*13.*", {}),
}


@pytest.mark.engines
@pytest.mark.parametrize("phrase", ENGINES)
def test_blocks_of_engines(phrase, run, hub_folder, tmp_path):
    prints, options = ENGINES[phrase]
    if "by_node" in phrase and not hasattr(datasets.IterableDataset, "reshard"):
        pytest.skip("needs datasets 5")
    (tmp_path / "hub").symlink_to(hub_folder)
    here = {"team/imagenet-subsets": str(hub_folder)} | {f"hub/{name}": f"{hub_folder}/1pct" for name in ("1pct", "lt")}
    options = {**options, "RAY_USAGE_STATS_ENABLED": "0", "replace": here | options.get("replace", {})}
    printed = run(*([TORCH, STREAM] if phrase == TORCH else [phrase]), **options)
    assert re.fullmatch(prints, printed, re.DOTALL), printed


@pytest.mark.engines
def test_the_accuracy_to_compare_with():
    pytest.importorskip("torch")
    from helpers.vision import torchvision

    accuracy = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert f"{accuracy} % top-1 accuracy on the 50,000" in PAGES["docs/training.md"].replace("\n", " ")


@pytest.mark.engines
def test_ddp(run, tmp_path):
    by = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    printed = run(DDP, by=by, HF_DATASETS_CACHE=str(tmp_path / "cache"))
    assert sorted(printed.splitlines()) == [f"process {k}: 6406 of 12811 rows" for k in range(2)]
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 1


@pytest.mark.engines
def test_dask(run, standins_1pct, tmp_path):
    distributed = pytest.importorskip("distributed")
    here = {"/shared": str(tmp_path), "/data/imagenet": str(standins_1pct), '"full"': '"1pct"'}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        run(DASK, replace={"tcp://scheduler:8786": cluster.scheduler_address, **here})
    assert (tmp_path / "hub/README.md").is_file()


@pytest.mark.once
def test_select(execute, small_images, list_options, tmp_path):
    """With a few images in place of the repository and of 1pct."""
    hub_parquet(small_images, tmp_path / "hub")
    local = f'"parquet", data_files={{s: f"{tmp_path}/hub/data/{{s}}-*.parquet" for s in ("train", "validation")}}'
    after = f"assert sum(subset.num_rows.values()) == {len(small_images)} and 'file_name' in printed"
    execute(SELECT, after, {'"ILSVRC/imagenet-1k"': local, '"1pct"': few(list_options)})


@pytest.mark.once
@pytest.mark.parametrize(("phrase", "token"), [(REMOTE, ""), (REMOTE_OPTIONS, "Bearer ...")])
def test_images_behind_a_url(phrase, token, execute, small_images, list_options, hf_home, tmp_path):
    """With a few images in place of 1pct."""
    with served("archives", small_images, tmp_path, token=token) as server:
        urls = "s3://bucket/imagenet", "hf://datasets/team/archives", "https://server/imagenet"
        replace = {**dict.fromkeys(urls, server.url), '"1pct"': few(list_options)}
        execute(phrase, f"assert sum(dataset.num_rows.values()) == {len(small_images)}", replace)


def few(list_options):
    """The arguments of a dataset of a few images."""
    return ", ".join(['"custom"', *(f"{name}={path!r}" for name, path in list_options.items())])


def test_every_python_block_is_tested():
    tested = [LOAD, SCRIPT, HUB, PUSH, UNLABELED, SELECT, DASK, STREAM, DDP, REMOTE, REMOTE_OPTIONS, *ENGINES, *AFTER]
    found = [[phrase for phrase in tested if phrase in text] for text in blocks("python")]
    assert sorted(found) == sorted([phrase] for phrase in tested)


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
