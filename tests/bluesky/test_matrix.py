"""Each way to put a geometry, with the links in each state, in each place where it is read.

A geometry that is wrong, or that nothing has verified, looks valid nowhere; one that applies is given everywhere.
The table is printed with -s.
"""

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aioca
import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
from bluesky import RunEngine

import speak
from live import wait_for
from ponikeeper.errors import NotValidError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.protocol import LinkState, Status, applies, parse_links
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.recall import Recorded, azimuthal_integrator, recorded, write_nexus, write_poni
from shell import Shell
from speak import GEOMETRY

HOME, AWAY, ENERGY = 1000.0, 900.0, 74.69
BASE, EDITED = GEOMETRY["dist"], 0.31
POSITION = {"z": HOME, "energy": ENERGY}
WRONG = 1.1 * GEOMETRY["wavelength"]


def ask(prefix: str, **more: object) -> None:
    """Send a commit of another geometry than the base."""
    speak.request(prefix, speak.commit_text("the way", **{"geometry": {**GEOMETRY, "dist": EDITED}} | more))


def put_poni(prefix: str) -> None:
    speak.put(f"{prefix}Poni", poni.write(Geometry.parse({**GEOMETRY, "dist": EDITED})))


def put_all(prefix: str, values: Mapping[str, object]) -> None:
    for suffix, value in values.items():
        speak.put(prefix + suffix, value)


def put_poni_and(prefix: str, **then: object) -> None:
    put_poni(prefix)
    put_all(prefix, then)


def set_by_ophyd(prefix: str) -> None:
    calib = CalibrationData(prefix, name="way")
    try:
        calib.wait_for_connection(timeout=30)
        calib.set({**GEOMETRY, "dist": EDITED}).wait(timeout=30)
    finally:
        calib.destroy()


def put_by_command(call: Shell, prefix: str, option: str) -> None:
    file = Path(f"{option.strip('-')}.poni")
    file.write_text(poni.write(Geometry.parse({**GEOMETRY, "dist": EDITED})))
    assert call("put", prefix, file, option).returncode == 0


@dataclass(frozen=True)
class Way:
    """One way to put a geometry.

    Parameters
    ----------
    put
        Uses it, where the base was committed at home.
    place
        Where the links are meanwhile.
    valid_at
        Where the geometry that is active then was calibrated; None where that was not recorded, or where it is wrong.
    option
        Of the command ``ponikeeper put``, which uses it where `put` is None.
    """

    put: Callable[[str], object] | None
    place: float = HOME
    valid_at: float | None = HOME
    option: str = ""


WAYS = {
    "Poni": Way(put_poni, valid_at=None),
    "Request, position now": Way(lambda prefix: ask(prefix, position="now")),
    "Request, position now, while away": Way(lambda prefix: ask(prefix, position="now"), AWAY, AWAY),
    "Request, position given": Way(lambda prefix: ask(prefix, position=POSITION), AWAY),
    "Request, position unknown": Way(lambda prefix: ask(prefix, position="unknown"), valid_at=None),
    "Request, wrong wavelength, position given": Way(
        lambda prefix: ask(prefix, position=POSITION, geometry={**GEOMETRY, "wavelength": WRONG}), valid_at=None
    ),
    "Dist, another value": Way(lambda prefix: put_all(prefix, {"Dist": EDITED})),
    "Dist, another value, while away": Way(lambda prefix: put_all(prefix, {"Dist": EDITED}), AWAY),
    "Dist, the same value": Way(lambda prefix: put_all(prefix, {"Dist": BASE})),
    "Dist, the same value, while away": Way(lambda prefix: put_all(prefix, {"Dist": BASE}), AWAY),
    "Wavelength, a wrong value": Way(lambda prefix: put_all(prefix, {"Wavelength": WRONG}), valid_at=None),
    "Stage:Apply": Way(lambda prefix: put_all(prefix, {"Stage:Dist": EDITED, "Stage:Apply": 1})),
    "RecordPosition": Way(lambda prefix: put_poni_and(prefix, RecordPosition=1)),
    "Activate": Way(lambda prefix: put_poni_and(prefix, Activate="1"), AWAY),
    "Undo": Way(lambda prefix: put_poni_and(prefix, Undo=1)),
    "set of the ophyd device": Way(set_by_ophyd),
    "ponikeeper put --here": Way(None, option="--here"),
    "ponikeeper put --no-position": Way(None, valid_at=None, option="--no-position"),
}

LEFT = "left after the descriptor"
"""At home when the descriptor was written, away before the second event, without the guard."""

STATES = ("no links", "at home", "away", "contradicting energy", "other units", "disconnected")

PLACES = ("Status_RBV", "severity", "descriptor", "integrator", "PONI file", "NeXus file", "ponikeeper status")

GROUPS = {"no links": "{N", "at home": "{L", "away": "{L", "contradicting energy": "{L", "other units": "{U",
          "disconnected": "{D"}  # fmt: skip
"""The detectors that are in a state, one for each way."""

Cells = dict[tuple[str, str, str], str]


def prefixes_of(ioc: Any, group: str) -> dict[str, str]:
    return {way: f"{ioc.name}{group}et:{number}}}Calib:" for number, way in enumerate(WAYS)}


def truth(way: str, state: str) -> str:
    """Return the status that a person who knows everything would give; empty where the geometry does not apply."""
    if state == "no links":
        return "UNWATCHED"
    place = {"at home": HOME, "away": AWAY}.get(state)
    return "VALID" if place is not None and WAYS[way].valid_at == place else ""


class Scene:
    """The linked PVs, and an IOC with a detector for each way in each group."""

    def __init__(self, ioc: Any, motors: Any, mortal: Any, call: Shell) -> None:
        self.ioc, self.call, self._motors, self._mortal = ioc, call, motors, mortal

    def go(self, place: float) -> None:
        """Bring every motor to a place, and wait until the IOC has seen it there, at rest."""
        for motors in (self._motors, self._mortal):
            for name in ("Z", "Y"):
                assert speak.put(motors.pv(f"{name}:RBV"), place) is None
        for group in ("{L", "{U", "{D"):
            for prefix in prefixes_of(self.ioc, group).values():
                wait_for(lambda prefix=prefix: rests(prefix, place), what=f"{prefix} at {place:g}")

    def prepare(self) -> None:
        """Commit the base at home, and use each way where its place is."""
        self.go(HOME)
        for group in set(GROUPS.values()):
            for prefix in prefixes_of(self.ioc, group).values():
                position = POSITION if group != "{N" else {}
                assert speak.request(prefix, speak.commit_text("base", position=position))["outcome"] == "accepted"
        for place in (HOME, AWAY):
            self.go(place)
            for group in set(GROUPS.values()):
                for way, prefix in prefixes_of(self.ioc, group).items():
                    if WAYS[way].place == place:
                        self._use(WAYS[way], prefix)
        self.go(HOME)

    def _use(self, way: Way, prefix: str) -> None:
        if way.put is None:
            put_by_command(self.call, prefix, way.option)
        else:
            way.put(prefix)

    def enter(self, state: str) -> None:
        """Bring the links into a state."""
        if state != "disconnected":
            self.go(AWAY if state == "away" else HOME)
        energy = 1.1 * ENERGY if state == "contradicting energy" else ENERGY
        assert speak.put(self._motors.pv("Energy"), energy) is None
        if state == "other units":
            assert speak.put(self._motors.pv("Y:RBV.EGU"), "V") is None
        if state == "disconnected":
            self._mortal.kill()
        for prefix in prefixes_of(self.ioc, GROUPS[state]).values():
            wait_for(lambda prefix=prefix: has_seen(prefix, state, energy), what=f"{prefix} {state}")


def link_texts(motors: Any, mortal: Any) -> dict[str, str]:
    energy = motors.link("energy", "Energy", kind="energy", units="keV", tolerance=1e-4)
    settle = "settle = 0.2\nfollow = false\n"
    return {
        "{N": "",
        "{L": settle + motors.link("z", "Z:RBV") + energy,
        "{U": settle + motors.link("z", "Y:RBV") + energy,
        "{D": settle + mortal.link("z", "Z:RBV") + energy,
    }


def links_of(prefix: str) -> tuple[LinkState, ...]:
    return parse_links(speak.get(f"{prefix}Links_RBV"))


def rests(prefix: str, place: float) -> bool:
    z, energy = links_of(prefix)
    return z.value == place and not (z.unknown_because or energy.unknown_because)


def has_seen(prefix: str, state: str, energy_now: float) -> bool:
    """Return whether the IOC has decided about a state of the links."""
    snapshot = speak.snapshot(prefix)
    if state == "no links":
        return bool(snapshot["status"] == "UNWATCHED")
    z, energy = links_of(prefix)
    if state in ("other units", "disconnected"):
        return z.unknown_because is not None and not z.moving and snapshot["status"] == "UNKNOWN"
    known = {row["name"]: row for row in snapshot["link_states"]}
    settled = energy.value == energy_now and not (energy.unknown_because or z.unknown_because)
    back = all(link.within is not False or not is_back(link) for link in (z, energy))
    return settled and back and known["energy"]["value"] == energy_now and snapshot["status"] != "MOVING"


def is_back(link: LinkState) -> bool:
    """Return whether a link is within its tolerance, though not for long enough yet."""
    return link.calibrated is not None and abs(link.value - link.calibrated) < (link.tolerance or 0.0)


def look(devices: Mapping[str, CalibrationData], run_engine: RunEngine, call: Shell, folder: Path, state: str) -> Cells:
    """Read a state in every place."""
    cells: Cells = {}
    run: dict[str, list[Any]] = {}
    run_engine(bp.count([*devices.values()]), lambda kind, document: run.setdefault(kind, []).append(document))
    results = {each.detector: each for each in recorded(run)}
    listed = json.loads(call("status", *(device.prefix for device in devices.values()), "--json").stdout)
    by_command = {snapshot["prefix"]: snapshot["status"] for snapshot in listed}
    configuration = run["descriptor"][0]["configuration"]
    for way, device in devices.items():
        text = speak.read([f"{device.prefix}Status_RBV"], aioca.DBR_STRING)[0]
        result = results[device.name]
        found = {
            "Status_RBV": str(text),
            "severity": "VALID" if text.severity == 0 else f"severity {text.severity}",
            "descriptor": configuration[device.name]["data"][f"{device.name}_status"],
            "integrator": used(lambda: azimuthal_integrator(run, detector=device.name)),  # noqa: B023
            "PONI file": in_poni(result, folder / f"{device.name}.poni"),
            "NeXus file": in_nexus(result, folder / f"{device.name}.nxs"),
            "ponikeeper status": by_command[device.prefix],
        }
        if truth(way, state) == "UNWATCHED":  # no alarm, and the geometry is given
            found["severity"] = found["severity"].replace("VALID", "UNWATCHED")
            found["integrator"] = found["integrator"].replace("VALID", "UNWATCHED")
        cells |= {(way, state, place): text for place, text in found.items()}
    return cells


def used(build: Callable[[], object]) -> str:
    """Return VALID where a geometry is given, else the status for which it is refused."""
    try:
        build()
    except NotValidError as error:
        return f"refused: {error}"
    return "VALID"


def in_poni(result: Recorded, path: Path) -> str:
    """Return the status that a PONI file has; it is only written where the geometry applies, unless it is forced."""
    allowed = used(lambda: write_poni(result, path))
    assert path.exists() == (allowed == "VALID")
    write_poni(result, path, any_status=True)
    (status,) = re.findall(r"^# status: (\w+)", path.read_text(), re.MULTILINE)
    assert applies(status) == (allowed == "VALID"), (status, allowed)
    return status


def in_nexus(result: Recorded, path: Path) -> str:
    """Return the status that a NeXus file has, as `in_poni`."""
    allowed = used(lambda: write_nexus(result, path))
    assert path.exists() == (allowed == "VALID")
    write_nexus(result, path, any_status=True)
    with h5py.File(path) as file:
        status = file["entry/calibration/status"].asstr()[()]
    assert applies(status) == (allowed == "VALID"), (status, allowed)
    return status


def leave_during(devices: Mapping[str, CalibrationData], scene: Scene, run_engine: RunEngine) -> Cells:
    """Run a plan without the guard in which the links leave after the descriptor was written."""
    run: dict[str, list[Any]] = {}

    @bpp.run_decorator()
    def plan() -> Iterator[Any]:
        yield from bps.trigger_and_read([*devices.values()])
        scene.go(AWAY)
        yield from bps.trigger_and_read([*devices.values()])

    run_engine(plan(), lambda kind, document: run.setdefault(kind, []).append(document))
    cells: Cells = {}
    for way, device in devices.items():
        with logged() as lines:
            text = used(lambda: azimuthal_integrator(run, detector=device.name, event=2))  # noqa: B023
        warned = any("at the start of the stream only" in line for line in lines)
        cells[way, LEFT, "integrator"] = "given, with a warning" if text == "VALID" and warned else text
    return cells


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what the client logs."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ponikeeper_client")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def table(cells: Cells) -> str:
    """Format the cells as a table: for each way and state what was seen, by place where the places differ."""
    head = ("way", *STATES, LEFT)
    rows = [head, *((way, *(summary(cells, way, state) for state in head[1:])) for way in WAYS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ("---",) * len(head), *rows[1:]))


def summary(cells: Cells, way: str, state: str) -> str:
    """Return the statuses that were seen in one state; those of `Status_RBV` first."""
    texts = [cells[way, state, place].partition(":")[0] for place in PLACES if (way, state, place) in cells]
    names = [text for text in texts if text in Status.__members__ or state == LEFT]
    return ", ".join(dict.fromkeys(names))


def test_geometry_that_does_not_apply_looks_valid_nowhere_and_one_that_applies_is_given_everywhere(
    make_ioc, make_motors, make, run_engine, call, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    motors, mortal = make_motors().start(), make_motors().start()
    texts = link_texts(motors, mortal)
    detectors = tuple(f"{group}et:{number}}}Calib:" for group in texts for number in range(len(WAYS)))
    more = {detector: texts[detector[:2]] for detector in detectors}
    ioc = make_ioc(detectors=detectors, more=more, other_ports=(motors.port, mortal.port)).start()
    scene = Scene(ioc, motors, mortal, call)
    scene.prepare()
    devices = {
        group: {
            way: make(CalibrationData, prefix, f"{group[1].lower()}{number}")
            for number, (way, prefix) in enumerate(prefixes_of(ioc, group).items())
        }
        for group in texts
    }
    cells: Cells = {}
    for state in STATES:
        scene.enter(state)
        folder = tmp_path / state
        folder.mkdir()
        cells |= look(devices[GROUPS[state]], run_engine, call, folder, state)
        if state == "at home":
            cells |= leave_during(devices[GROUPS[state]], scene, run_engine)
    print(f"\n{table(cells)}")
    looks_valid = [cell for cell, text in cells.items() if cell[1] != LEFT and not truth(*cell[:2]) and applies(text)]
    not_given = {cell: text for cell, text in cells.items() if cell[1] != LEFT and truth(*cell[:2]) not in ("", text)}
    silent = [cell for cell, text in cells.items() if cell[1] == LEFT and text == "VALID"]
    print(f"{len(cells)} cells; wrong or unverified, though it looks valid: {len(looks_valid) + len(silent)}")
    assert (looks_valid, silent) == ([], [])
    assert not_given == {}
