"""The beamline of the example profile: its motors, IOC, Tiled, 0MQ proxy, consumer and queue, each a process."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluesky.callbacks.zmq import Publisher

import catalogs
from live import LiveIoc, free_ports, wait_for
from motors import Motors
from page_rules import statements, words
from pages import ROOT, blocks
from queueing import Queue, ending, managing

PROFILE = ROOT / "client/docs/profile"


def plans_of_the_page() -> list[dict[str, Any]]:
    """Return the plans that the page of the profile adds to the queue."""
    lines = [line for block in blocks(PROFILE / "README.md") if block.language == "sh" for line in statements(block)]
    added = [words(line) for _, line in lines if line.startswith("qserver queue add plan")]
    return [json.loads(each[-1]) for each in added]


def copied(folder: Path, name: str) -> Path:
    """Copy the profile, with PVs that no other test has: those of `name`."""
    profile = folder / "profile"
    shutil.copytree(PROFILE, profile, ignore=shutil.ignore_patterns("__pycache__", "existing_plans*"))
    for path in profile.rglob("*"):
        if path.is_file():
            text = path.read_text().replace("XF:28ID1-ES{", name + "{").replace("XF:28ID1-CT{", name + "{")
            path.write_text(text)
    return profile


@dataclass
class Site:
    """The running beamline.

    Parameters
    ----------
    queue
        The RE Manager.
    catalog
        A client of Tiled.
    ioc
        The IOC of the calibrations.
    lines
        File with what the consumer wrote.
    """

    queue: Queue
    catalog: Any
    ioc: LiveIoc
    lines: Path

    def pv(self, name: str) -> str:
        """Name a PV of the detector."""
        return self.ioc.prefix.replace("Calib:", name)

    def consumed(self) -> list[dict[str, Any]]:
        """Return what the consumer has written."""
        return [json.loads(line) for line in self.lines.read_text().splitlines() if line.endswith("}")]


@contextlib.contextmanager
def running(folder: Path, ioc: LiveIoc, motors: Motors, preprocessors: str | None = None) -> Iterator[Site]:
    """Run the beamline for the duration of the block.

    Parameters
    ----------
    folder
        For all files.
    ioc
        An IOC that is not started: it gets the configuration of the profile.
    motors
        The port on which the motors of the profile are served.
    preprocessors
        In place of those of the profile, as lines of Python.
    """
    profile = copied(folder, ioc.name)
    if preprocessors is not None:
        file = profile / "startup" / "30-calibration.py"
        kept = [line for line in file.read_text().splitlines() if not line.startswith("RE.preprocessors")]
        file.write_text("\n".join([*kept, preprocessors, ""]))
    config = (profile / "28id1.toml").read_text()
    ioc.config.write_text(config.replace("[ioc]\n", f'[ioc]\nstate_dir = "{ioc.state_dir}"\n'))
    into, out = free_ports(2)
    environment = {**os.environ, "EPICS_CA_SERVER_PORT": str(motors.port), "PYTHONWARNINGS": "ignore"}
    program = [sys.executable]
    with contextlib.ExitStack() as running:
        start = running.enter_context
        start(ending([*program, str(profile / "motors.py")], folder / "motors.log", env=environment))
        proxy = str(Path(sys.executable).with_name("bluesky-0MQ-proxy"))
        addresses = ["--in-address", f"127.0.0.1:{into}", "--out-address", f"127.0.0.1:{out}"]
        start(ending([proxy, *addresses], folder / "proxy.log"))
        lines = folder / "patterns.jsonl"
        lines.touch()
        consumer = [*program, str(profile / "consumer.py"), f"127.0.0.1:{out}", str(lines)]
        start(ending(consumer, folder / "consumer.log"))
        server, client, _ = start(catalogs.serving(folder / "tiled"))
        ioc.start()
        os.environ.update(TILED_URI=server.uri, DOCUMENTS_TO=f"127.0.0.1:{into}")
        queue = start(managing(folder, profile / "startup"))
        site = Site(queue, client, ioc, lines)
        publisher = Publisher(f"127.0.0.1:{into}")
        running.callback(publisher.close)
        wait_for(lambda: publisher("start", {"uid": "probe"}) or site.consumed(), what="the consumer")
        yield site
