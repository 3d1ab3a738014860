"""The tools of others, where PATH has them: pvget, pvput, pvmonitor of EPICS base, and the same of pvxs."""

import json
import math
import re
import shutil
import subprocess

import pytest

import speak
from live import wait_for
from ponikeeper.protocol.geometry_structure import NAME
from ponikeeper.protocol.pvs import DETECTOR_PVS, Kind
from pva_clients import put, searching
from speak import GEOMETRY

BASE, PVXS = ("pvget", "pvput", "pvmonitor"), ("pvxget", "pvxput", "pvxmonitor")
needs_base = pytest.mark.skipif(not all(map(shutil.which, BASE)), reason="PATH has no pvget, pvput, pvmonitor")
needs_pvxs = pytest.mark.skipif(not all(map(shutil.which, PVXS)), reason="PATH has no pvxget, pvxput, pvxmonitor")
pytestmark = pytest.mark.campaign


@pytest.fixture
def tool(ioc, client):
    """Run a tool on a detector with a geometry; return its exit status and what it prints."""
    assert put(client, f"{ioc.prefix}{NAME}", {**GEOMETRY, "detector_config": "{}", "label": "near"}) is None
    assert put(client, f"{ioc.prefix}Follow", {"value.index": 1}) is None

    def run(name, *arguments):
        command = [name, "-w", "20", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=searching(ioc))
        return done.returncode, done.stdout + done.stderr

    return run


@needs_base
def test_pvget_has_the_value_of_channel_access_of_each_pv(ioc, tool):
    pvs = [pv for pv in DETECTOR_PVS if pv.suffix != "Alive_RBV"]
    code, text = tool("pvget", "-M", "json", *(ioc.prefix + pv.suffix for pv in pvs))
    assert code == 0
    differing = []
    for pv in pvs:
        name = ioc.prefix + pv.suffix
        written = re.search(rf"^{re.escape(name)} +{{value:(?:{{index:)?(.*?),(?:choices|alarm):", text, re.MULTILINE)
        value, expected = json.loads(written[1], strict=False), speak.get(name)
        both_nan = pv.kind is Kind.DOUBLE and math.isnan(value) and math.isnan(expected)
        differing += [] if both_nan or value == expected else [(name, value, expected)]
    print(f"{len(pvs)} PVs, {len(differing)} differ")
    assert differing == []


@needs_base
def test_pvput_puts_values_states_and_parts_and_prints_the_reason_of_a_refusal(ioc, tool):
    geometry = ioc.prefix + NAME
    assert tool("pvput", "-q", f"{ioc.prefix}Dist", "0.31")[0] == 0
    assert speak.get(f"{ioc.prefix}Dist_RBV") == 0.31
    assert tool("pvput", "-q", f"{ioc.prefix}Follow", "Off")[0] == 0
    assert speak.get(f"{ioc.prefix}Follow_RBV") == 0
    assert tool("pvput", "-q", geometry, "dist=0.32", "poni1=0.12", "label=far")[0] == 0
    assert tool("pvput", "-q", geometry, '{"provenance": "{\\"method\\": \\"fit\\", \\"n_rings\\": 7}"}')[0] == 0
    snapshot = speak.snapshot(ioc.prefix)
    assert (snapshot["geometry"]["dist"], snapshot["geometry"]["poni1"]) == (0.32, 0.12)
    assert snapshot["provenance"]["n_rings"] == 7
    for name, value in ((f"{ioc.prefix}Dist", "234.5"), (geometry, "dist=234.5")):
        code, text = tool("pvput", "-q", name, value)
        assert (code, "Error: dist 234.5 m looks like millimetre: write 0.2345" in text) == (1, True), text
    code, text = tool("pvput", "-q", f"{ioc.prefix}Dist_RBV", "0.3")
    assert (code, f"is a readback and cannot be put: put {ioc.prefix}Dist instead" in text) == (1, True), text
    assert speak.snapshot(ioc.prefix)["revision"] == snapshot["revision"]


@needs_pvxs
def test_pvxs_tools_get_put_and_print_the_reason_of_a_refusal(ioc, tool):
    geometry = ioc.prefix + NAME
    assert tool("pvxput", geometry, "dist=0.33", 'provenance={"method": "fit", "n_rings": 8}')[0] == 0
    assert tool("pvxput", f"{ioc.prefix}Follow", "value.index=0")[0] == 0
    assert speak.get(f"{ioc.prefix}Follow_RBV") == 0
    code, text = tool("pvxget", "-r", "field(dist,provenance,revision)", geometry)
    snapshot = speak.snapshot(ioc.prefix)
    assert (snapshot["geometry"]["dist"], snapshot["provenance"]["n_rings"]) == (0.33, 8)
    assert code == 0
    assert "dist double = 0.33\n" in text
    assert f"revision int32_t = {snapshot['revision']}\n" in text
    assert '\\"n_rings\\": 8' in text
    code, text = tool("pvxput", geometry, "dist=234.5")
    assert (code, "dist 234.5 m looks like millimetre: write 0.2345" in text) == (1, True), text


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("pvmonitor", "-M", "json", "-r", "dist,poni1"), marks=needs_base),
        pytest.param(("pvxmonitor", "-r", "field(dist,poni1)"), marks=needs_pvxs),
    ],
    ids=["base", "pvxs"],
)
def test_monitor_prints_whole_geometries_to_the_last_commit(ioc, client, tool, tmp_path, command):
    commits, pv, path = 50, ioc.prefix + NAME, tmp_path / "updates"
    command = ("stdbuf", "-oL", *command, pv)
    with path.open("w") as file, subprocess.Popen(command, stdout=file, env=searching(ioc)) as done:
        try:
            wait_for(lambda: "poni1" in path.read_text())
            for number in range(1, commits + 1):
                dist = 0.2 + number * 1e-3
                assert put(client, pv, {"dist": dist, "poni1": dist / 4}) is None
            last = f"{0.2 + commits * 1e-3:g}"
            wait_for(lambda: pairs(path)[-1][0] == pytest.approx(float(last)), what=f"the update with {last}")
        finally:
            done.terminate()
    updates = pairs(path)
    torn = [(dist, poni1) for dist, poni1 in updates[1:] if poni1 != pytest.approx(dist / 4, rel=1e-5)]
    print(f"{command[2]}: {len(updates)} updates of {commits} commits, {len(torn)} torn")
    assert torn == []


def pairs(path):
    """Return distance and first coordinate of each whole update that was printed."""
    text = re.sub(r"[^\n]*\Z", "", path.read_text())
    numbers = re.findall(r"\b(dist|poni1)(?:\"?:| double = )([\d.e-]+)", text)
    updates = zip(numbers[::2], numbers[1::2], strict=False)
    assert all((one[0], other[0]) == ("dist", "poni1") for one, other in zip(numbers[::2], numbers[1::2], strict=False))
    return [(float(one[1]), float(other[1])) for one, other in updates]
