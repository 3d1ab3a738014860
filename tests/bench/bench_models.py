"""Commits beside detectors whose models are evaluated all the time, compared with the same commits at rest, in one run.

``python tests/bench/bench_models.py [rounds]`` prints median and 95th percentile of the time (ms) until a put of one
value is completed, and how much longer it takes while the links of 20 other detectors of the IOC say ten times a second
where they are: beyond their tolerance (moving), and within it (drifting), where the geometry of each is computed,
stored and published once a second.
"""

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import conftest  # the environment of Channel Access, before any library of it is loaded

from live import LiveIoc, serving, wait_for
from motors import Motors
from ponikeeper.protocol import request_text
from rails import MIDDLE, commit_of, rail
from speak import commit_text, get, put, request, snapshot

DETECTORS = 20

SPEEDS = {"idle": 0.0, "moving": 10.0, "drifting": 0.2}
"""How far every link steps, ten times a second, there and back (mm)."""

TOLERANCE = 0.5

TURNS = 3
"""Number of changes between rest and motion, so that all run under the same load of the machine."""


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the times (s) of single puts to a detector without links, by what the others do."""
    motors = Motors("B:", conftest._free.pop(0))
    motors.names = tuple(f"M{detector}" for detector in range(DETECTORS))
    motors.place, motors.swing = MIDDLE, 0.0
    detectors = ("{Det:other}Calib:", *(f"{{Det:{number}}}Calib:" for number in range(DETECTORS)))
    more = {
        detector: "settle = 0.2\n" + motors.link("z", f"M{number}:RBV", tolerance=TOLERANCE)
        for number, detector in enumerate(detectors[1:])
    }
    motors.start()
    try:
        with serving(LiveIoc(folder, conftest._free.pop(0), "B", detectors, more, other_ports=(motors.port,))) as ioc:
            return _measure(ioc, motors, rounds)
    finally:
        motors.kill()


def percentile(times: list[float], share: float) -> float:
    """Return the time within which a share of all puts was completed."""
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


def _measure(ioc: LiveIoc, motors: Motors, rounds: int) -> dict[str, list[float]]:
    other, *modelled = ioc.prefixes
    values = (0.2 + 1e-6 * number for number in itertools.count())
    times: dict[str, list[float]] = {name: [] for name in SPEEDS}
    assert request(other, commit_text("first"))["outcome"] == "accepted"
    assert put(motors.pv("Swing"), 1) is None
    for prefix in modelled:
        text = json.loads(request_text(commit_of(rail()))) | {"request": "model"}
        assert request(prefix, json.dumps(text))["outcome"] == "accepted"
    for _ in range(TURNS):
        for name, speed in SPEEDS.items():
            assert put(motors.pv("Speed"), speed) is None
            wanted = {"idle": {"VALID"}, "moving": {"MOVING"}, "drifting": {"VALID", "MOVING"}}[name]
            for prefix in modelled:
                wait_for(lambda prefix=prefix, wanted=wanted: snapshot(prefix)["status"] in wanted, what=name)
            serials = [get(f"{prefix}Serial_RBV") for prefix in modelled]
            began = time.monotonic()
            for _ in range(rounds):
                start, value = time.perf_counter(), next(values)
                assert put(f"{other}Dist", value) is None
                times[name].append(time.perf_counter() - start)
                time.sleep(0.02)
            computed = sum(get(f"{p}Serial_RBV") - before for p, before in zip(modelled, serials, strict=True))
            print(f"{name}: {computed / (time.monotonic() - began):.1f} geometries computed a second", file=sys.stderr)
    return times


def main() -> None:
    """Print the times and their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder), rounds)
    for words, share in (("median", 0.5), ("95th percentile", 0.95)):
        idle = 1e3 * percentile(times["idle"], share)
        for name in ("moving", "drifting"):
            other = 1e3 * percentile(times[name], share)
            print(f"{words}: idle {idle:.1f} ms, {name} {other:.1f} ms, {other / idle:.2f} times as long")
    print(f"{len(times['moving'])} commits each")


if __name__ == "__main__":
    main()
