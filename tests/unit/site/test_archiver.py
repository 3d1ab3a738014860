"""The PVs that the archiver records."""

import json

from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, Kind
from ponikeeper.site.archiver import archiver_request


def test_archived_pvs_are_monitored_and_include_the_geometry(config):
    rows = json.loads(archiver_request(config))
    assert {row["samplingmethod"] for row in rows} == {"MONITOR"}
    names = [row["pv"] for row in rows]
    assert len(names) == len(set(names))
    wanted = {
        pv.suffix for pv in DETECTOR_PVS if pv.parameter and pv.suffix.endswith("_RBV") and pv.kind is not Kind.TEXT
    }
    for prefix in ("XF:28ID1-ES{Det:PE1}Calib:", "XF:28ID1-ES{Det:PE2}Calib:"):
        there = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        assert there >= wanted | {"Revision_RBV", "Serial_RBV", "Status_RBV"}


def test_archived_pvs_are_readbacks_and_not_long_texts():
    archived = [pv for pv in (*DETECTOR_PVS, *IOC_PVS) if pv.archived]
    assert not [pv.suffix for pv in archived if pv.writable or pv.kind is Kind.TEXT]
