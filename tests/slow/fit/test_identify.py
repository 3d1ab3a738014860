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
RIGHT = 0.1

ONE_MODULE = on_detector("Pilatus100k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11)
"""A smaller panel, for the fits that are rejected: a search in vain takes ten times as long as a fit."""


def active(truth):
    """Return the geometry that is active: not far from the true one."""
    return replace(truth, dist=truth.dist * 1.02, poni1=truth.poni1 + 2e-3)


def nominal(truth):
    """Return the geometry of a nominal distance."""
    return replace(truth, dist=truth.dist * 1.12, rot1=0, rot2=0)


NOMINAL = nominal(TRUTH)


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
    one, other = (Scene(ONE_MODULE, name, counts=200, seed=seed).image() for name, seed in (("LaB6", 1), ("Ni", 2)))
    both = np.where(one < 0, -1, one + other)
    with pytest.raises(FitError, match=r"none of \d+ standards fits; nearest is"):
        identify(both, start=nominal(ONE_MODULE))
    rejected = fit_image(both, active(ONE_MODULE), calibrant("LaB6"))
    assert not rejected.accepted
    named = named_lookalike(both, rejected, mask=None, tolerance=CALIBRATED_START)
    assert not any("looks like" in problem for problem in named.problems)


def test_an_image_without_rings_is_refused():
    noise = np.random.default_rng(0).poisson(50, Scene(TRUTH).image().shape)
    with pytest.raises(FitError):
        identify(noise)


WRONG = [
    ("Ni", "LaB6", ONE_MODULE), ("LaB6", "CeO2", ONE_MODULE),
    ("CeO2", "Ni", TRUTH),  # the fewer rings of Ni need a larger panel
    ("AgBh", "Si", ONE_MODULE),
]  # fmt: skip
STARTS = [(active, CALIBRATED_START), (nominal, NOMINAL_START)]


@pytest.mark.parametrize(
    ("given", "there", "truth", "start", "tolerance"),
    [
        pytest.param(
            *wrong, *start,
            marks=() if (number + other) % 2 == 0 else pytest.mark.campaign,
            id=f"{wrong[0]}-{wrong[1]}-{start[0].__name__}",
        )
        for number, wrong in enumerate(WRONG)
        for other, start in enumerate(STARTS)
    ],
)  # fmt: skip
def test_a_rejected_fit_names_the_standard_that_is_there(given, there, truth, start, tolerance):
    image = Scene(truth, there, counts=300).image()
    rejected = fit_image(image, start(truth), calibrant(given), tolerance=tolerance)
    named = named_lookalike(image, rejected, mask=None, tolerance=tolerance)
    assert named.problems[:-1] == rejected.problems
    assert named.problems[-1].startswith(f"looks like {there} (0.0")
    assert named.problems[-1].endswith("if that is in the beam, give it as the calibrant")
    assert (named.geometry, named.accepted) == (rejected.geometry, False)


def test_the_given_standard_is_not_named_if_something_else_is_wrong():
    """The wavelength is 4 % off."""
    image = Scene(ONE_MODULE, "LaB6", counts=300).image()
    rejected = fit_image(image, replace(active(ONE_MODULE), wavelength=1.04 * ONE_MODULE.wavelength), calibrant("LaB6"))
    assert not rejected.accepted
    named = named_lookalike(image, rejected, mask=None, tolerance=CALIBRATED_START)
    assert not any("looks like LaB6" in problem for problem in named.problems)
