"""A PostgreSQL server for tests, from the programs on this machine."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import free_ports

VARIABLE = "PONIKEEPER_POSTGRES"
"""Environment variable: the folder of initdb and pg_ctl."""


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; the test is skipped where there is none."""
    named = os.environ.get(VARIABLE)
    in_path = shutil.which("initdb")
    folders = [Path(named)] if named else [Path(in_path).parent] if in_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    pytest.skip(
        f"there is no PostgreSQL: expected initdb in /usr/lib/postgresql or PATH, or its folder in {VARIABLE}; Tiled "
        "needs the extension btree_gin, which some builds lack"
    )


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Serve an empty database for the duration of the block; yield its address for SQLAlchemy."""
    bin_folder, (port,) = programs(), free_ports(1)
    user = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        data.mkdir()
        if user:
            Path(name).chmod(0o755)
            shutil.chown(data, "nobody")

        def run(*command: str) -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **user)  # type: ignore[call-overload]

        run(str(bin_folder / "initdb"), "-D", str(data), "-U", "tiled", "--auth=trust", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {data}"
        control = (str(bin_folder / "pg_ctl"), "-D", str(data), "-w")
        run(*control, "-o", options, "-l", str(data / "log"), "start")
        try:
            yield f"postgresql+asyncpg://tiled@127.0.0.1:{port}/postgres"
        finally:
            run(*control, "-m", "immediate", "stop")
