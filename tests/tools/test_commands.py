"""The command line: every command of the manual parses, and every help has an example."""

import re
import shlex

import pytest
from helpers.pages import PAGES, blocks

import imagenet_subsets
from imagenet_subsets_tools import cli

pytestmark = pytest.mark.once


def commands():
    """Each ``imagenet-subsets`` command of the pages."""
    lines = [line for text in blocks("bash", "sh") for line in text.splitlines()]
    found = [match[1] for line in lines for match in re.finditer(r"(?:^|bin/)imagenet-subsets ([^&#\n]+)", line)]
    return found + [command for text in PAGES.values() for command in re.findall(r"`imagenet-subsets ([^`]+)`", text)]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_parses(command):
    cli.parser().parse_args(shlex.split(command))


def test_the_pages_show_every_command():
    assert {command.split()[0] for command in commands()} == {f.__name__[1:] for f, *_ in cli.COMMANDS}


@pytest.mark.parametrize("command", [function.__name__[1:] for function, *_ in cli.COMMANDS])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    example = re.search(r"^example:\n  imagenet-subsets (.*)$", capsys.readouterr().out, re.MULTILINE)
    cli.parser().parse_args(shlex.split(example[1]))


def test_no_command_lists_the_commands(capsys):
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^    {function.__name__[1:]} ", printed, re.MULTILINE) for function, *_ in cli.COMMANDS)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"imagenet-subsets {imagenet_subsets.__version__}\n"
