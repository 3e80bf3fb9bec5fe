"""The README is a card of the Hub; versions, citations and the list of functions agree with the code."""

import importlib
import inspect
import re

import huggingface_hub
import yaml
from helpers.pages import PAGES, PROJECT, blocks

import imagenet_subsets
from imagenet_reader import lists


def test_front_matter_is_a_valid_dataset_card():
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
    assert project == imagenet_subsets.__version__ == citation["version"] == newest[1]
    assert str(citation["date-released"]) == newest[2]


def test_citations_are_those_of_the_papers():
    papers = (lists.SPLIT_FILES / "citation.bib").read_text(encoding="utf-8")
    assert blocks("bibtex") == [papers]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = re.findall(r"^  title += \{+(.*?)\}+,$", papers, re.MULTILINE)
    assert [paper["title"] for paper in citation["references"]] == titles
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "version", "license"}


def test_api_page_matches_the_docstrings():
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", PAGES["docs/api.md"], re.MULTILINE)
    assert {name.rpartition(".")[2] for name, _ in rows} >= set(imagenet_subsets.__all__) - {"__version__"}
    for name, text in rows:
        module, _, function = name.rpartition(".")
        first = inspect.getdoc(getattr(importlib.import_module(module), function)).partition("\n\n")[0]
        assert text == first.replace("\n", " ").replace("``", "`"), name
