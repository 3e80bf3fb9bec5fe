"""What the README says holds: its Python runs as printed, its commands parse, its error messages are those that come.

Archives are stand-ins, put in for the README's paths; each block of Python is a script of its own, in an empty folder.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import yaml
from makers.layouts import official_tars, unlabelled_images

import imagenet_subsets
from imagenet_reader import lists, official
from imagenet_subsets_tools import cli

PROJECT = Path(__file__).resolve().parent.parent
README, HUB_PAGE = ((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/hub.md"))
VERSION = tuple(int(part) for part in datasets.__version__.split(".")[:2])
TRAIN, VALIDATION = official.TRAIN_ARCHIVE, official.VALIDATION_ARCHIVE


def blocks(*languages):
    """The code blocks in these languages, ``list[str]``."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", README + HUB_PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, language, text in found if language in languages]


# ------------------------------------------------------------------------------------------ Python blocks

LOAD, SCRIPT = 'print(dataset["train"][0])', '"./imagenet_subsets.py"'
CUSTOM, MORE_SPLITS = 'train_list="my.txt"', "unlabeled=True"
TORCH, STREAM, TIMM, TRANSFORMERS = "resnet18(num_classes", "stream.set_epoch", "import timm", "import AutoModel"
LONG_TAIL, DATA_FRAME = "shot_accuracy(", "as_dataframe("
HUB, BUILD, NODES, RAY, SQL = (
    'load_dataset("hub"',
    "push_to_hub(",
    "split_dataset_by_node(",
    "import ray",
    "import duckdb",
)
EVERY_BLOCK = (
    *(LOAD, SCRIPT, CUSTOM, MORE_SPLITS, TORCH, STREAM, TIMM, TRANSFORMERS, LONG_TAIL, DATA_FRAME),
    *(HUB, BUILD, NODES, RAY, SQL),
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


def block(phrase):
    """The Python block with this phrase in it."""
    (found,) = (text for text in blocks("python") if phrase in text)
    return found


def test_every_python_block_is_run_here():
    found = [[phrase for phrase in EVERY_BLOCK if phrase in text] for text in blocks("python")]
    assert all(len(phrases) == 1 for phrases in found), found
    assert sorted(phrases[0] for phrases in found) == sorted(EVERY_BLOCK)


@pytest.fixture
def run(standins_1pct, tmp_path):
    """``run(text, after=..., ...)`` -> stdout of a script in an empty folder; ``after`` is run at its end."""

    def run(text, before="", after="pass", cwd=tmp_path, replace=(), **environment):
        for old, new in {"/path/to/the/folder": str(standins_1pct), **dict(replace)}.items():
            text = text.replace(old, new)
        script = tmp_path / "block.py"
        after = textwrap.indent(textwrap.dedent(after), "    ")
        script.write_text(f"{before}\n{text}\nif __name__ == '__main__':\n{after}\n")
        result = subprocess.run(
            [sys.executable, script],
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def need(*modules):
    """Skip where a module of an extra is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def test_load_and_clear_the_caches(run, tmp_path):
    """The first call of all, with the caches where they are by default; then the README's commands remove them."""
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / ".cache" / "huggingface")}
    after = "assert [len(dataset[split]) for split in ('train', 'validation')] == [12_811, 50_000]"
    printed = run(block(LOAD), after=after, **home)
    assert "'file_name': 'n01601694_21328.JPEG'" in printed
    (clearing,) = (text for text in blocks("bash") if "rm -r" in text)
    assert "imagenet_subsets/1pct" in run_bash(clearing, tmp_path).stdout  # a folder a config, from du
    left = [path for path in (tmp_path / ".cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []


def run_bash(text, home):
    environment = {name: value for name, value in os.environ.items() if name != "HF_HOME"} | {"HOME": str(home)}
    return subprocess.run(["bash", "-euc", text], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.skipif(VERSION >= (2, 20), reason="datasets 2.20 and later ask first, or run no scripts")
def test_script(run, tmp_path):
    run(block(SCRIPT), after="assert len(dataset['train']) == 12_811", cwd=PROJECT, HF_HOME=str(tmp_path / "home"))


def test_custom(run, tmp_path):
    (tmp_path / "my.txt").write_text("n01601694_21328.JPEG\ntrain/n01440764/n01440764_10040.JPEG 0\n")
    run(block(CUSTOM), after="assert mine['train']['label'][:] == [20, 0] and len(mine['validation']) == 50_000")


def test_more_splits(run, standins_1pct, tmp_path):
    """With stand-ins whose training images are all that there are."""
    folder = tmp_path / "data"
    official_tars(unlabelled_images(), folder)
    for archive in (TRAIN, VALIDATION):
        (folder / archive).hardlink_to(standins_1pct / archive)
    images = imagenet_subsets.read_index(str(standins_1pct / TRAIN)).num_rows
    before = f"import imagenet_subsets\n\nlists.TRAIN_IMAGES = {images}"
    after = """
        assert list(semi) == ["train", "validation", "unlabeled"]
        assert [next(iter(rows))["label"] for rows in (semi["unlabeled"], test)] == [-1, -1]
    """
    run(block(MORE_SPLITS), before, after, replace={"/path/to/the/folder": str(folder)})


def test_torch(run):
    """The PyTorch block and the streaming one that goes on from it."""
    need("torch", "torchvision")
    printed = run(block(TORCH) + block(STREAM), WITHOUT_OPERATORS)
    shape = re.escape("torch.Size([32, 3, 224, 224])")
    labels = r"tensor\((\[.*\])\)"
    match = re.fullmatch(rf"loss [67]\.\d\d\n0 {shape} {labels}\n1 {shape} {labels}\n", printed)
    assert match, printed
    assert match[1] != match[2]  # the epochs differ


def test_timm(run):
    need("timm")
    assert re.fullmatch(r"loss [67]\.\d\d\n", run(block(TIMM), WITHOUT_OPERATORS))


def test_transformers(run):
    need("transformers", "accelerate")
    after = """
        assert trainer.state.global_step == 1
        assert trainer.model.config.id2label[0] == "tench, Tinca tinca"
    """
    assert "'train_loss'" in run(block(TRANSFORMERS), WITHOUT_OPERATORS, after)


def test_long_tail(run):
    printed = run(block(LONG_TAIL)).splitlines()
    assert printed[:2] == ["1280", "{'many': 385, 'medium': 479, 'few': 136}"]
    assert all(f"'{group}': " in printed[2] for group in ("overall", "many", "medium", "few"))


def test_data_frame(run):
    last = block(DATA_FRAME).strip().splitlines()[-1]
    run(block(DATA_FRAME), after=f"assert len({last}) == 5")


def test_hub(run, hub_folder, tmp_path):
    """With the built folder in place of the repository, which test_publish.py pushes and loads."""
    (tmp_path / "hub").symlink_to(hub_folder)
    run(
        block(HUB),
        after="assert len(dataset['train']) == 12_811",
        replace={"team/imagenet-subsets": str(hub_folder)},
    )


def test_build_and_push(run):
    """The calls fit the functions; test_parquet.py and test_publish.py make them."""
    before = """
from unittest import mock

from imagenet_subsets_tools import parquet, publish

parquet.build_parquet = mock.create_autospec(parquet.build_parquet)
publish.push_to_hub = mock.create_autospec(publish.push_to_hub)
"""
    after = """
        build_parquet.assert_called_once()
        push_to_hub.assert_called_once_with("hub", "team/imagenet-subsets")
    """
    run(block(BUILD), before, after)


@pytest.mark.skipif(not hasattr(datasets.IterableDataset, "reshard"), reason="needs datasets 5")
def test_nodes(run, hub_folder):
    need("torch")
    run(
        block(NODES),
        after="assert 12_811 // 8 - 16 <= sum(1 for row in loader) <= 12_811 // 8 + 16",
        replace={"team/imagenet-subsets": str(hub_folder)},
        RANK="1",
        WORLD_SIZE="8",
    )


def test_ray(run, hub_folder):
    need("ray")
    before = """
import ray

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)  # small
"""
    printed = run(block(RAY), before, replace={"hub/1pct": f"{hub_folder}/1pct"}, RAY_USAGE_STATS_ENABLED="0")
    assert 600 < float(printed.splitlines()[-1]) < 1200


def test_sql(run, hub_folder):
    need("duckdb", "polars")
    printed = run(block(SQL), replace={"hub/lt": f"{hub_folder}/1pct"})
    assert printed.count("13") >= 2 and "shape: (1_000, 2)" in printed


# ---------------------------------------------------------------------------------- the command line


def commands():
    """Each ``imagenet-subsets`` command of the README."""
    lines = [line for text in blocks("bash", "sh") for line in text.splitlines()]
    found = [match[1] for line in lines for match in re.finditer(r"(?:^|bin/)imagenet-subsets ([^&#\n]+)", line)]
    return found + re.findall(r"`imagenet-subsets ([^`]+)`", README)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_parses(command):
    cli.parser().parse_args(shlex.split(command))


def test_the_readme_shows_every_command():
    assert {command.split()[0] for command in commands()} == {f.__name__[1:] for f, *_ in cli.COMMANDS}


@pytest.mark.parametrize("command", [(), *((function.__name__[1:],) for function, *_ in cli.COMMANDS)])
def test_help_fits_a_terminal_and_has_an_example(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    example = re.search(r"^example:\n  imagenet-subsets (.*)$", "\n".join(lines), re.MULTILINE)
    cli.parser().parse_args(shlex.split(example[1]))
    assert not command or example.end() == len("\n".join(lines))


# ---------------------------------------------------------------------------- when something is wrong

ONE = "n01440764_10043.JPEG"


def load(data_dir, config="1pct", **options):
    return next(iter(imagenet_subsets.load_dataset(config, data_dir=data_dir, streaming=True, **options).values()))


def write(path, content=b"an image"):
    """Put a file there; never into one that stand-ins share."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def content_of(path):
    return bytearray(path.read_bytes())


def no_folder(data_dir):
    load(None)


def empty(data_dir):
    load(data_dir / "nowhere")


def too_high(data_dir):
    load(data_dir.parent)


def other_name(data_dir):
    (data_dir / TRAIN).rename(data_dir / "train.tar")
    load(data_dir)


def not_a_folder(data_dir):
    load(data_dir / TRAIN)


def web_page(data_dir):
    write(data_dir / TRAIN, b"<!DOCTYPE html>" + bytes(1000))
    load(data_dir)


def gzipped(data_dir):
    write(data_dir / VALIDATION, b"\x1f\x8b" + bytes(1000))
    load(data_dir)


def swapped(data_dir):
    (data_dir / TRAIN).rename(data_dir / "other")
    (data_dir / VALIDATION).rename(data_dir / TRAIN)
    (data_dir / "other").rename(data_dir / VALIDATION)
    load(data_dir)


def cut_off(data_dir):
    write(data_dir / TRAIN, content_of(data_dir / TRAIN)[:1_000_000])
    load(data_dir)


def no_tar(data_dir):
    write(data_dir / TRAIN, b"These are not the images you are looking for. " * 100)
    load(data_dir)


def images_absent(data_dir):
    with tarfile.open(data_dir / VALIDATION) as old:
        write(data_dir / VALIDATION, content_of(data_dir / VALIDATION)[: old.getmembers()[40_000].offset])
    load(data_dir)


def not_all_images(data_dir):
    load(data_dir, "full")


def class_folder_absent(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / ONE)
    load(data_dir)


def class_tar_absent(data_dir):
    with tarfile.open(data_dir / TRAIN) as outer:
        content = outer.extractfile("n01440764.tar").read()
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764.tar", content)
    load(data_dir)


def load_one(data_dir, name=ONE, split="train", **options):
    lists = {}
    for kind, image in {"train": ONE, split: name}.items():
        lists[f"{kind}_list"] = str(data_dir / f"{kind}.txt")
        write(data_dir / f"{kind}.txt", image.encode())
    next(iter(load(data_dir, "custom", splits=[split], **lists)))


def renamed(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / ONE.replace("JPEG", "jpg"))
    load_one(data_dir)


def too_deep(data_dir):
    (data_dir / TRAIN).unlink()
    write(data_dir / "train" / "n01440764" / "images" / ONE)
    load_one(data_dir)


def wrong_class(data_dir):
    (data_dir / VALIDATION).unlink()
    name = "ILSVRC2012_val_00000001.JPEG"  # of n01751748
    write(data_dir / "val" / "n01440764" / name)
    (data_dir / "val" / "n01751748").mkdir()
    load_one(data_dir, name, "validation")


def no_image(data_dir):
    load_one(data_dir, "n00000000_1.JPEG")


def damaged(data_dir):
    content = content_of(data_dir / VALIDATION)
    content[512:600] = bytes(88)
    write(data_dir / VALIDATION, content)
    next(iter(load(data_dir, splits=["validation"])))


def unpublished(data_dir):
    shutil.copytree(lists.SPLIT_FILES, data_dir / "split_files")
    shutil.copy(data_dir / "split_files" / "10pct.parquet", data_dir / "split_files" / "1pct.parquet")
    imagenet_subsets.ImagenetSubsets(data_dir=data_dir, base_path=str(data_dir)).as_streaming_dataset()


def unknown_option(data_dir):
    load(data_dir, on_missing="ignore")


def unknown_key(data_dir):
    load(data_dir, label_name="words")


def unknown_split(data_dir):
    imagenet_subsets.load_dataset("1pct", data_dir=data_dir, splits=["train"], split="val")


def unknown_config(data_dir):
    load(data_dir, "5pct")


def script_too_new(data_dir):
    if VERSION < (4, 0):
        pytest.skip("datasets before 4 runs scripts")
    datasets.load_dataset(imagenet_subsets.__file__, data_dir=str(data_dir))


def script_asks(data_dir):
    if not (2, 20) <= VERSION < (4, 0):
        pytest.skip("datasets before 2.20 does not ask, and from 4 on runs no scripts")
    code = f"import datasets; datasets.load_dataset({imagenet_subsets.__file__!r}, data_dir={str(data_dir)!r})"
    # A process of its own: datasets sets an alarm that stays. Nobody answers.
    result = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    raise RuntimeError(result.stderr)


MESSAGES = {  # of the README's table, and what gets each
    "data_dir is missing": no_folder,
    "... is not there (its folder holds: ...)": empty,
    "... has such images: pass data_dir=...": too_high,
    "... looks like it: rename it": other_name,
    "... is a file: pass the folder that it is in": not_a_folder,
    "... is a web page": web_page,
    "... is gzip data": gzipped,
    "... begins with the member ...: found ...; expected ...": swapped,
    "... the archive is cut off or damaged": cut_off,
    "... found no tar header": no_tar,
    "... images that ... lists for ... are absent or empty": images_absent,
    "... has ... training images for ...; in ILSVRC 2012 there are ...": not_all_images,
    "... class folders are not there": class_folder_absent,
    "... class tars are not there": class_tar_absent,
    "... rename the files, so that they end in .JPEG": renamed,
    "... There is a folder ...: move what is in such folders one level up": too_deep,
    "... of them are in the folder of a wrong class": wrong_class,
    "... is the name of no training or validation image": no_image,
    "... is damaged (...)": damaged,
    "... is not the published list": unpublished,
    "... is not known; choose one of ...": unknown_option,
    "... doesn't have a '...' key": unknown_key,
    'Unknown split "..."': unknown_split,
    "BuilderConfig ... not found. Available: ...": unknown_config,
    "Dataset scripts are no longer supported": script_too_new,
    "... contains custom code which must be executed ...": script_asks,
}


def test_the_table_has_these_messages():
    section = README[README.index("## When something is wrong") :]
    table = re.findall(r"^\| `(.+?)` \| .+ \|$", section[: section.index("## Why")], re.MULTILINE)
    assert table == list(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_comes(message, data_dir):
    pattern = ".*".join(map(re.escape, message.split("...")))
    with pytest.raises((ValueError, OSError, RuntimeError), match=re.compile(pattern, re.DOTALL)):
        MESSAGES[message](data_dir)


# ---------------------------------------------------------------------------------------- the rest


def test_check_prints_what_is_shown(standins_all, capsys):
    cli.main(["check", str(standins_all)])
    printed = capsys.readouterr().out.replace(str(standins_all), "/home/me/standins")
    (shown,) = (text for text in blocks("") if text.startswith("train: "))
    of_pillow = re.compile(r"\.tar +\d[\d,]+")  # versions of it differ in the size of images by some bytes
    assert of_pillow.sub(".tar", printed) == of_pillow.sub(".tar", shown)


def test_front_matter_is_a_card_of_the_hub():
    card = huggingface_hub.DatasetCard.load(PROJECT / "README.md", ignore_metadata_errors=False)
    assert card.data.license == "other"
    assert re.fullmatch("[a-z0-9.-]+", card.data.license_name)  # the Hub takes no others
    assert card.data.license_link.startswith("https://image-net.org/")
    assert card.data.task_categories == ["image-classification"]
    assert all(re.fullmatch(r"\d+[KM]<n<\d+[KM]", size) for size in card.data.size_categories)
    assert card.text.startswith("\n# imagenet-subsets")


def test_versions_agree():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    (project,) = re.findall(r'^version = "(.*)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\S+) \((\S+)\)$", changelog, re.MULTILINE)
    assert project == imagenet_subsets.VERSION == citation["version"] == newest[1]
    assert str(citation["date-released"]) == newest[2]


def test_citations_are_those_of_the_papers():
    papers = (lists.SPLIT_FILES / "citation.bib").read_text(encoding="utf-8")
    assert blocks("bibtex") == [papers]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = re.findall(r"^  title += \{+(.*?)\}+,$", papers, re.MULTILINE)
    assert [paper["title"] for paper in citation["references"]] == titles
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "version", "license"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/benchmarks.md", "docs/hub.md"])
def test_links_lead_somewhere(name):
    path = PROJECT / name
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in anchors
        elif not link.startswith("https://"):
            assert (path.parent / link).is_file()
