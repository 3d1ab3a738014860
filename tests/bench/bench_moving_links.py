"""Commits of many detectors while all their links move, compared with the same commits at rest, in one run.

``python tests/bench/bench_moving_links.py [rounds]`` prints median and 95th percentile of the time (ms)
until a put of one value is completed, and how much longer it takes while the links move: 20 detectors,
each with three motors of its own, and every motor says ten times a second where it is.
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import conftest  # the environment of Channel Access, before any library of it is loaded

from live import LiveIoc, serving, wait_for
from motors import Motors
from ponikeeper.protocol import parse_links
from speak import commit_text, get, put, request

DETECTORS, LINKS = 20, 3

TURNS = 3
"""Number of changes between rest and motion, so that both run under the same load of the machine."""


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the times (s) of single puts, round-robin over the detectors, by whether the links move."""
    motors = Motors("B:", conftest._free.pop(0))
    motors.names = tuple(f"M{detector}-{link}" for detector in range(DETECTORS) for link in range(LINKS))
    detectors = tuple(f"{{Det:{number}}}Calib:" for number in range(DETECTORS))
    more = {
        detector: "settle = 0.2\n"
        + "".join(motors.link(f"m{link}", f"M{number}-{link}:RBV", tolerance=0.5) for link in range(LINKS))
        for number, detector in enumerate(detectors)
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
    values = (0.2 + 1e-6 * number for number in itertools.count())
    times: dict[str, list[float]] = {"idle": [], "moving": []}
    for prefix in ioc.prefixes:
        assert request(prefix, commit_text("first"))["outcome"] == "accepted"
    for _ in range(TURNS):
        for name, speed in (("idle", 0.0), ("moving", 1.0)):
            assert put(motors.pv("Speed"), speed) is None
            for prefix in ioc.prefixes:
                wait_for(lambda prefix=prefix, name=name: _links(prefix) == {name == "moving"}, what=name)
            for _ in range(rounds):
                for prefix in ioc.prefixes:
                    value = next(values)
                    began = time.perf_counter()
                    assert put(f"{prefix}Dist", value) is None
                    times[name].append(time.perf_counter() - began)
                    assert _links(prefix) == {name == "moving"}
    return times


def _links(prefix: str) -> set[bool | None]:
    """Return which of a detector's links move."""
    return {link.moving for link in parse_links(get(f"{prefix}Links_RBV"))}


def main() -> None:
    """Print the times and their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder), rounds)
    for words, share in (("median", 0.5), ("95th percentile", 0.95)):
        idle, moving = (1e3 * percentile(times[name], share) for name in ("idle", "moving"))
        print(f"{words}: idle {idle:.1f} ms, moving {moving:.1f} ms, {moving / idle:.2f} times as long")
    print(f"{len(times['moving'])} commits each")


if __name__ == "__main__":
    main()
