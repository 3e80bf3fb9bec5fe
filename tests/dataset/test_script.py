"""The loading script: as written, from a clone that isn't installed, in any folder, and hosted in a Hub repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import datasets
import pytest
from helpers.hub import Hub
from helpers.programs import command
from helpers.rows import RUNS_SCRIPTS, SCRIPT, TRUST

import imagenet_subsets
from imagenet_reader import lists

PROJECT = SCRIPT.parent
TOKEN = "hf_reader"
FIRST = "n01601694_21328.JPEG"
runs_scripts = pytest.mark.skipif(not RUNS_SCRIPTS, reason="datasets 4 and later runs no scripts")


@pytest.fixture
def python(tmp_path_factory):
    """``python(program, *arguments, cwd=..., installed=...)``: the last line that a new process prints, or its error.

    Unless the package is ``installed``, it can import nothing but ``datasets``, Pillow and other packages.
    """
    packages = tmp_path_factory.mktemp("packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "imagenet" not in entry.name:
            (packages / entry.name).symlink_to(entry)

    def python(program, *arguments, cwd, installed=True, **environment):
        if not installed:
            environment["PYTHONPATH"] = str(packages)
        options = [] if installed else ["-S"]  # no site-packages
        result = subprocess.run(
            [sys.executable, *options, *command(program, *arguments)[1:]],
            cwd=cwd,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return result.stdout.strip().rpartition("\n")[2] if result.returncode == 0 else result.stderr

    return python


@runs_scripts
def test_a_clone_that_is_not_installed_runs_from_any_folder(python, standins_1pct, tmp_path):
    """Also once datasets has cached the script of another clone, or noted a path relative to another folder."""
    one, two, elsewhere = (tmp_path / name for name in ("one", "two", "elsewhere"))
    elsewhere.mkdir()
    for clone in (one, two):
        for part in ("imagenet_reader", "split_files"):
            shutil.copytree(PROJECT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in (SCRIPT.name, "README.md", "dataset_infos.json"):
            shutil.copy(PROJECT / part, clone)
    for folder, cwd, path in (
        (one, one, "./imagenet_subsets.py"),
        (two, elsewhere, two / SCRIPT.name),
        (one, elsewhere, "../one/imagenet_subsets.py"),
    ):
        home = {"HF_HOME": str(tmp_path / "home")}
        printed = python("script", "load", path, standins_1pct, cwd=cwd, installed=False, **home)
        assert printed == f"{FIRST} {folder / 'imagenet_reader' / '__init__.py'}"


@pytest.mark.skipif(RUNS_SCRIPTS, reason="datasets before 4 runs scripts")
def test_datasets_4_and_later_refuse_scripts(standins_1pct):
    with pytest.raises(RuntimeError, match="scripts are no longer supported"):
        datasets.load_dataset(str(SCRIPT), "1pct", data_dir=str(standins_1pct))


@runs_scripts
def test_infos_of_all_configs_need_no_images(monkeypatch):
    # As the environment variable does: datasets 3.6 asks for some of its steps although the argument was passed.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_TRUST_REMOTE_CODE", True)
    infos = datasets.get_dataset_infos(str(SCRIPT), **TRUST)
    assert infos["lt"].splits["train"].num_examples == 115_846
    assert {split: info.num_examples for split, info in infos["custom"].splits.items()} == {"validation": 50_000}


def test_dataset_infos_agrees_with_the_builder():
    infos = datasets.info.DatasetInfosDict.from_directory(str(PROJECT))
    assert sorted(infos) == sorted(imagenet_subsets.SUBSETS)
    for config, info in infos.items():
        builder = imagenet_subsets.ImagenetSubsets(config_name=config)
        assert info.features == builder.info.features
        assert (info.description, info.citation) == (builder.info.description, builder.info.citation)
        assert {name: split.num_examples for name, split in info.splits.items()} == {
            split: lists.TRAIN_IMAGES if name == "full" else lists.LISTS[name][0]
            for split, name in imagenet_subsets.SUBSETS[config].items()
        }


@runs_scripts
@pytest.mark.parametrize("way", ["streaming", "preparing"])
@pytest.mark.parametrize("installed", [True, False])
def test_a_hosted_script_needs_the_installed_package(installed, way, python, standins_1pct, tmp_path):
    with Hub({TOKEN: "write"}) as hub:
        settings = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
        printed = python("script", "host", standins_1pct, way, SCRIPT, cwd=tmp_path, installed=installed, **settings)
    if installed:
        assert printed == FIRST
    else:
        assert "pip install /path/to/the/clone" in printed
