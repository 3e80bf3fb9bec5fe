"""The structure of the code is as described: modules are listed, imports are one-way, private names stay private."""

import ast
import graphlib
import re

import pytest
from helpers.programs import PROJECT

import imagenet_reader

pytestmark = pytest.mark.once

LAYERS = ("imagenet_reader", "imagenet_subsets", "imagenet_subsets_tools")  # each may import those before it
PATHS = [PROJECT / "imagenet_subsets.py", *(path for layer in LAYERS for path in (PROJECT / layer).rglob("*.py"))]
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_bytes())
    for path in PATHS
}
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (`.*`) \| (.*) \|$", CONTRIBUTING, re.MULTILINE))


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


def test_the_reader_lists_its_modules():
    listed = re.findall(r"^``(\w+)``", imagenet_reader.__doc__, re.MULTILINE)
    assert set(listed) == in_folder(PROJECT / "imagenet_reader")
    assert len(listed) == len(set(listed))


def test_contributing_lists_the_tools():
    listed = re.findall(r"`(\w+)/?`", ROWS["`imagenet_subsets_tools/`"])
    assert in_folder(PROJECT / "imagenet_subsets_tools") <= set(listed)


def test_contributing_lists_the_folders_of_tests():
    listed = {name for row in ROWS for name in re.findall(r"`tests/(\w+)/`", row)}
    assert listed == in_folder(PROJECT / "tests") - {"conftest"}


def test_contributing_names_modules_that_exist():
    """By the ends of their paths."""
    paths = [*PATHS, *(PROJECT / "tests").rglob("*.py")]
    existing = [f"/{path.relative_to(PROJECT).as_posix()}" for path in paths]
    named = set(re.findall(r"(?<![>\w/])[\w/]+\.py\b", CONTRIBUTING))
    assert not {name for name in named if not any(path.endswith(f"/{name}") for path in existing)}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_are_one_way(layer):
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    found = {(module, of) for module in MODULES if module.partition(".")[0] == layer for of, _, _ in imports(module)}
    assert not {(module, of) for module, of in found if of.partition(".")[0] not in allowed}
    assert found


def test_no_import_cycles():
    graph = {module: imported_modules(module) - {module} for module in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)  # or it raises CycleError


@pytest.mark.parametrize("layer", LAYERS)
def test_no_private_name_is_used_in_another_module(layer):
    found = []
    for module in (name for name in MODULES if name.partition(".")[0] == layer):
        bound = {here for _, _, here in imports(module)}
        found += [f"{module}: {of}.{name}" for of, name, _ in imports(module) if name and is_private(name)]
        for node in ast.walk(MODULES[module]):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = ast.unparse(node.value).partition(".")[0]
                found += [f"{module}: {ast.unparse(node)}"] if owner in bound else []
    assert not found
