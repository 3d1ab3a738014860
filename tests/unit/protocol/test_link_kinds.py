"""The table of link kinds: each row is complete, and the configuration accepts each kind."""

import pytest

from ponikeeper.config import Link
from ponikeeper.protocol import LinkState, is_within, measures_beam, nominal_value, wavelength_of
from ponikeeper.protocol.link_kinds import LINK_KINDS

ROWS = [
    (name, units)
    for name, kind in LINK_KINDS.items()
    for units in (kind.beam.units if kind.beam else ["mm"] if kind.has_tolerance else [""])
]


@pytest.mark.parametrize(("kind", "units"), ROWS)
def test_every_kind_can_be_configured_and_converts_there_and_back(kind, units):
    link = Link(name="x", pv="X", kind=kind, units=units, tolerance=0.5 if LINK_KINDS[kind].has_tolerance else None)
    assert is_within(link, 1.0, 1.0)
    assert is_within(link, 14.0, 10.0) is LINK_KINDS[kind].is_relative
    value = nominal_value(link, 1.66e-11)
    assert (value is None) is not measures_beam(link)
    if value is not None:
        assert wavelength_of(link, value) == pytest.approx(1.66e-11, rel=1e-12)


def test_motor_does_not_determine_the_wavelength():
    link = Link(name="z", pv="Z", kind="motor", units="mm", tolerance=0.5)
    with pytest.raises(ValueError, match="link z of kind motor does not determine the wavelength"):
        wavelength_of(link, 1.0)


def test_kind_that_only_a_newer_ioc_knows_is_treated_as_a_motor():
    link = LinkState("t", "T", "temperature", "K", 0.5, 300.0, 300.0, False, True)
    assert is_within(link, 300.5, 300.0)
    assert not measures_beam(link)
