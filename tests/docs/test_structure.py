"""The structure of the code is as described: modules are listed, imports are one-way, private names stay private."""

import ast
import graphlib
import re
import sys
import threading

import pytest
from helpers.programs import PROJECT
from makers.layouts import official_tars

import imagenet_reader
import imagenet_subsets

pytestmark = pytest.mark.once

LAYERS = ("imagenet_reader", "imagenet_subsets", "imagenet_subsets_tools")  # each may import those before it
PATHS = [PROJECT / "imagenet_subsets.py", *(path for layer in LAYERS for path in (PROJECT / layer).rglob("*.py"))]
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_bytes())
    for path in PATHS
}
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (`.*`) \| (.*) \|$", CONTRIBUTING, re.MULTILINE))
BUDGETS = {"imagenet_reader": (40, 5_210), "imagenet_subsets_tools": (20, 3_060), "imagenet_subsets": (1, 505)}


def in_folder(folder):
    """The names of the modules and packages in a folder, ``set[str]``."""
    packages = {path.parent.name for path in folder.glob("*/*.py")}
    return packages | {path.stem for path in folder.glob("*.py")} - {"__init__"}


def imports(module):
    """(module, name in it or ``None``, name here) of each import of this project in a module."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports of this project name the package"
            found = [(node.module, name.name, name.asname or name.name) for name in node.names]
        elif isinstance(node, ast.Import):
            found = [(name.name, None, name.asname or name.name.partition(".")[0]) for name in node.names]
        else:
            continue
        yield from (each for each in found if each[0].partition(".")[0] in LAYERS)


def imported_modules(module):
    """The modules of this project that a module imports, ``set[str]``."""
    return {f"{of}.{name}" if f"{of}.{name}" in MODULES else of for of, name, _ in imports(module)}


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def rooms():
    """The lines of the table of the reader's modules, each a set of names; each uses only the lines above it."""
    lines = re.findall(r"^(``\w+``(?:,? ``\w+``)*)  ", imagenet_reader.__doc__, re.MULTILINE)
    return [set(re.findall(r"\w+", line)) for line in lines]


def test_the_reader_lists_its_modules():
    listed = [name for line in rooms() for name in line]
    assert set(listed) == in_folder(PROJECT / "imagenet_reader")
    assert len(listed) == len(set(listed))


def test_imports_of_the_reader_go_up_its_list():
    place = {name: number for number, line in enumerate(rooms()) for name in line}
    wrong = []
    for module in (name for name in MODULES if name.startswith("imagenet_reader.")):
        room = module.split(".")[1]
        used = {of.split(".")[1] for of in imported_modules(module) if of.startswith("imagenet_reader.")}
        wrong += [f"{module} uses {other}" for other in used - {room} if place[other] >= place[room]]
    assert not wrong


@pytest.mark.parametrize("layer", BUDGETS)
def test_the_product_stays_small(layer):
    files, lines = BUDGETS[layer]
    paths = [path for path in PATHS if path.relative_to(PROJECT).with_suffix("").parts[0] == layer]
    assert len(paths) <= files
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths) <= lines


def test_contributing_lists_the_tools_and_the_folders_of_tests():
    tools = re.findall(r"`(\w+)/?`", ROWS["`imagenet_subsets_tools/`"])
    assert in_folder(PROJECT / "imagenet_subsets_tools") <= set(tools)
    tests = {name for row in ROWS for name in re.findall(r"`tests/(\w+)/`", row)}
    assert tests == in_folder(PROJECT / "tests") - {"conftest"}


def test_contributing_names_modules_that_exist():
    paths = [*PATHS, *(PROJECT / "tests").rglob("*.py")]
    existing = [f"/{path.relative_to(PROJECT).as_posix()}" for path in paths]
    named = set(re.findall(r"(?<![>\w/])[\w/]+\.py\b", CONTRIBUTING))
    assert not {name for name in named if not any(path.endswith(f"/{name}") for path in existing)}


def test_imports_are_one_way():
    place = {layer: number for number, layer in enumerate(LAYERS)}
    found = {(module, of) for module in MODULES for of, _, _ in imports(module)}
    assert not [pair for pair in found if place[pair[1].partition(".")[0]] > place[pair[0].partition(".")[0]]]


def test_no_import_cycles():
    graph = {module: imported_modules(module) - {module} for module in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)  # or it raises CycleError


def test_no_private_name_is_used_in_another_module():
    found = []
    for module, tree in MODULES.items():
        bound = {here for _, _, here in imports(module)}
        found += [f"{module}: {of}.{name}" for of, name, _ in imports(module) if name and is_private(name)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = ast.unparse(node.value).partition(".")[0]
                found += [f"{module}: {ast.unparse(node)}"] if owner in bound else []
    assert not found


def test_modules_that_a_load_enters(small_images, tmp_path, hf_home):
    """Up to the first row, without an index and with one that is kept."""
    official_tars(small_images, tmp_path / "data")
    for cache in ("first", "second"):
        entered = set()

        def note(frame, event, argument, entered=entered):
            if event == "call":
                entered.add(frame.f_code.co_filename)

        threading.setprofile(note)
        sys.setprofile(note)
        options = {"data_dir": tmp_path / "data", "cache_dir": str(tmp_path / cache), "on_missing": "skip"}
        row = imagenet_subsets.load_dataset("1pct", **options)["train"][0]
        sys.setprofile(None)
        threading.setprofile(None)
        assert row["file_name"]
        assert 5 < len(entered & set(map(str, PATHS))) <= 25
