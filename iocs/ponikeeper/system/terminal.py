"""Questions to a person at a terminal."""

import sys


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
        while (answer := input(f"{question} [y/n] ").strip().lower()) not in ("y", "yes", "n", "no"):
            question = f"{answer!a} is no answer: expected y or n."
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
        return None
    return answer in ("y", "yes")
