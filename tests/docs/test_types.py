"""What an editor and a type checker see of the package."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers.programs import PROJECT, environment

import imagenet_subsets

pytestmark = pytest.mark.once

CONSUMER = """
from typing import Any

import imagenet_subsets

loaded = imagenet_subsets.load_dataset("1pct", data_dir="/data", in_place=True, classes=["n01440764"], num_proc=2)
imagenet: Any = loaded
imagenet_subsets.select(imagenet, "1pct", split="train", real_labels=True)
reveal_type(imagenet_subsets.load_dataset)
reveal_type(imagenet_subsets.select)
reveal_type(imagenet_subsets.__version__)
imagenet_subsets.load_dataset("1pct", inplace=True)
imagenet_subsets.select(imagenet, "1pct", label_name="words")
"""


def test_a_file_that_uses_the_package(tmp_path):
    """It is checked strictly, against the annotations of the package."""
    pytest.importorskip("mypy")
    (tmp_path / "consumer.py").write_text(textwrap.dedent(CONSUMER))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary", "consumer.py"]
    variables = environment(MYPYPATH=str(PROJECT), MYPY_CACHE_DIR=str(tmp_path / "cache"))
    printed = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True).stdout
    revealed = re.findall(r'note: Revealed type is "(.*)"', printed)
    assert len(revealed) == 3 and revealed[2] == "str", printed
    options = set(imagenet_subsets.ImagenetSubsetsConfig.__annotations__)
    for function, signature in zip(
        (options, options - {"image_bytes", "in_place", "resize"}), revealed
    ):  # datasets has no types
        known = dict(re.findall(r"(\w+): ([\w.]+)", signature))
        assert {name for name in function if known.get(name, "Any") == "Any"} == set(), signature
    errors = re.findall(r"^consumer.py:\d+: error: (.*)$", printed, re.MULTILINE)
    assert len(errors) == 2 and printed.count("error:") == 2, printed
    assert '"inplace"' in errors[0] and '"load_dataset"' in errors[0]
    assert '"label_name"' in errors[1] and '"select"' in errors[1]


def test_the_packages_say_that_they_are_typed():
    for package in ("imagenet_reader", "imagenet_subsets_tools"):
        (folder,) = __import__(package).__path__
        assert (Path(folder) / "py.typed").is_file()


def test_completion_shows_the_documented_names():
    public = {name for name in dir(imagenet_subsets) if not name.startswith("_")}
    assert public == set(imagenet_subsets.__all__) - {"__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", imagenet_subsets.__version__)
