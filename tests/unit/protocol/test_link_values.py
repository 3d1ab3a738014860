"""What the value of a link means: within its tolerance, as a wavelength, in a position."""

import math
from dataclasses import replace

import pytest
from hypothesis import given

from ponikeeper.config import Link
from ponikeeper.protocol import LinkState, calibrated_value, is_within, nominal_value, wavelength_of
from ponikeeper.protocol.link_values import compared, contradicts_wavelength, is_same_position
from strategies import finite

MOTOR = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05)
ENERGY = Link(name="energy", pv="E", kind="energy", units="keV", tolerance=1e-4)
WAVELENGTH = Link(name="beam", pv="W", kind="wavelength", units="m", tolerance=1e-3)
BINNING = Link(name="binning", pv="B", kind="equal")

Z = LinkState("z", "Z.RBV", "motor", "mm", 0.05, 500.0, None, moving=False, connected=True)
BEAM = LinkState("energy", "E", "energy", "keV", 1e-4, 80.0, None, moving=False, connected=True, mismatch=0.02)


def at(value, units="mm"):
    return {"z": {"value": value, "units": units}}


@pytest.mark.parametrize(
    ("link", "value", "reference", "within"),
    [
        (MOTOR, 1000.0, 1000.0, True),
        (MOTOR, 1000.03, 1000.0, True),
        (MOTOR, 10.05, 10.0, True),  # in doubles this is 0.0500000000000007 apart
        (MOTOR, 999.95, 1000.0, True),
        (MOTOR, 10.05000001, 10.0, False),
        (MOTOR, 1000.06, 1000.0, False),
        (MOTOR, -1000.0, 1000.0, False),
        (ENERGY, 75.0075, 75.0, True),
        (ENERGY, 74.9925, 75.0, True),
        (ENERGY, 75.0076, 75.0, False),
        (ENERGY, 0.0, 0.0, True),
        (ENERGY, 1e-9, 0.0, False),
        (WAVELENGTH, 1.001e-11, 1e-11, True),
        (WAVELENGTH, 1.0011e-11, 1e-11, False),
        (BINNING, 2.0, 2.0, True),
        (BINNING, 2.0, 1.0, False),
        (BINNING, math.nextafter(2.0, 3.0), 2.0, False),
    ],
)
def test_tolerance(link, value, reference, within):
    assert is_within(link, value, reference) is within


@given(finite, finite)
def test_value_is_within_the_tolerance_of_itself_and_for_motors_the_order_does_not_matter(value, other):
    assert all(is_within(link, value, value) for link in (MOTOR, ENERGY, WAVELENGTH, BINNING))
    assert is_within(MOTOR, value, other) is is_within(MOTOR, other, value)


@pytest.mark.parametrize(
    ("link", "wavelength", "value"),
    [
        (ENERGY, 1.239841984332e-11, 100.0),
        (ENERGY.model_copy(update={"units": "eV"}), 1.239841984332e-11, 100_000.0),
        (WAVELENGTH, 1.5e-11, 1.5e-11),
        (WAVELENGTH.model_copy(update={"units": "angstrom"}), 1.5e-11, 0.15),
    ],
)
def test_energy_and_wavelength_stand_for_each_other(link, wavelength, value):
    assert nominal_value(link, wavelength) == pytest.approx(value, rel=1e-12)
    assert wavelength_of(link, value) == pytest.approx(wavelength, rel=1e-12)
    assert nominal_value(MOTOR, wavelength) is None


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (None, None),
        ({}, None),
        ({"y": {"value": 1.0, "units": "mm"}}, None),
        ({"z": {"value": 1.0, "units": "mm"}}, 1.0),
        ({"z": {"value": 1.0, "units": "m"}}, 1000.0),  # the configuration said metres then
        ({"z": {"value": 1.0, "units": "deg"}}, None),
    ],
)
def test_calibrated_value(position, value):
    assert calibrated_value(MOTOR, position) == value


def test_recorded_links_are_compared_with_another_revision():
    at_500 = compared(Z, at(500.01), 1.66e-11)
    assert (at_500.calibrated, at_500.within) == (500.01, True)
    assert compared(at_500, at(1000.0), 1.66e-11).within is False
    assert compared(at_500, None, 1.66e-11).within is None
    assert compared(BEAM, None, 1.66e-11).within is False
    assert compared(replace(Z, value=None), at(1000.0), 1.66e-11).within is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, {}, False),
        (at(500.0), at(500.04), True),
        (at(500.0), at(0.5, "m"), True),
        (at(500.0), at(500.06), False),
        (at(500.0), {}, False),
        (at(500.0), at(500.0, "deg"), False),
        ({"gone": at(1.0)["z"]}, {"gone": at(1.0)["z"]}, True),
        ({"gone": at(1.0)["z"]}, {"gone": at(1.0001)["z"]}, False),
    ],
)
def test_positions_are_the_same_within_the_tolerances_of_the_links(one, other, same):
    assert is_same_position([MOTOR], one, other) is same
    assert is_same_position([MOTOR], other, one) is same


@pytest.mark.parametrize(
    ("link", "contradicts"),
    [
        (BEAM, True),
        (replace(BEAM, value=74.69 * 1.019), False),
        (replace(BEAM, value=74.69 * 0.979), True),
        (replace(BEAM, value=None), False),
        (replace(BEAM, mismatch=0.1), False),
        (replace(BEAM, mismatch=None), False),
        (replace(BEAM, out_of_service="since today"), False),
        (Z, False),
    ],
)
def test_only_an_energy_in_service_contradicts_a_wavelength(link, contradicts):
    assert contradicts_wavelength(link, 1.66e-11) is contradicts
