"""The reference pages agree with the code."""

import re

import pytest
import typer

from make_references import COMMAND, PAGES, ROOT, command_tree, verbs
from pages import page_id
from public_api import PACKAGES, find, public_names

CLI = ROOT / "iocs/docs/cli.md"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_reference_page_is_made_from_the_code(page):
    text = page.read_text(encoding="utf-8")
    made = re.search(r"\(typer ([0-9.]+)\)", text)
    if made and made[1] != typer.__version__:
        pytest.skip(f"made with typer {made[1]}, whose generator formats otherwise than {typer.__version__}")
    assert PAGES[page]() == text, f"{COMMAND} writes it again"


def test_command_line_page_has_every_verb_option_and_help_text():
    """The page agrees with any version of typer, not only the one that made it."""
    text = " ".join(CLI.read_text(encoding="utf-8").split())
    commands = verbs(command_tree())
    assert len(commands) > 20
    for words, command in commands.items():
        assert f"## `ponikeeper {words}`" in text
        assert " ".join(command.help.split()) in text
        for param in command.params:
            assert " ".join((param.help or "").split()) in text
            assert [option for option in (*param.opts, *param.secondary_opts) if option not in text] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_class_and_function_has_a_docstring(package):
    publics = {name: find(name, package) for name in public_names(package)}
    assert [name for name, public in publics.items() if public is None] == []
    assert [name for name, public in publics.items() if public.has_docstring_of_its_own and not public.doc] == []


def test_reference_pages_are_named_in_the_contributing_page():
    text = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    assert COMMAND in text
