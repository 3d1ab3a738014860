"""Duration of commands that read from an IOC, from exec to exit, and the processor time of each.

python tests/bench/bench_commands.py [ROUNDS]
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import conftest  # sets the environment before any CA library is loaded

from live import LiveIoc, serving  # isort: skip
from speak import GEOMETRY, commit_text, request  # isort: skip


def run(command):
    """Run a command, and return its duration and its processor time (s)."""
    with Path(os.devnull).open("r+b") as null:
        began = time.perf_counter()
        child = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, null.fileno(), number) for number in (0, 1)],
        )
        _, status, used = os.wait4(child, 0)
        taken = time.perf_counter() - began
    assert os.waitstatus_to_exitcode(status) == 0, command
    return taken, used.ru_utime + used.ru_stime


def main(rounds):
    """Measure the commands in turn, so that all of them run under the same load."""
    program = str(Path(sys.executable).parent / "ponikeeper")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(LiveIoc(Path(folder), conftest._PORTS[0], "BENCH")) as ioc,
    ):
        request(ioc.prefix, commit_text("one", geometry=GEOMETRY))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "ponikeeper --version": [program, "--version"],
            "ponikeeper get": [program, "get", ioc.prefix],
            "ponikeeper show": [program, "show", ioc.prefix],
            "ponikeeper status": [program, "status", ioc.prefix, "--wait", "UNWATCHED"],
            "ponikeeper history": [program, "history", ioc.prefix],
        }
        for command in commands.values():
            run(command)
        found = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                found[name].append(run(command))
    print(f"{rounds} rounds, in turn (s)")
    for name, pairs in found.items():
        taken, used = zip(*pairs, strict=True)
        print(
            f"{name:<22} wall median {statistics.median(taken):.3f} least {min(taken):.3f}   "
            f"processor median {statistics.median(used):.3f} least {min(used):.3f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
