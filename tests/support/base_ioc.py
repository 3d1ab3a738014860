"""A C IOC with access security, in a process of its own: ``python base_ioc.py NAME``.

It serves one record for each access security group of `GROUPS`, a text and the records of `RECORDS`, reads from its
standard input the path of one access security file after the other, and prints whether EPICS base accepts it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

GROUPS = ("DEFAULT", "OPS", "MISSING")

RECORDS = """
record(ao, "{name}Number") {{
    field(VAL, "0.25") field(EGU, "m") field(PREC, "6") field(HOPR, "10") field(LOPR, "0") field(DRVH, "10")
    field(DRVL, "0") field(DESC, "distance") field(PINI, "YES")
}}
record(longout, "{name}Whole") {{ field(VAL, "7") field(EGU, "px") field(PINI, "YES") }}
record(mbbo, "{name}State") {{
    field(ZRST, "Idle") field(ONST, "Do") field(ZRVL, "0") field(ONVL, "1") field(VAL, "1") field(PINI, "YES")
}}
record(stringout, "{name}Word") {{ field(VAL, "near") field(PINI, "YES") }}
record(stringout, "{name}Digits") {{ field(VAL, "7.5") field(PINI, "YES") }}
record(waveform, "{name}Text") {{ field(FTVL, "CHAR") field(NELM, "16000") field(PINI, "YES") }}
"""


class SoftIoc:
    """EPICS base's own server.

    Parameters
    ----------
    name
        First part of every PV name: ``NAMEDEFAULT``, ``NAMEOPS``, ``NAMEMISSING``, ``NAMETEXT``.
    port
        Where it is served.
    folder
        For its files.
    more
        Further records, as in a ``.db`` file.
    beacons
        Whether it sends beacons to its networks.
    """

    def __init__(self, name: str, port: int, folder: Path, more: str = "", beacons: bool = False) -> None:
        (folder / "more.db").write_text(more)
        self.name, self.port, self._folder = name, port, folder
        self._said = (folder / "softioc.log").open("wb")
        environment = {
            **os.environ,
            "EPICS_CA_SERVER_PORT": str(port),
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "YES" if beacons else "NO",
        }
        command = [sys.executable, __file__, name, str(folder)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=self._said, text=True, bufsize=1
        )
        self._answer()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._said.close()

    def take(self, rules: str) -> bool:
        """Load an access security file; return whether EPICS base accepts it."""
        assert self._process.stdin is not None
        path = self._folder / "rules.acf"
        path.write_text(rules)
        print(path, file=self._process.stdin, flush=True)
        return self._answer() == "0"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"the C IOC has ended: {(self._folder / 'softioc.log').read_text()[-2000:]}")
            if line.startswith("SAID "):
                return line.split()[1]


def _serve(name: str, folder: str) -> None:
    from epicscorelibs import ioc

    Path(folder, "open.acf").write_text("ASG(DEFAULT) {RULE(1, WRITE)}\n")
    records = "".join(f'record(ao, "{name}{group}") {{field(ASG, "{group}")}}\n' for group in GROUPS)
    records += (
        f'record(waveform, "{name}TEXT") {{field(FTVL, "CHAR") field(NELM, "16000") field(INP, {{const: "hello"}})}}\n'
    )
    more = Path(folder, "more.db").read_text()
    Path(folder, "records.db").write_text(records + RECORDS.format(name=name) + more)
    ioc.iocshRegisterCommon()
    ioc.dbLoadDatabase(b"base.dbd", ioc.DEFAULT_DBD_PATH.encode(), None)
    ioc.registerRecordDeviceDriver(ioc.pdbbase)
    ioc.ioc("var asCheckClientIP 1")
    ioc.ioc(f'asSetFilename("{folder}/open.acf")')
    ioc.dbLoadRecords(f"{folder}/records.db".encode(), b"")
    ioc.iocInit()
    print("SAID ready", flush=True)
    for path in sys.stdin:
        ioc.ioc(f'asSetFilename("{path.strip()}")')
        print("SAID", ioc.dbCore.asInit(), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
