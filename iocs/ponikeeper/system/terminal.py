"""Questions to a person at a terminal, and what is printed there."""

import sys
from typing import TYPE_CHECKING

from ponikeeper.text.ascii import printable

if TYPE_CHECKING:
    from rich.console import Console


def is_interactive() -> bool:
    """Return whether a person can answer a question: input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: str) -> bool | None:
    """Ask a question at the terminal until it is answered by yes or no.

    Parameters
    ----------
    question
        In one or more lines.

    Returns
    -------
    bool or None
        Whether the answer is yes; None if the input is closed (Ctrl-D) or interrupted (Ctrl-C) instead.
    """
    try:
        while (answer := input(f"{printable(question)} [y/n] ").strip().lower()) not in ("y", "yes", "n", "no"):
            question = f"{answer!a} is no answer: expected y or n."
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
        return None
    return answer in ("y", "yes")


def print_text(text: str, *, to_stderr: bool = False) -> None:
    """Print a text in one or more lines, and flush it; what would control the terminal is escaped.

    Parameters
    ----------
    text
        The text, without its last newline.
    to_stderr
        Print it to stderr instead of stdout.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(printable(text) + "\n")
    stream.flush()


def make_console(*, stderr: bool = False, width: int | None = None, highlight: bool = True) -> "Console":
    """Make a console of rich that escapes what would control the terminal in all that it prints.

    Parameters
    ----------
    stderr
        Of stderr instead of stdout.
    width
        Number of columns; None takes that of the terminal.
    highlight
        Whether numbers and such are highlighted in plain texts.
    """
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.segment import Segment

    class Printable:
        def __init__(self, renderable: ConsoleRenderable) -> None:
            self._renderable = renderable

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self._renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Printable(each) for each in renderables]

    console = Console(stderr=stderr, width=width, highlight=highlight)
    console.push_render_hook(Hook())
    return console
