"""Cost of 20 detectors: time to connect, and of a run of one event with and without the guard, for each calibration.

The last line is what event-model takes to validate the descriptor of such a run against its schema, which is part of
both.

python tests/bench/bench_many_detectors.py [RUNS]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import conftest  # sets the environment before any CA library is loaded

from live import LiveIoc, serving  # isort: skip
import bluesky.plans as bp  # isort: skip
from bluesky import RunEngine  # isort: skip
from event_model import DocumentNames, schema_validators  # isort: skip

from panels import FlatPanel
from ponikeeper.geometry import Geometry
from ponikeeper_client.guard import calibration_guard
from strategies import VALUES

DETECTORS = 20


def timed(act, runs):
    """Return the durations of a function for each detector, in ms."""
    durations = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        durations.append(1e3 * (time.perf_counter() - began) / DETECTORS)
    return durations


def main(runs):
    run_engine = RunEngine({}, context_managers=[])
    descriptors = []
    prefixes = tuple(f"{{Det:{number}}}Calib:" for number in range(DETECTORS))
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(LiveIoc(Path(folder), conftest._PORTS[0], "BENCH", prefixes)) as ioc,
    ):
        began = time.perf_counter()
        panels = [FlatPanel(prefix.removesuffix("Calib:"), name=f"p{n}") for n, prefix in enumerate(ioc.prefixes)]
        for panel in panels:
            panel.wait_for_connection(timeout=30)
        print(f"{DETECTORS} detectors are connected after {time.perf_counter() - began:.2f} s")
        for panel in panels:
            panel.calib.set(Geometry(**VALUES)).wait(timeout=30)
        run_engine(bp.count(panels), {"descriptor": lambda _, document: descriptors.append(document)})
        validator = schema_validators[DocumentNames.descriptor]
        figures = {
            "without": timed(lambda: run_engine(bp.count(panels)), runs),
            "with the guard": timed(lambda: run_engine(calibration_guard(bp.count(panels))), runs),
            "validation alone": timed(lambda: validator.validate(descriptors[0]), runs),
        }
        for panel in panels:
            panel.destroy()
    for name, durations in figures.items():
        print(
            f"{name:16} {statistics.median(durations):6.2f} ms for a calibration and run, "
            f"least {min(durations):.2f} (median of {runs} runs)"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
