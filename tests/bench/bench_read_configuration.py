"""Duration of one reading of the configuration, compared with ten soft signals and one plain get.

python tests/bench/bench_read_configuration.py
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
from ophyd import Component as Cpt  # isort: skip
from ophyd import Device, Signal  # isort: skip

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES
from ponikeeper_client.device import CalibrationData
from strategies import VALUES

READS = 3000


def soft_device():
    """Make ten soft signals, as xpdAcq keeps a calibration."""
    parts = {name: Cpt(Signal, value=VALUES[name], kind="config") for name in NAMES}
    return type("Soft", (Device,), parts)(name="soft")


def times(kinds):
    """Time each kind READS times, in turn, so that all of them run under the same load (ms)."""
    found = {name: [] for name in kinds}
    for _ in range(READS):
        for name, call in kinds.items():
            began = time.perf_counter()
            call()
            found[name].append(1e3 * (time.perf_counter() - began))
    return found


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(LiveIoc(Path(folder), conftest._PORTS[0], "BENCH")) as ioc,
    ):
        calib = CalibrationData(ioc.prefix, name="calib")
        calib.wait_for_connection(timeout=30)
        calib.set(Geometry(**VALUES)).wait(timeout=30)
        found = times(
            {
                "CalibrationData.read_configuration": calib.read_configuration,
                "ten soft signals": soft_device().read_configuration,
                "one plain get of Serial_RBV (pyepics)": calib.serial_pv.get,
            }
        )
        calib.destroy()
    print(f"{READS} readings each, in turn (ms)")
    for name, values in found.items():
        cuts = statistics.quantiles(values, n=100)
        print(f"{name:<40} median {cuts[49]:7.3f}   p10 {cuts[9]:7.3f}   p99 {cuts[98]:7.3f}")


if __name__ == "__main__":
    main()
