"""Checks of packages with an eleventh parameter, `offset`, in a process of its own.

`tests/slow/test_eleventh_parameter.py` makes the packages and puts them first in the path.
"""

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from ophyd.sim import make_fake_device

from keeper_bench import BY, NEAR, PREFIX, run
from ponikeeper.cli.history import csv_text
from ponikeeper.cli.rendering import diff_table, snapshot_table
from ponikeeper.geometry import Geometry
from ponikeeper.history import history_file
from ponikeeper.protocol import Commit, Snapshot
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.protocol.text_tables import compare_text
from ponikeeper.site.screens.detector import detector
from ponikeeper.store.opening import open_storage
from ponikeeper_client import documents
from ponikeeper_client.device import CalibrationData
from stores import NAME, store_of_0_1
from strategies import VALUES

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
OFFSET = 0.0125


def old_records() -> None:
    """A history file and a store of 0.1 are read with the default, and their forms and checksums match."""
    history = history_file.read((UNIT / "history" / "export_of_0_1.jsonl").read_bytes())
    assert history.revisions
    assert history_file.read(history_file.write(history)) == history
    assert {revision.geometry.offset for revision in history.revisions} == {0.0}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_storage(store_of_0_1(Path(folder) / "state" / NAME))) as storage,
    ):
        while storage.verify_next():
            pass


def commits() -> None:
    """A value is committed, survives a restart, and another put keeps it."""

    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        for value in ({"offset": OFFSET}, {"dist": 0.4}):
            result = await bench.keeper.execute(Commit(value, {"method": "manual"}, edit=True), BY)
            assert result.outcome == "accepted", result.errors
        too_large = await bench.keeper.execute(Commit({"offset": 2.0}, {"method": "manual"}, edit=True), BY)
        assert too_large.errors == ("offset 2.0 m is out of range: expected -1 <= offset <= 1 m",)

    async def after(bench):
        geometry = bench.keeper.state.revision.geometry
        assert (geometry.dist, geometry.offset) == (0.4, OFFSET)

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / NAME, work, after)


def pvs() -> None:
    """The contract has its three PVs, and the screen its row, which lies on no other."""
    by_suffix = {pv.suffix: pv for pv in DETECTOR_PVS}
    assert (by_suffix["Offset"].limits, by_suffix["Offset_RBV"].units) == ((-1.0, 1.0), "m")
    assert by_suffix["Stage:Offset"].writable
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.bob"
        detector().write(path)
        assert "$(P)Stage:Offset" in path.read_text()


def runs() -> None:
    """A run records the value; a run from before has the default."""
    geometry = Geometry.parse({**VALUES, "offset": OFFSET})
    snapshot = Snapshot(PREFIX, "VALID", "", 1, 1, "uid", "sha256:0", geometry=geometry)
    recorded = documents.configuration(snapshot, "pe1_calib")
    assert recorded.data_keys["pe1_calib_offset"]["units"] == "m"
    descriptor = {"configuration": {"pe1": {"data": dict(recorded.data), "data_keys": dict(recorded.data_keys)}}}
    assert documents.geometry(descriptor) == geometry
    del descriptor["configuration"]["pe1"]["data"]["pe1_calib_offset"]
    assert documents.geometry(descriptor) == replace(geometry, offset=0.0)


def device() -> None:
    """The component of the device shows and commits the value."""
    fake = make_fake_device(CalibrationData)("NO{Such}Calib:", name="calib")
    fake.set({**VALUES, "offset": OFFSET}).wait(10)
    assert fake.offset.get() == OFFSET
    assert fake.read_configuration()["calib_offset"]["value"] == OFFSET


def texts() -> None:
    """The tables and the CSV have the value, also of a revision that is older."""
    history = history_file.read((UNIT / "history" / "export_of_0_1.jsonl").read_bytes())
    old = history.revisions[0]
    new = replace(old, number=2, geometry=replace(old.geometry, offset=OFFSET))
    assert f"{OFFSET:g} m" in compare_text(new, old)
    active = snapshot_table(Snapshot(PREFIX, "VALID", "", 1, 1, geometry=new.geometry))
    assert "offset" in list(active.columns[0].cells)
    difference = diff_table(PREFIX, old.as_dict(), new.as_dict())
    assert f"{OFFSET:+g} m" in list(difference.columns[3].cells)
    names, *rows = csv_text(SimpleNamespace(revisions=[new, old], corrections=[], undone=frozenset()), 2).splitlines()
    assert [row.split(",")[names.split(",").index("offset")] for row in rows] == ["0.0", str(OFFSET)]


if __name__ == "__main__":
    for check in (old_records, commits, pvs, runs, device, texts):
        check()
