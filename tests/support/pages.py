"""The pages of the project, and the code blocks in them."""

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FOLDERS = (".github", "iocs", "client", "deploy")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in _FOLDERS for page in (ROOT / folder).rglob("*.md"))])
"""Every Markdown page."""

NOTEBOOKS = sorted(page for folder in _FOLDERS for page in (ROOT / folder).rglob("*.ipynb"))
"""Every notebook."""

_BLOCK = re.compile(r"^( *)```(.*?)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block.

    Parameters
    ----------
    line
        Number of its first line of code in the page.
    info
        What follows the fence: the language, and a note for the tests such as ``not run``.
    """

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        """The first word of the info string."""
        return self.info.split()[0] if self.info.split() else ""

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{page_id(self.page)}:{self.line}"


def page_id(page: Path) -> str:
    """Return the path of a page relative to the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        return [block for cell in _cells(text) for block in _of_cell(page, *cell)]
    assert text.count("```") == 2 * len(_BLOCK.findall(text)), f"{page_id(page)}: a code fence is not closed"
    return [
        Block(page, text.count("\n", 0, match.start(3)) + 1, match[2].strip(), match[3])
        for match in _BLOCK.finditer(text)
    ]


def _cells(text: str) -> list[tuple[int, str]]:
    """Return the code cells of a notebook, with their numbers from 1 on."""
    cells = json.loads(text)["cells"]
    return [(number, "".join(cell["source"])) for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]


def _of_cell(page: Path, number: int, text: str) -> list[Block]:
    """Return a cell as blocks: lines that begin with ``!`` are commands of the shell."""
    parts = itertools.groupby(text.splitlines(keepends=True), lambda line: line.startswith("!"))
    return [
        Block(page, number, "sh" if is_shell else "python", "".join(line.removeprefix("!") for line in lines))
        for is_shell, lines in parts
    ]
