"""Identification of the standard in the beam: the right one is named, and nothing is accepted that is not clear."""

from dataclasses import replace

import numpy as np
import pytest

from ponikeeper.errors import FitError
from ponikeeper_client.fit._acceptance import BLIND_START, CALIBRATED_START, NOMINAL_START
from ponikeeper_client.fit.calibrants import Calibrant, calibrant, known_standards
from ponikeeper_client.fit.fit import fit_image
from ponikeeper_client.fit.identify import fit_any, named_lookalike
from powder import Scene, off_px, on_detector

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
ACTIVE = replace(TRUTH, dist=TRUTH.dist * 1.02, poni1=TRUTH.poni1 + 2e-3)
NOMINAL = replace(TRUTH, dist=TRUTH.dist * 1.12, rot1=0, rot2=0)
RIGHT = 0.1


def identify(image, start=NOMINAL, tolerance=NOMINAL_START, standards=None):
    steps = []
    result = fit_any(
        image, start, standards or known_standards(), mask=None, tolerance=tolerance,
        progress=lambda done, step: steps.append((done, step)),
    )  # fmt: skip
    assert all(0 <= done < 1 for done, _ in steps)
    return result


@pytest.mark.parametrize("name", ["LaB6", "CeO2", "Ni", "Si", "alpha_Al2O3"])
def test_the_standard_in_the_beam_is_found_from_a_nominal_distance(name):
    result = identify(Scene(TRUTH, name, counts=300).image())
    assert (result.calibrant.name, result.accepted) == (name, True)
    assert off_px(TRUTH, result.geometry) < RIGHT


@pytest.mark.parametrize("name", ["LaB6", "CeO2"])
def test_the_standard_in_the_beam_is_found_from_nothing(name):
    result = identify(Scene(TRUTH, name, counts=300).image(), tolerance=BLIND_START)
    assert result.calibrant.name == name
    assert off_px(TRUTH, result.geometry) < RIGHT


def test_a_reference_material_is_named_by_its_lattice():
    assert identify(Scene(TRUTH, "LaB6_SRM660b", counts=300).image()).calibrant.name == "LaB6"


def test_similar_lattices_that_both_fit_are_not_told_apart():
    """Another lattice constant is nearly another distance."""
    spacings = np.array(calibrant("LaB6").spacings)
    similar = [Calibrant("A", tuple(spacings)), Calibrant("B", tuple(spacings * 1.0015))]
    listed = (
        r"several standards fit, (A .* and B|B .* and A) .*name the one that is in the beam"  # the better one first
    )
    with pytest.raises(FitError, match=listed):
        identify(Scene(TRUTH, "LaB6", counts=300).image(), standards=similar)


def test_two_phases_are_refused_whichever_standard_is_tried():
    one, other = (Scene(TRUTH, name, counts=200, seed=seed).image() for name, seed in (("LaB6", 1), ("Ni", 2)))
    both = np.where(one < 0, -1, one + other)
    with pytest.raises(FitError, match=r"none of \d+ standards fits; nearest is"):
        identify(both)
    rejected = fit_image(both, ACTIVE, calibrant("LaB6"))
    assert not rejected.accepted
    named = named_lookalike(both, rejected, mask=None, tolerance=CALIBRATED_START)
    assert not any("looks like" in problem for problem in named.problems)


def test_an_image_without_rings_is_refused():
    noise = np.random.default_rng(0).poisson(50, Scene(TRUTH).image().shape)
    with pytest.raises(FitError):
        identify(noise)


WRONG = [("Ni", "LaB6"), ("LaB6", "CeO2"), ("CeO2", "Ni"), ("AgBh", "Si")]
STARTS = [(ACTIVE, CALIBRATED_START), (NOMINAL, NOMINAL_START)]


@pytest.mark.parametrize(
    ("given", "there", "start", "tolerance"),
    [
        pytest.param(*names, *start, marks=() if (number + other) % 2 == 0 else pytest.mark.campaign)
        for number, names in enumerate(WRONG)
        for other, start in enumerate(STARTS)
    ],
)
def test_a_rejected_fit_names_the_standard_that_is_there(given, there, start, tolerance):
    image = Scene(TRUTH, there, counts=300).image()
    rejected = fit_image(image, start, calibrant(given), tolerance=tolerance)
    named = named_lookalike(image, rejected, mask=None, tolerance=tolerance)
    assert named.problems[:-1] == rejected.problems
    assert named.problems[-1].startswith(f"looks like {there} (0.0")
    assert named.problems[-1].endswith("if that is in the beam, give it as the calibrant")
    assert (named.geometry, named.accepted) == (rejected.geometry, False)


def test_the_given_standard_is_not_named_if_something_else_is_wrong():
    """The wavelength is 4 % off."""
    image = Scene(TRUTH, "LaB6", counts=300).image()
    rejected = fit_image(image, replace(ACTIVE, wavelength=TRUTH.wavelength * 1.04), calibrant("LaB6"))
    assert not rejected.accepted
    named = named_lookalike(image, rejected, mask=None, tolerance=CALIBRATED_START)
    assert not any("looks like LaB6" in problem for problem in named.problems)
