"""The pages of the manual and their code blocks."""

import re
import textwrap

from helpers.programs import PROJECT

PAGES = {
    path.relative_to(PROJECT).as_posix(): path.read_text(encoding="utf-8")
    for path in [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
}


def blocks(*languages):
    """The code blocks of all pages in these languages, ``list[str]``."""
    found = [
        block
        for text in PAGES.values()
        for block in re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    ]
    return [textwrap.dedent(text) for _, language, text in found if language in languages]
