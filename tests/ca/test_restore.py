"""The eleven setpoints put back by a save-and-restore tool, in any order and at once, lead to the saved geometry."""

import asyncio
import contextlib
import itertools
import random

import aioca
import caproto as ca
import pytest
from aioca import DBR_CHAR_STR
from caproto import ChannelType

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.pvs import setpoint
from speak import GEOMETRY, TIMEOUT, Wire, commit_text, counters, get, put, request, run, snapshot

BINNED = {**GEOMETRY, "pixel1": 4e-4, "pixel2": 4e-4, "detector_config": {"max_shape": [1024, 1024]}}
ORIENTED = {**GEOMETRY, "rot3": 1.5707963, "detector_config": {"orientation": 2}}
PILATUS = {
    **GEOMETRY, "dist": 0.0912345678901234, "poni1": 0.08, "poni2": 0.01, "rot1": -0.29871, "wavelength": 9.7e-11,
    "detector": "Pilatus1M", "pixel1": 1.72e-4, "pixel2": 1.72e-4,
}  # fmt: skip
OWN = {
    **GEOMETRY,
    "dist": 2.5,
    "detector": "Our own",
    "pixel1": 5.5e-5,
    "pixel2": 7.5e-5,
    "detector_config": {"a": [1]},
}
SAVED = {"plain": GEOMETRY, "binned": BINNED, "oriented": ORIENTED, "other": PILATUS, "own": OWN}
ROUTES = list(itertools.permutations(SAVED, 2))


@pytest.fixture(scope="module")
def prefix(fresh_prefix):
    """Prefix of a detector that had each of the geometries once."""
    prefix = fresh_prefix()
    for name in SAVED:
        begin(prefix, name)
    return prefix


def begin(prefix, name):
    """Commit one of the geometries as a whole, so that the client has put no setpoint."""
    answer = request(prefix, commit_text(f"{name} {random.random()}", geometry=SAVED[name]))
    assert answer["outcome"] == "accepted", answer["errors"]


def save_set(prefix):
    """Read the setpoints, as a save-and-restore tool does."""
    names = [setpoint(name) for name in (*NAMES, "detector_config")]
    return [(prefix + name, get(prefix + name)) for name in names]


def active(prefix):
    return Geometry.parse(snapshot(prefix)["geometry"])


def test_pixel_sizes_of_this_test_are_not_those_that_a_detector_brings():
    assert pixel_size(OWN["detector"]) is None
    assert (BINNED["pixel1"], BINNED["pixel2"]) != pixel_size(BINNED["detector"])


@pytest.mark.parametrize("orders", [60, pytest.param(400, marks=pytest.mark.campaign)])
def test_setpoints_put_in_any_order_are_the_saved_geometry_and_none_is_refused(prefix, orders):
    """Several orders of each way from one geometry to another."""
    draw = random.Random(16)
    tried = 0
    while tried < orders:
        for start, end in ROUTES:
            begin(prefix, end)
            saved = save_set(prefix)
            begin(prefix, start)
            draw.shuffle(saved)
            order = [(pv.removeprefix(prefix), put(pv, value)) for pv, value in saved]
            assert [refusal for _, refusal in order if refusal] == [], (start, end, order)
            assert active(prefix) == Geometry.parse(SAVED[end]), (start, end, order)
            tried += 1
    assert counters(prefix)[1] == 0
    print(f"{tried} orders: each led to the saved geometry, none of {11 * tried} puts was refused")


def test_setpoints_put_at_once_are_the_saved_geometry(prefix):
    for start, end in ROUTES:
        begin(prefix, end)
        saved = save_set(prefix)
        begin(prefix, start)
        random.Random(f"{start} {end}").shuffle(saved)
        refused = together(saved)
        assert (refused, active(prefix)) == ([], Geometry.parse(SAVED[end])), (start, end)


def together(saved):
    """Put all values without waiting for any of them, as Phoebus does; return the refused ones."""

    async def put_all():
        puts = [aioca.caput(pv, value, datatype=kind(value), wait=True, timeout=TIMEOUT) for pv, value in saved]
        return await asyncio.gather(*puts, return_exceptions=True)

    return [answer for answer in run(put_all()) if not answer.ok]


def raw(value):
    """Return a value as caproto writes it, with its type."""
    if isinstance(value, float):
        return (value,), ChannelType.DOUBLE
    return (value.encode(), ChannelType.CHAR) if value.startswith("{") else ((value,), ChannelType.STRING)


def kind(value):
    return DBR_CHAR_STR if isinstance(value, str) and value.startswith("{") else None


def test_setpoints_put_by_one_circuit_each_are_the_saved_geometry(prefix, ioc_of):
    """As by eleven caput in the background: in no order, but by the same user and host."""
    for start, end in (("other", "binned"), ("own", "binned"), ("oriented", "other"), ("other", "own")):
        begin(prefix, end)
        saved = save_set(prefix)
        begin(prefix, start)
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(ioc_of(prefix).port)) for _ in saved]
            channels = [wire.channel(pv) for wire, (pv, _) in zip(wires, saved, strict=True)]
            for wire, channel, (_, value) in zip(wires, channels, saved, strict=True):
                data, as_type = raw(value)
                wire.send(channel.write(data, data_type=as_type, notify=True))
            answers = [wire.receive((ca.WriteNotifyResponse, ca.ErrorResponse)) for wire in wires]
        assert all(isinstance(answer, ca.WriteNotifyResponse) and answer.status.success for answer in answers), answers
        assert active(prefix) == Geometry.parse(SAVED[end]), (start, end)


def test_values_that_are_active_already_make_no_revision_when_they_are_restored(prefix):
    begin(prefix, "binned")
    before = snapshot(prefix)
    for pv, value in save_set(prefix):
        assert put(pv, value) is None
    assert snapshot(prefix) == before


def test_activate_restores_label_position_and_provenance(prefix):
    """What deploy/ says to put into a save set."""
    saved = get(f"{prefix}Activate")
    before = snapshot(prefix)
    assert (saved, put(f"{prefix}Dist", 0.77)) == (str(before["revision"]), None)
    assert put(f"{prefix}Activate", saved) is None
    changes = {"serial", "activated"}
    assert {k: v for k, v in snapshot(prefix).items() if k not in changes} == {
        k: v for k, v in before.items() if k not in changes
    }


def test_pixels_of_another_client_or_of_a_geometry_that_was_committed_as_a_whole_do_not_survive(prefix):
    begin(prefix, "other")
    assert put(f"{prefix}Pixel1", 4e-4) is None
    begin(prefix, "other")
    assert put(f"{prefix}Detector", "Perkin") is None
    assert active(prefix).pixel1 == pixel_size("Perkin")[0]


def test_refused_put_of_a_series_is_named_in_the_advice_until_it_is_put_again(prefix):
    begin(prefix, "plain")
    assert put(f"{prefix}Dist", 0.31) is None
    assert put(f"{prefix}Detector", "Never seen")
    assert put(f"{prefix}Rot1", 0.02) is None
    advice = get(f"{prefix}Advice_RBV")
    assert advice.startswith(
        "the active geometry is incomplete: other values of the same client were accepted, but ref"
    )
    assert 'was detector (detector "Never seen" is not in the table of detectors' in advice
    assert put(f"{prefix}Detector", GEOMETRY["detector"]) is None
    assert "incomplete" not in get(f"{prefix}Advice_RBV")
    assert put(f"{prefix}DetectorConfig", '{"orient')
    assert "but refused was detector_config (DetectorConfig is not valid JSON" in get(f"{prefix}Advice_RBV")
    assert put(f"{prefix}Undo", 1) is None
    assert "incomplete" not in get(f"{prefix}Advice_RBV")


def test_refused_put_alone_is_not_in_the_advice(prefix):
    begin(prefix, "plain")
    before = get(f"{prefix}Advice_RBV")
    assert put(f"{prefix}Rot1", 90)
    assert get(f"{prefix}Advice_RBV") == before
