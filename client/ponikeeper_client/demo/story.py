"""The demonstration, step by step, with real parts: the IOC, Channel Access, bluesky, Tiled."""

import contextlib
import logging
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.system.terminal import make_console

PREFIXES = ("DEMO{Det:PE1}", "DEMO{Det:PE2}")
PICTURE = "ponikeeper_demo.png"

NEAR = Geometry(
    dist=0.2345, poni1=0.2021, poni2=0.2011, rot1=0.0022, rot2=0.0014, rot3=0.0, pixel1=4e-4, pixel2=4e-4,
    wavelength=1.663e-11, detector="Perkin", detector_config={"orientation": 3},
)  # fmt: skip
FAR = Geometry(**{**NEAR.as_dict(), "dist": 0.6012, "poni1": 0.2043, "poni2": 0.2002})  # type: ignore[arg-type]

_READY_TIMEOUT = 20.0
_CONFIG = """[ioc]
prefix = "DEMO{{IOC}}"
state_dir = "{state_dir}"
port = {port}
interfaces = ["127.0.0.1"]
engineer = "the demonstration"

[[detector]]
prefix = "DEMO{{Det:PE1}}Calib:"
title = "Perkin-Elmer 1"

[[detector]]
prefix = "DEMO{{Det:PE2}}Calib:"
title = "Perkin-Elmer 2"
"""

out = make_console(highlight=False)


def run(stay: bool) -> None:
    """Run the demonstration; with `stay` the IOC serves until Ctrl-C.

    Raises
    ------
    RuntimeError
        A step failed.
    """
    folder = Path(tempfile.mkdtemp(prefix="ponikeeper-demo-"))
    port = _free_port()
    environment = {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(_free_port()),
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    }
    os.environ.update(environment)  # before any CA library is loaded
    try:
        with _ioc(folder, port) as ready:
            _say("An IOC for two detectors, on a loopback port of its own", f"$ ponikeeper serve demo.toml\n{ready}")
            _demonstrate_runs(folder)
            _next_lines(port, stay)
            if stay:
                with contextlib.suppress(KeyboardInterrupt):
                    _wait_for_ctrl_c()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _demonstrate_runs(folder: Path) -> None:
    """Record runs at two distances, and read back the geometry of each."""
    quiet_libraries()
    with out.status("loading ophyd, bluesky, pyFAI and Tiled, starting a Tiled server ..."):
        from ponikeeper_client.demo import picture
        from ponikeeper_client.demo.detector import SimulatedDetector
        from ponikeeper_client.demo.session import Session

        session = Session(folder / "tiled")
    with contextlib.closing(session):
        detector = SimulatedDetector(PREFIXES[0], name="pe1")
        detector.wait_for_connection(timeout=10)

        _put(folder, NEAR, "near")
        detector.move_to(NEAR)
        near_uid = session.count(detector)
        _say("A run near the sample: its descriptor holds the geometry", f"RE(count([pe1]))  # {near_uid}")
        out.print(_recorded_table(session.configuration(near_uid, "pe1")))

        _put(folder, FAR, "far")
        detector.move_to(FAR)
        far_uid = session.count(detector)
        _say("The detector moved back, was calibrated again, and a run taken", f"RE(count([pe1]))  # {far_uid}")

        _ponikeeper(
            "activate", f"{PREFIXES[0]}Calib:", "near", why="An older revision is activated again, by its label"
        )
        _require(detector.calib.read_configuration()["pe1_calib_revision"]["value"] == 1, "revision 1 is active")

        geometries = {name: session.geometry(uid) for name, uid in (("near", near_uid), ("far", far_uid))}
        out.print(_comparison(geometries))
        _require(geometries == {"near": NEAR, "far": FAR}, "each run gives back its own geometry, bit-exact")

        path = Path.cwd() / PICTURE
        title = "a run at the near distance, read back from Tiled"
        picture.draw(path, session.image(near_uid, "pe1_image"), geometries["near"], title)
        out.print(f"\nThe picture of it: [bold]{path}[/bold]")
        detector.destroy()


def _put(folder: Path, geometry: Geometry, label: str) -> None:
    file = folder / f"{label}.poni"
    write_atomic(file, poni.write(geometry).encode("ascii"))
    why = f"The geometry of the calibration ({label}) is committed in one transaction"
    _ponikeeper("put", f"{PREFIXES[0]}Calib:", str(file), "--label", label, "--calibrant", "Ni", why=why)


def _ponikeeper(*arguments: str, why: str) -> None:
    """Run one command of the command line, and print it."""
    done = subprocess.run(
        [sys.executable, "-m", "ponikeeper", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    shown = shlex.join(("ponikeeper", *(Path(a).name if a.endswith(".poni") else a for a in arguments)))
    _say(why, f"$ {shown}\n{done.stdout}{done.stderr}")
    _require(done.returncode == 0, f"ponikeeper {arguments[0]} ends with 0")


def _recorded_table(recorded: dict[str, Any]) -> Table:
    table = Table(title="what the descriptor recorded", title_justify="left")
    table.add_column("key")
    table.add_column("value", overflow="fold")
    table.add_column("unit")
    for name in (*NAMES, "detector_config", "revision", "serial", "label", "status"):
        unit = PARAMETERS[name].unit if name in PARAMETERS else ""
        table.add_row(f"pe1_calib_{name}", Text(str(recorded[f"pe1_calib_{name}"])), unit)
    return table


def _comparison(geometries: dict[str, Geometry]) -> Table:
    table = Table(title="read back from Tiled: each run gives its own geometry", title_justify="left")
    for name in ("run", "dist (m)", "poni1 (m)", "poni2 (m)", "as it was put"):
        table.add_column(name)
    for (name, geometry), truth in zip(geometries.items(), (NEAR, FAR), strict=True):
        same = "[green]bit-exact[/green]" if geometry == truth else "[red]different[/red]"
        table.add_row(name, *(repr(getattr(geometry, key)) for key in ("dist", "poni1", "poni2")), same)
    return table


def _next_lines(port: int, stay: bool) -> None:
    """Print what the user can type now; each line fits a narrow terminal."""
    prefix = f"{PREFIXES[0]}Calib:"
    lines = ["# in another terminal:"]
    if not stay:
        lines = ["ponikeeper demo --stay   # the same, and the IOC goes on serving", ""]
        lines += ["# then, in another terminal, with the port it names:"]
    if shutil.which("ponikeeper") is None:
        lines += [f"export PATH={Path(sys.executable).parent}:$PATH"]
    lines += [
        f"export EPICS_CA_AUTO_ADDR_LIST=NO EPICS_CA_ADDR_LIST=127.0.0.1:{port if stay else '...'}",
        f"ponikeeper show '{prefix}'",
        f"ponikeeper history '{prefix}'",
        "",
        "# millimetres typed for metres: refused, with the reason",
        f"ponikeeper set '{prefix}' dist=234.5",
        "# a change, and the undo of it",
        f"ponikeeper set '{prefix}' dist=0.2346",
        f"ponikeeper undo '{prefix}'",
        "",
        "# the same with any CA client; Message_RBV has the reason of a refusal",
        f"caput '{prefix}Dist' 234.5",
        f"caput '{prefix}Undo' Do",
    ]
    out.print(Panel(Text("\n".join(lines)), title="what to type next", title_align="left"))


@contextlib.contextmanager
def _ioc(folder: Path, port: int) -> Iterator[str]:
    """Serve two detectors for the duration of the block; yield the READY line."""
    config = folder / "demo.toml"
    write_atomic(config, _CONFIG.format(state_dir=folder / "state", port=port).encode())
    log = folder / "ioc.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "ponikeeper", "serve", str(config)], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline().strip()
        _require(ready.startswith("READY"), f"the IOC starts: {log.read_text()[-500:]}")
        yield ready
    finally:
        process.terminate()
        process.wait(timeout=_READY_TIMEOUT)
        if process.stdout is not None:
            process.stdout.close()


def quiet_libraries() -> None:
    """Suppress the log messages and warnings of the libraries."""
    warnings.simplefilter("ignore")
    for name in ("pyFAI", "httpx", "tiled", "uvicorn", "bluesky", "bluesky_tiled_plugins", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _say(why: str, lines: str) -> None:
    out.print(f"\n[bold]{why}[/bold]")
    out.print(Text(lines.strip(), style="cyan"), soft_wrap=True)


def _require(truth: bool, what: str) -> None:
    if not truth:
        raise RuntimeError(f"the demonstration failed where it should be that {what}")


def _wait_for_ctrl_c() -> None:
    out.print("The IOC goes on serving. Ctrl-C ends it.")
    import threading

    threading.Event().wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
