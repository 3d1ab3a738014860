"""The table of PVs is consistent, also with the geometry that it shows."""

import pytest

from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol import MAX_BYTES
from ponikeeper.protocol.pvs import (
    DETECTOR_PVS,
    HEADER,
    IOC_PVS,
    MAX_DESC_BYTES,
    Kind,
    Status,
    is_prefix_right,
    pv_name,
    readback,
    setpoint,
    setter_of,
    staged,
)

BY_SUFFIX = {pv.suffix: pv for pv in DETECTOR_PVS}
EVERY = (*DETECTOR_PVS, *IOC_PVS)


@pytest.mark.parametrize("pv", EVERY, ids=lambda pv: pv.suffix)
def test_every_row_is_complete(pv):
    assert 0 < len(pv.desc.encode("ascii")) <= MAX_DESC_BYTES
    assert pv.units.isascii()
    assert bool(pv.states) == (pv.kind is Kind.ENUM)
    assert pv.max_length == (1 if pv.kind is not Kind.TEXT else 256 if pv is HEADER else MAX_BYTES)
    assert (pv.suffix.endswith("_RBV") or pv.suffix.isupper()) == (not pv.writable)  # in capitals: iocStats' names
    assert pv.record_type == pv.kind.value[pv.writable]
    assert all(len(state) < 26 for state in pv.states)  # what a CA enum holds


def test_suffixes_are_unique():
    assert len(BY_SUFFIX) == len(DETECTOR_PVS)
    assert len({pv.suffix for pv in IOC_PVS}) == len(IOC_PVS)


@pytest.mark.parametrize("pv", EVERY, ids=lambda pv: pv.suffix)
def test_setter_of_a_readback_is_a_pv_that_clients_may_put(pv):
    setter = setter_of(pv)
    assert setter is None or (BY_SUFFIX[setter].writable and not pv.writable)
    assert pv.set_by is None or pv.set_by != pv.suffix.removesuffix("_RBV")


@pytest.mark.parametrize("name", [*PARAMETERS, "detector", "detector_config"])
def test_readback_of_a_value_is_set_by_its_setpoint(name):
    assert setter_of(BY_SUFFIX[readback(name)]) == setpoint(name)


@pytest.mark.parametrize(
    ("suffix", "setter"),
    [
        ("Poni_RBV", "Poni"),
        ("Label_RBV", "Label"),
        ("Revision_RBV", "Activate"),
        ("Energy_RBV", "Wavelength"),
        ("Labels:3_RBV", "Labels:Activate"),
        ("Status_RBV", None),
        ("BeamX_RBV", None),
        ("Dist", None),
    ],
)
def test_setter_of_other_readbacks(suffix, setter):
    assert setter_of(BY_SUFFIX[suffix]) == setter


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_has_setpoint_readback_and_stage_of_its_own_unit_and_limits(name):
    parameter = PARAMETERS[name]
    for suffix in (setpoint(name), readback(name), staged(name)):
        pv = BY_SUFFIX[suffix]
        assert (pv.kind, pv.parameter, pv.units, pv.precision) == (
            Kind.DOUBLE,
            name,
            parameter.unit,
            parameter.precision,
        )
        assert pv.limits == ((parameter.lower, parameter.upper) if pv.writable else None)


def test_every_value_of_a_geometry_is_there():
    shown = {pv.parameter for pv in DETECTOR_PVS if not pv.writable}
    assert shown == {*NAMES, "detector_config", None}
    assert pv_name("detector_config") == "DetectorConfig"


def test_status_indices_are_never_reused():
    assert [(status.name, status.value) for status in Status] == [
        ("UNSET", 0), ("VALID", 1), ("MOVING", 2), ("MOVED", 3), ("MISMATCH", 4), ("UNKNOWN", 5),
        ("SUPERSEDED", 6), ("RETRACTED", 7), ("UNWATCHED", 8), ("OUT_OF_RANGE", 9), ("UNCERTAIN", 10),
    ]  # fmt: skip
    assert BY_SUFFIX["Status_RBV"].states == tuple(status.name for status in Status)


def test_links_are_one_text_that_is_read_only():
    assert (BY_SUFFIX["Links_RBV"].kind, BY_SUFFIX["Links_RBV"].writable) == (Kind.TEXT, False)


@pytest.mark.parametrize(
    ("pv", "question"),
    [
        ("XF:1{Det:PE1}Calib:Snapshot_RBV", "is the prefix right"),
        ("XF:1{IOC}Version_RBV", "is the prefix right"),
        ("XF:1{Det:PE1}CalibSnapshot_RBV", "is the prefix right (is XF:1{Det:PE1}Calib: meant, with a colon)"),
        ("XF:1{Det:PE1}CalibHistory:Read", "is the prefix right (is XF:1{Det:PE1}Calib: meant, with a colon)"),
        ("motor", "is the prefix right"),
    ],
)
def test_prefix_without_its_colon_is_suspected(pv, question):
    assert is_prefix_right(pv) == question
