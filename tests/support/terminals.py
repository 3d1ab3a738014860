"""A command at a pseudo-terminal, as a person has it: type answers, read what is shown."""

import codecs
import contextlib
import os
import pty
import select
import time
from pathlib import Path
from typing import Self

from forks import Forks
from live import TIMEOUT, wait_for


class Terminal:
    """Runs ``ponikeeper`` at a pseudo-terminal, for the duration of a block.

    Parameters
    ----------
    forks
        What starts it.
    words
        The arguments.
    """

    def __init__(self, forks: Forks, *words: object) -> None:
        self._forks = forks
        self._words = [str(word) for word in words]
        self._text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # what is read may end within a character

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self._process = self._forks.start(self._words, {**os.environ, "COLUMNS": "200"}, slave, slave, slave)
        os.close(slave)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT)
        os.close(self._master)

    @property
    def shown(self) -> str:
        """Everything that the terminal has shown, with line feeds as line ends."""
        return self._text.replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Type a text when the command waits for it; a line feed is Enter, byte 4 is Ctrl-D, byte 3 is Ctrl-C."""
        stat = Path(f"/proc/{self._process.pid}/stat")  # Python loses a Ctrl-C between the prompt and the read
        wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", what="it waits for input")
        os.write(self._master, text.encode())

    def read_until(self, text: str, times: int = 1) -> str:
        """Read until a text is shown that many times, and return everything shown so far."""
        deadline = time.monotonic() + TIMEOUT
        while self.shown.count(text) < times:
            assert time.monotonic() < deadline, f"{text!r} is not shown: {self.shown}"
            assert self._read(), f"ended without {text!r}: {self.shown}"
        return self.shown

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        return self._process.wait(TIMEOUT)

    def _read(self) -> bool:
        """Read what comes next; return whether the terminal is still open."""
        ready, _, _ = select.select([self._master], [], [], TIMEOUT)
        assert ready, f"nothing is shown: {self.shown}"
        with contextlib.suppress(OSError):  # Linux's end of file of a terminal
            if data := os.read(self._master, 4096):
                self._text += self._decoder.decode(data)
                return True
        return False
