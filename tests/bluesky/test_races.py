"""Two clients commit geometries as fast as they can, and no reader ever receives a mixture of two."""

import bluesky.plans as bp
import pytest

from live import wait_for
from panels import FlatPanel
from ponikeeper.geometry.parameters import NAMES
from ponikeeper_client import documents
from writer import is_mixed, number_of, whole, writing

ACTIVATIONS = 20
"""Number of serials of which more must be seen."""


def read_and_run(panel, take, reads, runs):
    """Read and take runs while others write; return the serials that were seen, and how many were mixed.

    It reads at least `reads` times, and on until it has seen more than `ACTIVATIONS`: reading may be faster.
    """
    seen, torn = [], 0

    def read():
        nonlocal torn
        values = {key.removeprefix("pe1_calib_"): row["value"] for key, row in panel.calib.read_configuration().items()}
        seen.append(values["serial"])
        torn += is_mixed(values)
        return len(set(seen)) > ACTIVATIONS

    for _ in range(reads):
        read()
    wait_for(read, what="the sight of enough activations")
    for _ in range(runs):
        (descriptor,) = take(bp.count([panel]))["descriptor"]
        data = descriptor["configuration"]["pe1"]["data"]
        seen.append(data["pe1_calib_serial"])
        torn += is_mixed({name: data[f"pe1_calib_{name}"] for name in (*NAMES, "detector_config")})
        assert documents.geometry(descriptor) == whole(number_of(data["pe1_calib_detector"]))
    return seen, torn


def check(make_ioc, make, take, reads, runs):
    ioc = make_ioc().start()
    panel = make(FlatPanel, ioc.prefix.removesuffix("Calib:"), "pe1")
    with writing(ioc.prefix):
        wait_for(lambda: panel.calib.read_snapshot().serial > 10)
        seen, torn = read_and_run(panel, take, reads, runs)
    print(
        f"\n{len(seen) - runs} reads and {runs} runs saw {len(set(seen))} of {seen[-1]} activations; {torn} were mixed"
    )
    assert torn == 0
    assert seen == sorted(seen), "a serial went back"
    assert len(set(seen)) > ACTIVATIONS
    methods = {panel.calib.read_snapshot().provenance["method"]}
    assert methods <= {"gui", "poni"}


def test_no_read_and_no_run_mixes_two_geometries(make_ioc, make, take):
    check(make_ioc, make, take, reads=700, runs=10)


@pytest.mark.campaign
def test_no_read_and_no_run_mixes_two_geometries_at_length(make_ioc, make, take):
    check(make_ioc, make, take, reads=5000, runs=100)
