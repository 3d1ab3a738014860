"""The language of the code and the pages: docstrings that open with a plain verb, and words that are not used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("iocs", "client", "tests")
PROSE = ("iocs", "client", "deploy")

OPENERS = ("Give", "Tell", "See", "Say", "Let", "Take", "Have")
LINE_END = "\n"
NOT_USED = ("in force", "nobody", "whoever", "anew")


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below some folders of the checkout."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """Return every text of the product and every page: what a user or a developer reads."""
    kept = {".git", ".venv", "__pycache__", "node_modules"}
    pages = [path for path in ROOT.rglob("*.md") if not kept & set(path.relative_to(ROOT).parts)]
    files = [path for folder in PROSE for path in (ROOT / folder).rglob("*") if path.is_file()]
    binary = {".pyc", ".png", ".tiff", ".gz", ".sqlite"}
    return sorted({path for path in pages + files if path.suffix not in binary and not kept & set(path.parts)})


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the first word of each docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.split()[0].rstrip(",:;.")


@pytest.fixture(scope="module")
def openers() -> list[tuple[str, str]]:
    """Read the place and the first word of every docstring."""
    files = python_files(*CODE)
    return [(f"{path.relative_to(ROOT)}:{line}", word) for path in files for line, word in docstrings(path)]


@pytest.mark.parametrize("opener", OPENERS)
def test_no_docstring_opens_with(openers, opener):
    assert [place for place, word in openers if word == opener] == []


@pytest.mark.parametrize("words", NOT_USED)
def test_text_does_not_have(words):
    pattern = re.compile(rf"\b{words}\b".replace(" ", r"\s+"), re.IGNORECASE)
    places = [
        f"{path.relative_to(ROOT)}:{1 + text[: match.start()].count(LINE_END)}"
        for path in text_files()
        for text in [path.read_text(encoding="utf-8")]
        for match in pattern.finditer(text)
    ]
    assert places == []


def test_one_module_escapes_what_is_not_ascii():
    files = [path for path in python_files("iocs", "client") if "backslashreplace" in path.read_text(encoding="utf-8")]
    assert len(files) == 1
