"""Chains of joints against pyFAI's goniometer: the same poses from formulas written in another way."""

import random

import numpy as np
import pytest

import chains
from ponikeeper.geometry.kinematics import Beam, Rotate, Translate

EXACT = 1e-12
"""Largest difference (m, rad); of a wavelength, relative."""


def poses(chain):
    """Compute the six values as polynomials of cosine and sine of one arm, and of the travel of stages on it.

    The arm, if there is one, is the outermost joint: A = N + cos P + sin K with N = n n^T, P = 1 - N and K = [n]x.
    """
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    dist, poni1, poni2, rot1, rot2, rot3 = chain.values
    rotation = AzimuthalIntegrator(dist, poni1, poni2, rot1, rot2, rot3).rotation_matrix()
    origin = rotation @ [-poni1, -poni2, dist]
    arms = [joint for joint in chain.joints if isinstance(joint, Rotate)]
    rails = [joint for joint in chain.joints if isinstance(joint, Translate)]
    assert len(arms) <= 1
    axis = np.array(arms[0].axis) if arms else np.array([1.0, 0, 0])
    centre = np.zeros(3)
    if arms:
        centre[[arms[0].about % 3, (arms[0].about + 1) % 3]] = arms[0].offset
    across = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    parts = {"1": np.outer(axis, axis), "C": np.eye(3) - np.outer(axis, axis), "S": across}
    back = {"1": parts["1"], "C": parts["C"], "S": -across}  # by the opposite angle
    constant = rotation.T @ (origin - centre)
    terms = [{f"({name})": (rotation.T @ part @ centre)[row] for name, part in back.items()} for row in range(3)]
    for row, term in enumerate(terms):
        term["(1)"] += constant[row]
        for rail in rails:
            travel = f"({rail.link} - {chain.reference[rail.link]!r})"
            term[travel] = (rotation.T @ rail.direction)[row] * rail.factor
    entries = {name: part @ rotation for name, part in parts.items()}
    at = {
        (row, column): {f"({name})": entries[name][row, column] for name in entries}
        for row in range(3)
        for column in range(3)
    }
    angle = f"({arms[0].factor!r} * ({arms[0].link} - {chain.reference[arms[0].link]!r}))" if arms else "(0 * 1)"

    def text(term):
        whole = " + ".join(f"({value!r}) * {name}" for name, value in ((n, float(v)) for n, v in term.items()))
        return whole.replace("(C)", f"cos({angle})").replace("(S)", f"sin({angle})").replace("* (1)", "* 1.0")

    return {
        "dist_expr": text(terms[2]),
        "poni1_expr": f"-({text(terms[0])})",
        "poni2_expr": f"-({text(terms[1])})",
        "rot1_expr": f"arctan2(-({text(at[2, 1])}), {text(at[2, 2])})",
        "rot2_expr": f"arcsin({text(at[2, 0])})",
        "rot3_expr": f"arctan2({text(at[1, 0])}, {text(at[0, 0])})",
    }


def differences(found, expected):
    """Compute the differences of values; angles within a turn."""
    difference = np.subtract(found, expected)
    difference[3:] = (difference[3:] + np.pi) % (2 * np.pi) - np.pi
    return np.abs(difference)


@pytest.mark.parametrize("kind", ["rail", "stages", "arm", "rail on an arm"])
@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_a_geometry_transformation(kind, seed):
    from pyFAI.goniometer import GeometryTransformation

    chain = chains.chain(kind, seed)
    links = [joint.link for joint in chain.joints]
    transformation = GeometryTransformation(**poses(chain), param_names=["unused"], pos_names=links)
    for position in chains.positions(chain, seed, 20):
        given = [position[link] for link in links]
        expected = transformation([0.0], given if len(given) > 1 else given[0])
        assert differences(chain.pose(position).values(), expected).max() <= EXACT


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("quantity", ["energy", "wavelength"])
def test_values_and_wavelength_are_those_of_an_extended_transformation(seed, quantity):
    from pyFAI.goniometer import ExtendedTransformation

    base = chains.chain("rail on an arm", seed)
    beam = Beam("beam", "keV" if quantity == "energy" else "m", quantity)
    reference = random.Random(seed).uniform(10, 80)
    chain = type(base)(base.values, base.wavelength, {**base.reference, "beam": reference}, (*base.joints, beam))
    ratio = f"{reference!r} / beam" if quantity == "energy" else f"beam / {reference!r}"
    links = [joint.link for joint in chain.joints]
    transformation = ExtendedTransformation(
        **poses(base), wavelength_expr=f"{chain.wavelength!r} * ({ratio})", param_names=[], pos_names=links
    )
    for position in chains.positions(chain, seed, 20):
        *expected, wavelength = transformation([], [position[link] for link in links])
        assert differences(chain.pose(position).values(), expected).max() <= EXACT
        assert chain.wavelength_at(position) == pytest.approx(wavelength, rel=EXACT)


@pytest.mark.parametrize("kind", chains.KINDS)
@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_pixels_of_pyfai_move_rigidly(kind, orientation):
    """In every orientation of the detector the pixels keep their places on it."""
    from pyFAI.detectors import detector_factory
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    detector = detector_factory("Pilatus100k", {"orientation": orientation})
    chain = chains.chain(kind, orientation)

    def pixels(values):
        z, y, x = AzimuthalIntegrator(*values, detector=detector).calc_pos_zyx()
        return np.stack([y, x, z], axis=-1)[::16, ::16].reshape(-1, 3)

    y, x = (part[::16, ::16].ravel() for part in detector.calc_cartesian_positions()[:2])
    points = np.stack([y, x, np.zeros_like(y)], axis=-1)
    for position in chains.positions(chain, orientation):
        moved = chains.moved_points(chain, position, points)
        assert np.abs(pixels(chain.pose(position).values()) - moved).max() <= EXACT
