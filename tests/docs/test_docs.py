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
import pyarrow.parquet as pq
import pytest
from helpers.pages import PAGES, PROJECT, blocks
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

# Before blocks that import torchvision, or a package that does.
VISION = f"import sys; sys.path.append({str(PROJECT / 'tests')!r}); import helpers.vision"


@pytest.fixture
def text_of(standins_1pct):
    """``text_of(phrase, replace)``: the block with a phrase, and with paths of this machine."""

    def text_of(phrase, replace=()):
        (text,) = (text for text in blocks("python") if phrase in text)
        for old, new in [*dict(replace).items(), ("/path/to/the/folder", str(standins_1pct))]:
            text = text.replace(old, new)
        return text

    return text_of


@pytest.fixture
def execute(text_of, tmp_path, monkeypatch):
    """``execute(phrase, replace)`` runs a block in this process, in an empty folder, and returns its names."""
    monkeypatch.chdir(tmp_path)

    def execute(phrase, replace=()):
        names = {"__name__": "__main__"}
        exec(text_of(phrase, replace), names)
        return names

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
        before = VISION if re.search(r"^(import|from) (torchvision|timm|transformers)", text, re.MULTILINE) else ""
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


EMBED, DECODE = "embed_table_storage", 'files = fsspec.filesystem("imagenet")'
BLOCKS = [  # that start no processes, and only have to run
    "shuffle(seed=0)[0])",
    'folder, splits=["validation"]',
    'load_dataset("lt", data_dir="/path/to/the/folder", in_place=True)',
    "fishes =",
    "as_dataframe(",
    "chosen = {0, 1, 388}",
    'train_list="5imgs_class.txt"',
    "# Five folds",
    'train_list="my.txt"',
    "shot_accuracy(",
]


@pytest.mark.once
@pytest.mark.parametrize("phrase", BLOCKS)
def test_blocks(phrase, execute, standins_all, tmp_path):
    (tmp_path / "5imgs_class.txt").write_text("n01601694_21328.JPEG\nn01440764_10040.JPEG\n")
    lt = 'load_dataset("lt", data_dir='
    execute(phrase, {f'{lt}"/path/to/the/folder"': f'{lt}"{standins_all}"'})


@pytest.mark.once
def test_embedded_images(execute):
    execute(EMBED)
    table = pq.read_table("train.parquet")
    images = table["image"].to_pylist()
    assert all(image["bytes"] for image in images)
    assert [image["path"] for image in images] == table["file_name"].to_pylist()


@pytest.mark.once
def test_decoded_images(execute):
    names = execute(DECODE)
    decoded, plain = names["train"][:500]["image"], names["dataset"]["train"][:500]["image"]
    assert [image.tobytes() for image in decoded] == [image.tobytes() for image in plain]


@pytest.mark.once
def test_load_from_the_hub(execute, hub_folder, tmp_path):
    """The built folder is in place of the repository, too."""
    (tmp_path / "hub").symlink_to(hub_folder)
    names = execute(HUB, {"team/imagenet-subsets": str(hub_folder)})
    assert len(names["dataset"]["train"]) == 12_811


@pytest.mark.once
def test_push(execute, monkeypatch):
    """The calls fit the functions; test_parquet.py and test_publish.py make them."""
    monkeypatch.setattr(build, "build_parquet", mock.create_autospec(build.build_parquet))
    monkeypatch.setattr(publish, "push_to_hub", mock.create_autospec(publish.push_to_hub))
    execute(PUSH)
    build.build_parquet.assert_called_once()
    publish.push_to_hub.assert_called_once_with("hub", "team/imagenet-subsets")


@pytest.mark.once
def test_images_without_labels(execute, data_dir, monkeypatch):
    """With the images of stand-ins as all images."""
    official_tars(unlabelled_images(30), data_dir)
    monkeypatch.setattr(lists, "TRAIN_IMAGES", imagenet_subsets.read_index(data_dir / TRAIN_ARCHIVE).num_rows)
    monkeypatch.setattr(lists, "TEST_IMAGES", 30)
    names = execute(UNLABELED, {"/path/to/the/folder": str(data_dir)})
    assert list(names["semi"]) == ["train", "validation", "unlabeled"]
    assert [next(iter(rows))["label"] for rows in (names["semi"]["unlabeled"], names["test"])] == [-1, -1]


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
SOME_ROWS = {"replace": {"weights=weights": "", 'split="validation"': 'split="validation[:32]"'}}  # and random weights
ENGINES = {  # phrase: what else to run the block with
    TORCH: {},  # with the streaming block that continues it
    "simplejpeg.decode_jpeg(": {
        "after": """
            import numpy as np

            call = {"name": "1pct", "data_dir": folder, "splits": splits, "split": "train"}
            copied, in_place = (imagenet_subsets.load_dataset(**call, in_place=way) for way in (False, True))
            images = copied.cast_column("image", datasets.Image(mode="RGB"))[:1000]["image"]
            decoded = list(decode(in_place.cast_column("image", datasets.Image(decode=False))[:1000]))
            assert len(decoded) == 1000
            for pixels, image in zip(decoded, images):
                assert np.abs(pixels.permute(1, 2, 0).numpy() - np.asarray(image, dtype=int)).max() <= 1
        """
    },
    "import timm": {},
    'create_dataset("hfds/hub"': {
        "after": """
            import os

            assert create_dataset("hfds/" + os.path.realpath("hub"), root=None, split="validation")[0][1] == 65
        """
    },
    "ResNet50_Weights.IMAGENET1K_V1": SOME_ROWS,
    "ResNet50_Weights.IMAGENET1K_V2": SOME_ROWS,
    'classes="imagenet100"': {"after": "assert len(train) == 1278", "replace": {'"full"': '"1pct"'}},
    "import AutoModel": {"after": 'assert trainer.model.config.id2label[0] == "tench, Tinca tinca"'},
    "split_dataset_by_node(": {
        "after": "assert 12_811 // 8 - 16 <= sum(1 for row in loader) <= 12_811 // 8 + 16",
        "RANK": "1",
        "WORLD_SIZE": "8",
    },
    "import ray": {"replace": {"import ray": RAY}},
    "import duckdb": {},
}


@pytest.mark.engines
@pytest.mark.parametrize("phrase", ENGINES)
def test_blocks_of_engines(phrase, run, hub_folder, tmp_path):
    if "by_node" in phrase and not hasattr(datasets.IterableDataset, "reshard"):
        pytest.skip("needs datasets 5")
    (tmp_path / "hub").symlink_to(hub_folder)
    here = {"team/imagenet-subsets": str(hub_folder)} | {f"hub/{name}": f"{hub_folder}/1pct" for name in ("1pct", "lt")}
    options = ENGINES[phrase]
    options = {**options, "RAY_USAGE_STATS_ENABLED": "0", "replace": here | options.get("replace", {})}
    run(*([TORCH, STREAM] if phrase == TORCH else [phrase]), **options)


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
    names = execute(SELECT, {'"ILSVRC/imagenet-1k"': local, '"1pct"': few(list_options)})
    assert sum(names["subset"].num_rows.values()) == len(small_images)


@pytest.mark.once
@pytest.mark.parametrize(("phrase", "token"), [(REMOTE, ""), (REMOTE_OPTIONS, "Bearer ...")])
def test_images_behind_a_url(phrase, token, execute, small_images, list_options, hf_home, tmp_path):
    """With a few images in place of 1pct."""
    with served("archives", small_images, tmp_path, token=token) as server:
        urls = "s3://bucket/imagenet", "hf://datasets/team/archives", "https://server/imagenet"
        replace = {**dict.fromkeys(urls, server.url), '"1pct"': few(list_options)}
        names = execute(phrase, replace)
    assert sum(names["dataset"].num_rows.values()) == len(small_images)


def few(list_options):
    """The arguments of a dataset of a few images."""
    return ", ".join(['"custom"', *(f"{name}={path!r}" for name, path in list_options.items())])


def test_every_python_block_is_tested():
    tested = [LOAD, SCRIPT, HUB, PUSH, UNLABELED, SELECT, DASK, STREAM, DDP, REMOTE, REMOTE_OPTIONS]
    tested += [EMBED, DECODE, *BLOCKS, *ENGINES]
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
