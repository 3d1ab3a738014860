"""The same PVs with the clients that sites use: aioca, pyepics, caproto, and EPICS base if it is installed."""

import json
import shutil
import subprocess
import sys

import pytest

from live import wait_for
from speak import GEOMETRY, commit_text, get, put, results, snapshot

PYEPICS = """
import json, sys
import ophyd, epics
prefix, new = sys.argv[1], float(sys.argv[2])
seen = []
monitored = epics.PV(prefix + "Snapshot_RBV", auto_monitor=True)
monitored.wait_for_connection(20)
value = {
    "double": epics.caget(prefix + "Dist_RBV"),
    "string": epics.caget(prefix + "Detector_RBV"),
    "enum": epics.caget(prefix + "Status_RBV", as_string=True),
    "text": epics.caget(prefix + "Snapshot_RBV", as_string=True),
    "units": epics.PV(prefix + "Dist_RBV", form="ctrl").get_ctrlvars()["units"],
    "put": epics.caput(prefix + "Dist", new, wait=True, timeout=20),
    "refused": epics.caput(prefix + "Dist", -1.0, wait=True, timeout=20),
    "after": epics.caget(prefix + "Dist_RBV"),
}
print(json.dumps(value))
"""

CAPROTO = """
import json, sys
from caproto.threading.client import Context
prefix, new = sys.argv[1], float(sys.argv[2])
names = ["Dist_RBV", "Detector_RBV", "Status_RBV", "Snapshot_RBV", "Dist"]
with Context() as context:
    dist, detector, status, text, setpoint = context.get_pvs(*[prefix + name for name in names])
    for pv in (dist, detector, status, text, setpoint):
        pv.wait_for_connection(timeout=20)
    value = {
        "double": dist.read().data[0],
        "string": detector.read().data[0].decode(),
        "enum": status.read(data_type="control").metadata.enum_strings[status.read().data[0]].decode(),
        "text": bytes(text.read().data).decode(),
        "units": dist.read(data_type="control").metadata.units.decode(),
    }
    setpoint.write([new], wait=True, timeout=20)
    try:
        setpoint.write([-1.0], wait=True, timeout=2)  # this client does not take up the error
        value["refused"] = "no error"
    except Exception as error:
        value["refused"] = type(error).__name__
    value["after"] = dist.read().data[0]
print(json.dumps(value))
"""


@pytest.fixture
def calibrated(prefix):
    """Prefix of a detector with an active geometry."""
    assert put(f"{prefix}Request", commit_text()) is None
    return prefix


def expected(prefix):
    """Read with aioca the values that the others should see."""
    values = {"double": get(f"{prefix}Dist_RBV"), "string": get(f"{prefix}Detector_RBV"), "units": "m"}
    return values | {"enum": "UNWATCHED", "text": get(f"{prefix}Snapshot_RBV")}


def output_of(program, prefix, new):
    done = subprocess.run(
        [sys.executable, "-c", program, prefix, str(new)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("program", [PYEPICS, CAPROTO], ids=["pyepics", "caproto"])
def test_client_sees_the_same_values_and_its_puts_are_transactions(calibrated, program):
    before = expected(calibrated)
    output = output_of(program, calibrated, 0.3)
    assert {key: output[key] for key in before} == before
    assert json.loads(output["text"])["geometry"] == {**GEOMETRY, "detector_config": {}}
    assert output["after"] == get(f"{calibrated}Dist_RBV") == 0.3
    assert output["refused"] != "no error"
    assert [result["outcome"] for result in results(calibrated)] == ["refused", "accepted", "accepted"]


def command(name):
    """Find a program of EPICS base, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} of EPICS base is not installed")
    return found


def test_caget_and_caput_of_epics_base_behave_like_the_others(calibrated):
    caget, caput = command("caget"), command("caput")

    def run(*words):
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    assert float(run(caget, "-t", "-g", "17", f"{calibrated}Dist_RBV").stdout) == GEOMETRY["dist"]
    assert run(caget, "-t", f"{calibrated}Detector_RBV").stdout.strip() == "Perkin"
    assert run(caget, "-t", f"{calibrated}Status_RBV").stdout.strip() == "UNWATCHED"
    assert '"revision": 1' in run(caget, "-t", "-S", f"{calibrated}Snapshot_RBV").stdout.replace("\\", "")
    run(caput, "-c", f"{calibrated}Dist", "0.3")
    assert snapshot(calibrated)["geometry"]["dist"] == 0.3
    assert "failed" in run(caput, "-c", f"{calibrated}Dist", "-1").stderr


def test_client_of_caproto_without_threads_reads_and_writes(calibrated):
    # a repeater that it starts would keep its pipes open
    program = (
        "import sys; from caproto.sync.client import read, write; p = sys.argv[1];"
        "write(p + 'Rot1', [0.05], notify=True, repeater=False); print(read(p + 'Rot1_RBV', repeater=False).data[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, calibrated], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 0.05
    wait_for(lambda: get(f"{calibrated}Rot1_RBV") == 0.05)
