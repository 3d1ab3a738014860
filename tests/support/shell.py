"""The command line without its start-up time."""

import os
import subprocess
import tempfile
from pathlib import Path

from forks import Forks
from terminals import Terminal


class Shell:
    """Runs commands to their end, each in a process of its own.

    Parameters
    ----------
    forks
        What starts them.
    """

    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    def __call__(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end.

        Parameters
        ----------
        environment
            What is added to this process's environment; 80 columns unless it says otherwise.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            with out.open("w") as stdout, err.open("w") as stderr:
                process = self._forks.start(
                    [str(word) for word in words],
                    {**os.environ, "COLUMNS": "80"} | environment,
                    stdout.fileno(),
                    stderr.fileno(),
                )
            code = process.wait()
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    def at_terminal(self, *words: object) -> Terminal:
        """Return one command that runs at a pseudo-terminal for the duration of a block."""
        return Terminal(self._forks, *words)
