"""Two clients commit whole geometries as fast as they can, and no reader ever sees parts of two."""

import contextlib
import subprocess
import sys
from pathlib import Path

import bluesky.plans as bp
import pytest

from live import wait_for
from panels import FlatPanel
from ponikeeper import strictjson
from ponikeeper.parameters import NAMES
from ponikeeper_client import documents
from writer import number_of, whole

WRITER = Path(__file__).parents[1] / "writer.py"


@contextlib.contextmanager
def writing(prefix):
    """Let one process write by Request, another by Poni."""
    ways = (("request", "1"), ("poni", "2"))
    writers = [
        subprocess.Popen([sys.executable, str(WRITER), prefix, *way], stdout=subprocess.PIPE, text=True) for way in ways
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        yield writers
        assert [writer.poll() for writer in writers] == [None, None], "a writer ended before its readers"
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()


def mixed(values):
    """Tell whether values, by plain names, are not those of one geometry."""
    expected = whole(number_of(values["detector"])).as_dict()
    found = {name: values[name] for name in NAMES} | {"detector_config": strictjson.loads(values["detector_config"])}
    return found != expected


def read_and_run(panel, take, reads, runs):
    """Read and take runs while others write; give the serials that were seen, and how many were mixed."""
    seen, torn = [], 0
    for _ in range(reads):
        values = {key.removeprefix("pe1_calib_"): row["value"] for key, row in panel.calib.read_configuration().items()}
        seen.append(values["serial"])
        torn += mixed(values)
    for _ in range(runs):
        (descriptor,) = take(bp.count([panel]))["descriptor"]
        data = descriptor["configuration"]["pe1"]["data"]
        seen.append(data["pe1_calib_serial"])
        torn += mixed({name: data[f"pe1_calib_{name}"] for name in (*NAMES, "detector_config")})
        assert documents.geometry(descriptor) == whole(number_of(data["pe1_calib_detector"]))
    return seen, torn


def check(make_ioc, make, take, reads, runs):
    ioc = make_ioc().start()
    panel = make(FlatPanel, ioc.prefix.removesuffix("Calib:"), "pe1")
    with writing(ioc.prefix):
        wait_for(lambda: panel.calib.read_snapshot().serial > 10)
        seen, torn = read_and_run(panel, take, reads, runs)
    print(f"\n{reads} reads and {runs} runs saw {len(set(seen))} of {seen[-1]} activations; {torn} were mixed")
    assert torn == 0
    assert seen == sorted(seen), "a serial went back"
    assert len(set(seen)) > 20
    methods = {panel.calib.read_snapshot().provenance["method"]}
    assert methods <= {"gui", "poni"}


def test_no_read_and_no_run_mixes_two_geometries(make_ioc, make, take):
    check(make_ioc, make, take, reads=700, runs=10)


@pytest.mark.campaign
def test_no_read_and_no_run_mixes_two_geometries_at_length(make_ioc, make, take):
    check(make_ioc, make, take, reads=5000, runs=100)
