"""Evaluation of a model for people."""

from dataclasses import replace

import pytest

import chains
from ponikeeper.errors import GeometryError, ModelError
from ponikeeper.geometry.kinematics import Rotate
from ponikeeper_client.model import show
from ponikeeper_client.model.evaluation import evaluate, evaluate_or_none
from ponikeeper_client.model.source import ModelSource

MODEL = chains.model(chains.chain("rail", 1))


def at(value):
    return {**MODEL.reference, "z": value}


def test_model_that_holds_is_evaluated():
    assert evaluate(MODEL, MODEL.reference) == MODEL.evaluate(MODEL.reference)


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_problem_of_a_computed_value_has_no_unit_that_was_not_typed(value):
    with pytest.raises(GeometryError, match="is out of range: expected 0 < dist <= 100 m") as error:
        evaluate(MODEL, at(value))
    assert "looks like" not in str(error.value)
    assert evaluate_or_none(MODEL, at(value)) is None


def test_numbers_that_give_no_geometry_are_an_error_of_the_model(capsys):
    arm = Rotate("z", "deg", 1e308, 2)
    broken = replace(MODEL, joints=(arm,), reference={"z": 0.0}, free=(), covariance=(), by_wavelength=())
    with pytest.raises(ModelError, match="the numbers of the model give no geometry here: math domain error"):
        evaluate(broken, at(1e3))
    show.show(ModelSource("arm.json", broken), as_json=False)
    assert "holds for z -103.8574 to 136.1426 deg" in capsys.readouterr().out


def test_position_that_lacks_a_link_is_an_error_of_the_model():
    with pytest.raises(ModelError, match="the position lacks z"):
        evaluate(MODEL, {})
    assert evaluate_or_none(MODEL, {}) is None
