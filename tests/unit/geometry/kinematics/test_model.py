"""Models: what they say for a position, their JSON form, and what is refused."""

import copy
import math
import pickle
import random
import time
from dataclasses import replace

import numpy as np
import pytest

import chains
from ponikeeper.errors import GeometryError, ModelError
from ponikeeper.geometry.kinematics import Beam, Model, Reach, Span
from ponikeeper.text import strictjson

LIMIT = 1e-3
"""Time of one evaluation (s)."""


def rail(**more):
    return chains.model(chains.chain("rail", 3), **more)


@pytest.mark.parametrize("kind", chains.KINDS)
def test_json_form_keeps_every_bit(kind):
    model = chains.model(chains.chain(kind, 4))
    text = strictjson.dumps(model.as_dict())
    again = Model.parse(strictjson.loads(text))
    assert again == model
    assert strictjson.dumps(again.as_dict()) == text
    (position,) = chains.positions(model.chain, 4, 1)
    assert again.evaluate(position) == model.evaluate(position)


def test_model_can_be_copied_and_pickled():
    model = rail()
    assert copy.deepcopy(model) == pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize("kind", chains.KINDS)
def test_evaluation_has_the_geometry_and_what_does_not_move_is_the_reference_s(kind):
    model = chains.model(chains.chain(kind, 5))
    for position in chains.positions(model.chain, 5):
        found = model.evaluate(position).geometry
        assert found == model.geometry_at(position)
        assert (found.detector, found.pixel1, found.pixel2) == ("Perkin", 2e-4, 2e-4)


@pytest.mark.parametrize("kind", chains.KINDS)
def test_covariance_is_that_of_random_parameters_motors_and_wavelengths(kind):
    model = chains.model(chains.chain(kind, 6), scatter=0.0)
    (position,) = chains.positions(model.chain, 6, 1)
    chain, names, size = model.chain, model.free, len(model.free)
    lower = np.zeros((size, size))
    lower[np.tril_indices(size)] = model.covariance
    covariance = lower + np.tril(lower, -1).T
    random, drawn, middle = np.random.default_rng(2), [], chain.parameters()
    for change, motors, wave in zip(
        random.multivariate_normal(np.zeros(size), covariance, 1500).tolist(),
        random.normal(size=(1500, len(position))).tolist(),
        random.normal(size=1500).tolist(),
        strict=True,
    ):
        by_wavelength = [slope * model.wavelength_sigma * wave for slope in model.by_wavelength]
        parameters = {
            name: middle[name] + one + two for name, one, two in zip(names, change, by_wavelength, strict=True)
        }
        there = {link: value + 1e-3 * sigma for (link, value), sigma in zip(position.items(), motors, strict=True)}
        drawn.append(chain.with_parameters(parameters).pose(there).values()[:5])
    expected, found = np.cov(np.array(drawn).T), np.array(model.evaluate(position).covariance)[:5, :5]
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((found - expected) / scale).max() < 0.15


def test_scatter_is_a_stray_of_the_panel_s_middle_and_of_its_tilt():
    model = rail(scatter=1e-5, motor_sigma={}, wavelength_sigma=0.0, covariance=(0.0,) * 36)
    sigma = model.evaluate(model.reference).sigma
    assert (sigma["rot1"], sigma["rot2"]) == pytest.approx((5e-5, 5e-5))
    assert sigma["dist"] > 0.99e-5


def test_reach_is_that_of_the_position():
    model = rail(spans={"z": Span(0.0, 100.0)})
    assert [model.evaluate({"z": value}).reach for value in (50.0, 105.0, 130.0, 160.0)] == list(Reach)


def test_links_that_are_no_joints_are_ignored():
    model = rail()
    position = dict(model.reference)
    assert model.evaluate({**position, "binning": 2.0}) == model.evaluate(position)


def test_position_without_a_link_and_energy_of_zero_are_refused():
    with pytest.raises(ModelError, match=r"the position lacks z: expected z, not x"):
        rail().evaluate({"x": 1.0})
    model = chains.model(chains.chain("energy", 0))
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ModelError, match=r"energy .* is not possible: expected more than 0"):
            model.geometry_at({**model.reference, "energy": value})


@pytest.mark.parametrize("value", [0.0, -5.0])
@pytest.mark.parametrize("quantity", ["energy", "wavelength"])
def test_reference_or_range_of_a_beam_that_is_not_above_zero_is_refused(value, quantity):
    rail, beam = chains.joints_of("energy", random.Random(1))
    chain = chains.chain("energy", 0)
    there = replace(chain, joints=(rail, replace(beam, quantity=quantity)))
    values = chains.model(there).as_dict()
    for key, wrong in (("reference", value), ("spans", {"low": value, "high": 30.0, "declared": True})):
        with pytest.raises(ModelError, match=f'^"{key}" does not fit the model: expected more than 0 for energy$'):
            Model.parse({**values, key: {**values[key], "energy": wrong}})


def test_energy_and_wavelength_together_are_refused():
    """Each is the whole change of the wavelength: both would count it twice."""
    chain = chains.chain("energy", 0)
    beams = (Beam("energy", "keV"), Beam("wavelength", "angstrom", "wavelength"))
    both = replace(chain, joints=beams, reference={"energy": 20.0, "wavelength": 0.62})
    with pytest.raises(ModelError, match=r'"joints" does not fit .* expected one of energy wavelength, which tell the'):
        chains.model(both)


@pytest.mark.parametrize("value", [-1e5, math.nan, math.inf])
def test_position_behind_the_sample_or_not_finite_has_no_geometry(value):
    model = rail()
    with pytest.raises(GeometryError):
        model.evaluate({"z": value})


@pytest.mark.parametrize("kind", ["rail", "two arms"])
def test_evaluation_with_sigma_takes_less_than_a_millisecond(kind):
    """Time of this process: other programs of the machine do not count."""
    model = chains.model(chains.chain(kind, 1))
    (position,) = chains.positions(model.chain, 1, 1)
    durations = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(20):
            model.evaluate(position)
        durations.append((time.process_time() - began) / 20)
    assert min(durations) < LIMIT
