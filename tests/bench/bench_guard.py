"""Duration of a run of 100 events with the guard, compared with the same run without it.

python tests/bench/bench_guard.py [RUNS]
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

from panels import FlatPanel
from ponikeeper.geometry import Geometry
from ponikeeper_client.guard import calibration_guard
from strategies import VALUES

EVENTS = 100


def main(runs):
    run_engine = RunEngine({}, context_managers=[])
    plans = {"without": lambda plan: plan, "with the guard": calibration_guard}
    durations = {name: [] for name in plans}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(LiveIoc(Path(folder), conftest._PORTS[0], "BENCH")) as ioc,
    ):
        panel = FlatPanel(ioc.prefix.removesuffix("Calib:"), name="panel")
        panel.wait_for_connection(timeout=30)
        panel.calib.set(Geometry(**VALUES)).wait(timeout=30)
        for _ in range(runs):
            for name, guarded in plans.items():
                began = time.perf_counter()
                run_engine(guarded(bp.count([panel], EVENTS)))
                durations[name].append(1e3 * (time.perf_counter() - began) / EVENTS)
        panel.destroy()
    medians = {name: statistics.median(values) for name, values in durations.items()}
    for name, median in medians.items():
        print(f"{name:16} {median:6.2f} ms for an event (median of {runs} runs)")
    without, guarded = medians.values()
    print(f"the guard takes {guarded - without:.2f} ms for an event")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
