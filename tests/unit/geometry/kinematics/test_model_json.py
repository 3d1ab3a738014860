"""The JSON form of models: what is refused, with the problem."""

import pytest

import chains
from ponikeeper.errors import ModelError
from ponikeeper.geometry.kinematics import Model


def rail():
    return chains.model(chains.chain("rail", 3))


def changed(**values):
    return rail().as_dict() | values


def of_joint(**values):
    object_ = rail().as_dict()
    return object_ | {"joints": [object_["joints"][0] | values]}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (changed(v=2), '"v": 2 is not allowed: expected 1'),
        (changed(v=True), '"v": true is not allowed'),
        (changed(what="a fit"), 'expected "ponikeeper model"'),
        (changed(more=1), 'unknown key "more"'),
        (changed(geometry={}), '"geometry": incomplete'),
        (changed(geometry=3), "expected an object, the ten values"),
        (changed(panel=[0.4]), "expected two sides, more than 0 (m)"),
        (changed(panel=[0.4, 0.0]), "expected two sides, more than 0 (m)"),
        (changed(panel=[10**400, 0.4]), "expected two sides, more than 0 (m)"),
        (changed(scatter=10**400), "expected a number, 0 or more (m)"),
        (changed(geometry={"pixel1": 10**400, "poni1": 1.0}), '"geometry": '),
        (changed(fit={"members": [{"revision": 10**30, "uid": "a"}]}), '"fit.members" is no list of members'),
        (changed(fit={"members": [{"revision": 1, "uid": "a"}] * 2}), '"fit.members" names a revision twice'),
        (changed(covariance=[-1.0, *rail().covariance[1:]]), '"covariance" does not fit the model: expected variances'),
        (changed(reference={"z": "1"}), "expected an object of numbers by link"),
        (changed(reference={"x": 1.0}), '"reference" does not fit the model: expected a value for each of z'),
        (changed(joints=[]), '"joints" does not fit the model: expected at least one joint'),
        (changed(joints=[3]), '"joints" has no known joint at 0: expected a "kind" of translate, rotate, beam'),
        (of_joint(kind="screw"), '"joints" has no known joint at 0'),
        (of_joint(direction=[0, 1]), '"joints[0].direction": [0, 1] is not allowed: expected three numbers'),
        (of_joint(factor=0), "expected a number other than 0"),
        (of_joint(axis=[0, 1]), 'unknown key "joints[0].axis"'),
        (changed(free=["dist", "dist"]), '"free" does not fit the model: expected parameters: dist poni1'),
        (changed(free=["tilt"]), '"free" does not fit the model'),
        (changed(covariance=[1.0]), '"covariance" does not fit the model: expected 36 numbers'),
        (changed(by_wavelength=[1.0]), "expected 8 numbers, one for each free parameter"),
        (changed(scatter=-1e-6), '"scatter": -1e-06 is not allowed: expected a number, 0 or more (m)'),
        (changed(motor_sigma={"x": 1.0}), '"motor_sigma" does not fit the model: expected links of joints, of z'),
        (changed(spans={"z": {"low": 3, "high": 2, "declared": False}}), 'from 3 to 2: expected "low" below "high"'),
        (changed(spans={"z": 3}), '"spans.z" is no object'),
        (changed(spans={}), '"spans" does not fit the model'),
        (changed(fit=None), '"fit": null is not allowed: expected an object'),
    ],
)
def test_object_that_is_no_model_is_refused_with_the_problem(values, problem):
    with pytest.raises(ModelError) as error:
        Model.parse(values)
    assert any(problem in each for each in error.value.problems), error.value.problems


def test_every_key_is_required():
    whole = rail().as_dict()
    for key in whole:
        with pytest.raises(ModelError, match=f'"{key}" is missing'):
            Model.parse({name: value for name, value in whole.items() if name != key})


def test_axis_near_another_lab_axis_is_refused():
    values = chains.model(chains.chain("arm", 0)).as_dict()
    values["joints"][0]["tilt"] = [0.6, 0.0]
    with pytest.raises(ModelError, match=r"two numbers from -0.5 to 0.5"):
        Model.parse(values)
