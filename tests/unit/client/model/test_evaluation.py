"""Evaluation of a model for people."""

from dataclasses import replace

import pytest

import chains
from ponikeeper.errors import GeometryError, ModelError
from ponikeeper_client.model.evaluation import evaluate, evaluate_or_none

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


def test_numbers_that_give_no_geometry_are_an_error_of_the_model():
    far = replace(MODEL, motor_sigma={"z": 1e200})
    with pytest.raises(ModelError, match="no finite uncertainty"):
        evaluate(far, far.reference)
    with pytest.raises(ModelError):
        evaluate(MODEL, {})
    assert evaluate_or_none(MODEL, {}) is None
