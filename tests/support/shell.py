"""The command line without its start-up time: a process that has the slow libraries loaded forks for each command."""

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Self

SLOW = (
    "ponikeeper.caclient", "epicscorelibs.path", "numpy", "typer.main", "typer._adapters", "rich.table", "rich.console",
    "ponikeeper.cli.app", "ponikeeper.ca.service", "ponikeeper.store", "ponikeeper_client.cli",
)  # fmt: skip
"""Not aioca: the threads of its library do not survive a fork."""


class Shell:
    """Runs commands one after another, each in a process of its own; used by one thread.

    Parameters
    ----------
    slow
        Modules that these commands load in addition to `SLOW`.
    """

    def __init__(self, *slow: str) -> None:
        self._slow = slow

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._slow], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def __call__(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end.

        Parameters
        ----------
        environment
            What is added to this process's environment; 80 columns unless it says otherwise.
        """
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "COLUMNS": "80"} | environment
            command = [[str(word) for word in words], environment, folder, str(Path.cwd())]
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = (Path(folder, name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(words, code, out, err)


def _run(words: list[str], environment: dict[str, str], folder: str, place: str) -> None:
    """Become the command."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(folder, name), os.O_CREAT | os.O_WRONLY), number)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[1:] = words
    from ponikeeper.__main__ import main
    from ponikeeper.cli.console import err, out

    out.__init__()  # a console reads the variables of its width and colours once
    err.__init__(stderr=True)
    main()


def _serve() -> None:
    for module in (*SLOW, *sys.argv[1:]):
        __import__(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                _run(*json.loads(line))
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            except BaseException:  # noqa: BLE001  # as the interpreter would
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
