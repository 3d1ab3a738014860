"""A CA gateway with a cache: EPICS' own where one is installed, else a relay that caches as it does.

Clients see each PV of the IOC behind it with `ALIAS` before its name. `PONIKEEPER_CA_GATEWAY` names the program of the
gateway, if it is not in PATH as ``gateway``.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from live import LiveIoc, wait_for

ALIAS = "GW-"

PROGRAM = os.environ.get("PONIKEEPER_CA_GATEWAY") or shutil.which("gateway")
"""EPICS' ca-gateway; None where there is none."""


class Gateway:
    """A gateway in a process of its own.

    Parameters
    ----------
    folder
        For its files.
    port
        Where its clients search.
    ioc
        The IOC behind it.
    program
        The program of the gateway; None runs the relay.
    """

    def __init__(self, folder: Path, port: int, ioc: LiveIoc, program: str | None) -> None:
        self._folder, self._port, self._ioc, self._program = folder, port, ioc, program
        self.process: subprocess.Popen[str] | None = None

    @property
    def prefix(self) -> str:
        """The prefix of the first detector, as clients of the gateway see it."""
        return ALIAS + self._ioc.prefix

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        log = (self._folder / "gateway.out").open("w")
        self.process = subprocess.Popen(
            self._real(self._program) if self._program else self._relay(),
            cwd=self._folder, env=self._environment(), stdout=log, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        log.close()
        wait_for(self._listens, what="the gateway")
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "gateway.out").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _real(self, program: str) -> list[str]:
        (self._folder / "pvlist").write_text(f"EVALUATION ORDER ALLOW, DENY\n{ALIAS}\\(.*\\) ALIAS \\1\n")
        (self._folder / "access").write_text("ASG(DEFAULT) { RULE(1,READ) RULE(1,WRITE) }\n")
        ports = ["-sport", str(self._port), "-cport", str(self._ioc.port)]
        return [program, *ports, "-sip", "127.0.0.1", "-cip", "127.0.0.1", "-pvlist", "pvlist", "-access", "access"]

    def _relay(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("caching_relay.py")), *self._ioc.prefixes]

    def _environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_CA")}
        ours = {
            "EPICS_CA_REPEATER_PORT": os.environ["EPICS_CA_REPEATER_PORT"], "EPICS_CA_MAX_ARRAY_BYTES": "100000",
        }  # fmt: skip
        if self._program:
            return others | ours
        return others | ours | {
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{self._ioc.port}", "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_CA_SERVER_PORT": str(self._port),
            "EPICS_CAS_BEACON_ADDR_LIST": f"127.0.0.1:{ours['EPICS_CA_REPEATER_PORT']}",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        }  # fmt: skip
