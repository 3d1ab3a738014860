"""The links of one detector: their PVs, their states, and when a change is reported."""

import asyncio
from dataclasses import replace

import pytest

from ponikeeper.config import Link
from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.history import Revision
from ponikeeper.protocol.link_units import Egu
from stores import GEOMETRY

MOTOR = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05)


WATCHED = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05, moving="Z.MOVN")


ENERGY = Link(name="energy", pv="E", kind="energy", units="keV", tolerance=1e-4)


SETTLE = 2.0


def says(value):
    return Sample(connected=True, value=value, egu=Egu(""))


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def revision(position, wavelength=GEOMETRY.wavelength):
    return Revision(7, "uid", "time", None, replace(GEOMETRY, wavelength=wavelength), position, {}, "checksum")


def test_one_pv_may_be_that_of_several_links(clock):
    shared = Link(name="again", pv="Z.RBV", kind="equal")
    linked = LinkStates([WATCHED, shared, ENERGY], SETTLE, clock)
    assert linked.pvs == {"Z.RBV", "Z.MOVN", "E"}
    linked.update("Z.RBV", says(7.0))
    linked.update("Z.MOVN", says(0.0))
    linked.update("unknown PV", says(1.0))
    linked.set_reference(revision({"z": {"value": 6.0, "units": "mm"}}))
    z, again, energy = linked.states()
    assert (z.value, z.calibrated, z.within, z.moving, z.connected) == (7.0, 6.0, False, True, True)
    assert (again.value, again.within, again.moving, energy.connected) == (7.0, None, True, False)


@pytest.mark.parametrize(
    ("position", "calibrated", "within"),
    [
        ({"energy": {"value": 75.0, "units": "keV"}}, 75.0, True),
        ({"energy": {"value": 76.0, "units": "keV"}}, 76.0, False),
        ({}, None, False),  # by the wavelength, which is for 74.69 keV
        (None, None, False),
        ({"energy": {"value": 75000.0, "units": "eV"}}, 75.0, True),
        ({"energy": {"value": 0.165, "units": "angstrom"}}, None, False),
    ],
)
def test_energy_that_was_not_recorded_is_compared_with_the_wavelength(clock, position, calibrated, within):
    linked = LinkStates([ENERGY], 0.0, clock)
    linked.update("E", says(75.0))
    linked.set_reference(revision(position, wavelength=1.66e-11))
    (energy,) = linked.states()
    assert (energy.calibrated, energy.within) == (calibrated, within)
    linked.update("E", says(74.69))
    clock.now += 1.0
    linked.set_reference(revision({}, wavelength=1.66e-11))
    assert linked.states()[0].within is True


def test_link_that_comes_to_rest_while_nothing_waits_is_reported(clock):
    async def work():
        linked = LinkStates([MOTOR], SETTLE, clock)
        linked.update("Z.RBV", says(1.0))
        await linked.wait_for_change(None)
        rest = linked.next_change()
        assert rest == 102.0
        assert linked.states()[0].moving
        clock.now = 105.0
        await asyncio.wait_for(linked.wait_for_change(rest), 10.0)
        assert linked.states()[0].moving is False
        assert linked.next_change() is None

    asyncio.run(work())


def test_wait_for_a_change_reports_it_once(clock):
    async def work():
        linked = LinkStates([WATCHED], SETTLE, clock)
        waiting = asyncio.create_task(linked.wait_for_change(linked.next_change()))
        await asyncio.sleep(0)
        assert not waiting.done()
        linked.update("Z.RBV", says(1.0))
        linked.update("Z.RBV", says(2.0))
        await asyncio.wait_for(waiting, 10.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(linked.wait_for_change(None), 0.01)

    asyncio.run(work())
