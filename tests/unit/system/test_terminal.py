"""Questions at a pseudo-terminal: answered by yes or no, asked again after anything else, or given up."""

import os
import pty
import sys
from pathlib import Path

import pytest

from ponikeeper.system.terminal import ask, is_interactive


@pytest.fixture
def typed(monkeypatch):
    """Return a function that types a text at a pseudo-terminal, which is the input from then on."""
    opened = []

    def type_text(text: str) -> None:
        ours, theirs = pty.openpty()
        opened.append(ours)
        os.write(ours, text.encode())
        opened.append(os.fdopen(theirs, "r"))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield type_text
    for each in opened:
        os.close(each) if isinstance(each, int) else each.close()


@pytest.mark.parametrize(
    ("text", "answer"),
    [("y\n", True), ("YES\n", True), ("n\n", False), (" no \n", False), ("maybe\nn\n", False), ("\x04", None)],
)
def test_question_is_asked_until_it_is_answered(typed, text, answer, capsys):
    typed(text)
    assert ask("Record the position?") is answer
    assert capsys.readouterr().out.startswith("Record the position? [y/n] ")


def test_answer_that_is_none_is_named(typed, capsys):
    typed("maybe\ny\n")
    assert ask("Record the position?")
    assert "'maybe' is no answer: expected y or n." in capsys.readouterr().out


def test_question_that_is_interrupted_has_no_answer(monkeypatch):
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    assert ask("Record the position?") is None


def test_pipe_is_not_interactive(monkeypatch):
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert not is_interactive()
