"""Chains of joints: rigid motion of the detector by any of them, and slopes."""

import copy
import pickle

import numpy as np
import pytest

import chains
from ponikeeper.geometry.kinematics.chain import FREE

POINTS = np.array([[y, x, 0.0] for y in (0.0, 0.2, 0.4) for x in (0.0, 0.15, 0.4)])
SEEDS = range(6)


@pytest.mark.parametrize("kind", chains.KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_are_where_rigid_motion_brings_them(kind, seed):
    chain = chains.chain(kind, seed)
    for position in chains.positions(chain, seed):
        values = chain.pose(position).values()
        expected = chains.moved_points(chain, position, POINTS)
        assert np.abs(chains.lab_points(values, POINTS) - expected).max() <= 1e-12


@pytest.mark.parametrize("kind", chains.KINDS)
def test_geometry_at_the_reference_is_the_reference(kind):
    chain = chains.chain(kind, 1)
    assert chain.pose(chain.reference).values() == pytest.approx(chain.values, abs=1e-14)
    assert chain.wavelength_at(chain.reference) == chain.wavelength


@pytest.mark.parametrize("kind", [kind for kind in chains.KINDS if kind != "two arms"])
def test_travel_back_is_the_inverse(kind):
    """A chain whose reference is another position, with the geometry there, says the same everywhere."""
    chain = chains.chain(kind, 2)
    (there,) = chains.positions(chain, 3, 1)
    if kind in (
        "rail on an arm",
        "arm on a rail",
    ):  # the inner joint stays: the axis of the outer one is fixed in the lab
        there = {**there, chain.joints[1].link: chain.reference[chain.joints[1].link]}
    other = type(chain)(chain.pose(there).values(), chain.wavelength_at(there), there, chain.joints)
    assert other.pose(chain.reference).values() == pytest.approx(chain.values, abs=1e-13)
    assert other.wavelength_at(chain.reference) == pytest.approx(chain.wavelength, rel=1e-14)


@pytest.mark.parametrize("kind", chains.KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_slopes_are_those_of_differences(kind, seed):
    chain, step = chains.chain(kind, seed), 1e-6
    (position,) = chains.positions(chain, seed, 1)
    values, slopes = chain.slopes(position)
    assert values == chain.pose(position).values()
    parameters = chain.parameters()
    for name in parameters:
        sides = [
            chain.with_parameters({**parameters, name: parameters[name] + change}).pose(position).values()[:5]
            for change in (step, -step)
        ]
        assert slopes[name] == pytest.approx(np.subtract(*sides) / (2 * step), abs=1e-8), name
    for link in slopes.keys() - parameters.keys():
        sides = [
            chain.pose({**position, link: position[link] + change}).values()[:5] for change in (100 * step, -100 * step)
        ]
        assert slopes[link] == pytest.approx(np.subtract(*sides) / (200 * step), abs=1e-9), link


def test_parameters_are_named_by_link_and_can_be_replaced():
    chain = chains.chain("rail on an arm", 0)
    names = [*FREE, *(f"tth.{name}" for name in ("tilt1", "tilt2", "offset1", "offset2"))]
    assert list(chain.parameters()) == names + [f"z.direction{axis}" for axis in (1, 2, 3)]
    assert chain.with_parameters(chain.parameters()) == chain


def test_wavelength_follows_the_energy_and_a_wavelength():
    chain = chains.chain("energy", 0)
    energy = chain.reference["energy"]
    assert chain.wavelength_at({"z": 0.0, "energy": 2 * energy}) == pytest.approx(chain.wavelength / 2, rel=1e-15)


def test_chains_can_be_copied_and_pickled():
    chain = chains.chain("two arms", 0)
    assert copy.deepcopy(chain) == pickle.loads(pickle.dumps(chain)) == chain
