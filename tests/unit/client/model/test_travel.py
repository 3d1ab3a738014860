"""The wavelength from the travel of a stage."""

import numpy as np
import pytest

import travels
from ponikeeper_client.model.fit import fit_model
from ponikeeper_client.model.travel import TravelWavelength

PLACES = travels.along(0, 400, 800)


def travel_of(error, seed=0, **more):
    travel = travels.Travel((travels.RAIL,), seed, wavelength_error=error)
    return fit_model(travel.setup(**more), travel.members(PLACES))


def test_wavelength_that_is_too_long_is_found_with_its_sigma():
    pulls = []
    for seed in range(6):
        (found,) = travel_of(1e-3, seed).travel
        pulls.append((found.excess - 1e-3) / found.sigma)
        assert found.sigma < 1e-4
    assert 0.2 < np.sqrt(np.mean(np.square(pulls))) < 1.6


def test_it_is_reported_and_never_corrected():
    found = travel_of(1e-3)
    (note,) = found.notes
    assert note.startswith("the travel of z says that the wavelength is 0.")
    assert found.travel[0].excess == pytest.approx(1e-3, abs=1e-4)
    assert "too long, or the scale of the motor or the lattice of the standard" in note
    assert found.model.geometry.wavelength == pytest.approx(travels.WAVELENGTH * 1.001, rel=1e-12)
    assert travel_of(0.0).notes == ()


def test_uncertain_scale_of_the_motor_explains_it():
    assert travel_of(1e-3, scale_sigma={"z": 1e-3}).notes == ()


def test_travel_across_the_beam_tells_nothing():
    from dataclasses import replace

    across = replace(travels.RAIL, direction=(0.0, 1.0, 0.01))
    travel = travels.Travel((across,), wavelength_error=1e-3)
    assert fit_model(travel.setup(), travel.members(travels.along(0, 50, 100))).travel == ()


@pytest.mark.parametrize(
    ("excess", "sigma", "reported"),
    [(1e-3, 1e-4, True), (-1e-3, 1e-4, True), (1.9e-4, 1e-6, False), (5e-4, 2e-4, False)],
)
def test_difference_is_reported_beyond_three_sigma_and_a_least_size(excess, sigma, reported):
    found = TravelWavelength("z", excess, sigma)
    assert found.is_reported == reported
    assert ("too short" in found.text()) == (excess < 0)


def test_text_has_two_digits_of_the_sigma():
    assert "0.1002 +- 0.0024 % too long" in TravelWavelength("z", 1.002e-3, 2.4e-5).text()
