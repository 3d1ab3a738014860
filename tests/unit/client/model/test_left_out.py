"""Leave-one-out: a wrong calibration is named, and no other is accused."""

import math

import numpy as np
import pytest

import travels
from ponikeeper_client.model.fit import fit_model
from ponikeeper_client.model.left_out import LeftOut, culprit

PLACES = travels.along(0, 200, 400, 600, 800)


def fitted(seed, wrong=None, places=PLACES, **more):
    travel = travels.Travel((travels.RAIL,), seed, **more)
    return fit_model(travel.setup(), travel.members(places, wrong))


def test_probability_is_that_of_chi_squared_with_five_degrees_of_freedom():
    drawn = np.sum(np.random.default_rng(0).normal(size=(200_000, 5)) ** 2, axis=1)
    for chi2 in (1.0, 5.0, 11.0):
        assert LeftOut(chi2, 1.0, 0.0).probability == pytest.approx(np.mean(drawn > chi2), abs=4e-3)
    assert LeftOut(20.515, 1.0, 0.0).probability == pytest.approx(1e-3, rel=1e-3)


def test_deviation_must_be_improbable_and_large():
    assert LeftOut(30.0, 0.3, 0.0).contradicts
    assert not LeftOut(30.0, 0.1, 0.0).contradicts
    assert not LeftOut(10.0, 3.0, 0.0).contradicts


def test_culprit_is_the_one_without_which_the_others_agree():
    right, wrong = LeftOut(40.0, 1.0, 300.0), LeftOut(90.0, 1.0, 9.0)
    assert culprit([right, wrong, right]) == 1
    assert culprit([right, LeftOut(90.0, 0.15, 9.0), right]) == 1
    assert culprit([right, LeftOut(90.0, 1.0, 295.0), right]) is None
    assert culprit([LeftOut(3.0, 0.0, 5.0)] * 3) is None
    assert culprit([None, None]) is None


@pytest.mark.parametrize("index", [0, 3])
def test_one_of_five_that_is_wrong_is_named(index):
    found = fitted(index, {index: (2e-4, 0.0, 0.0)})
    (problem,) = found.problems
    assert problem.startswith(f"revision {index + 1} contradicts the others: its rings are ")
    with pytest.raises(Exception, match="contradicts the others"):
        found.require_accepted()


def test_one_that_deviates_by_little_is_named_and_the_model_is_accepted():
    """Along the beam 0.2 mm are a sixth of a pixel."""
    found = fitted(0, {4: (0.0, 0.0, 1e-4)})
    assert found.require_accepted() is found.model
    (note,) = found.notes
    assert note.startswith("revision 5 deviates from the others: its rings are 0.")


def test_right_ones_are_not_accused():
    for seed in range(3):
        found = fitted(seed)
        assert (found.problems, found.notes) == ((), ())
        assert found.require_accepted() is found.model


def test_of_three_it_cannot_be_told_which_is_wrong():
    found = fitted(1, {1: (1e-3, 0.0, 0.0)}, travels.along(0, 400, 800))
    assert all("revision 2 contradicts" not in problem for problem in found.problems)
    assert found.problems or found.model.evaluate({"z": 400.0}).rms_px > 0.3


def test_bent_rail_accuses_nothing():
    bend = lambda position: (1e-4 * math.sin(math.pi * position["z"] / 800), 0.0, 0.0)  # noqa: E731
    found = fitted(2, bend=bend)
    assert found.problems == ()
    assert found.model.scatter > 1e-5


def test_left_out_of_two_is_not_predicted():
    found = fitted(0, places=travels.along(0, 800))
    assert [residual.left_out for residual in found.residuals] == [None, None]
