"""Models as files of pyFAI's goniometer: it says the same, they come back unchanged, other formulas are refused."""

import json

import numpy as np
import pytest

import chains
from ponikeeper.errors import ConfigError, ModelError
from ponikeeper.geometry.kinematics import Reach
from ponikeeper_client.model.pyfai_file import export, read

EXACT = 1e-12


def exported(model, tmp_path, **changes):
    path = tmp_path / "goniometer.json"
    path.write_text(json.dumps(export(model) | changes))
    return path


def difference(found, expected):
    miss = np.subtract(found, expected)
    miss[3:] = (miss[3:] + np.pi) % (2 * np.pi) - np.pi
    return np.abs(miss).max()


@pytest.mark.parametrize("kind", chains.KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_pyfai_says_the_same(kind, seed, tmp_path):
    from pyFAI.goniometer import Goniometer

    model = chains.model(chains.chain(kind, seed))
    goniometer = Goniometer.sload(str(exported(model, tmp_path)))
    for position in chains.positions(model.chain, seed, 10):
        given = [position[joint.link] for joint in model.joints]
        integrator = goniometer.get_ai(given if len(given) > 1 else given[0])
        expected = model.chain.pose(position).values()
        assert (
            difference(
                [getattr(integrator, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")], expected
            )
            <= EXACT
        )
        assert integrator.wavelength == pytest.approx(model.chain.wavelength_at(position), rel=EXACT)
        assert integrator.detector.shape == (2048, 2048)


@pytest.mark.parametrize("kind", chains.KINDS)
def test_own_file_comes_back_with_every_bit(kind, tmp_path):
    model = chains.model(chains.chain(kind, 1))
    assert read(exported(model, tmp_path), {}, None) == model


def test_own_file_with_another_formula_is_refused(tmp_path):
    model = chains.model(chains.chain("rail", 1))
    changed = export(model)["trans_function"] | {"dist_expr": "0.5 + z * 1e-3"}
    with pytest.raises(ModelError, match="the formulas are not those of the model in the file"):
        read(exported(model, tmp_path, trans_function=changed), {}, None)


def foreign(tmp_path, param=(), param_names=(), pos_names=("tth",), **formulas):
    plain = {"dist": "0.5", "poni1": "0.05", "poni2": "0.04", "rot1": "0.0", "rot2": "0.0", "rot3": "0.0"}
    path = tmp_path / "gonio.json"
    table = {
        "content": "Goniometer calibration v2",
        "detector": "Pilatus100k",
        "detector_config": {"orientation": 3},
        "wavelength": 1e-10,
        "param": list(param),
        "param_names": list(param_names),
        "pos_names": list(pos_names),
        "trans_function": {
            "content": "GeometryTransformation",
            "param_names": list(param_names),
            "pos_names": list(pos_names),
            **{f"{name}_expr": text for name, text in (plain | formulas).items()},
        },
    }
    path.write_text(json.dumps(table))
    return path


def test_arm_of_pyfai_is_a_rotation_about_an_axis_through_the_sample(tmp_path):
    """The formula of pyFAI's tutorials: rot2 is proportional to the position."""
    path = foreign(tmp_path, [0.3, 0.017], ["rot2_offset", "scale"], rot1="0.02", rot2="scale * tth + rot2_offset")
    model = read(path, {"tth": (0.0, 40.0)}, "deg")
    (joint,) = model.joints
    assert (joint.about, joint.tilt, joint.offset) == (
        2,
        pytest.approx((0, 0), abs=1e-13),
        pytest.approx((0, 0), abs=1e-13),
    )
    assert joint.factor == pytest.approx(-0.017)
    assert model.geometry_at({"tth": 10.0}).rot2 == pytest.approx(0.47, abs=1e-14)
    assert model.geometry.detector == "Pilatus100k"
    there = model.evaluate({"tth": 41.0})
    assert there.reach is Reach.OUTSIDE
    assert there.rms_px > 0


def test_arm_whose_axis_is_tilted_is_found_too(tmp_path):
    model = read(foreign(tmp_path, rot1="0.017 * tth", rot2="0.2"), {"tth": (0.0, 40.0)}, "deg")
    assert model.joints[0].about == 1
    assert model.joints[0].tilt == pytest.approx((0, np.sin(0.2)), abs=1e-12)


def test_rail_of_pyfai_is_a_stage(tmp_path):
    path = foreign(
        tmp_path, pos_names=["z"], dist="0.2 + 1e-3 * z", poni1="0.05 + 2e-6 * z", poni2="0.04 - 1e-6 * z", rot1="0.01"
    )
    model = read(path, {"z": (0.0, 500.0)}, "mm")
    assert model.joints[0].kind == "translate"
    assert model.geometry_at({"z": 123.0}).dist == pytest.approx(0.323, abs=1e-14)


@pytest.mark.parametrize(
    "formulas",
    [
        {"rot2": "0.017 * tth", "dist": "0.5 + 1e-4 * tth"},
        {"rot2": "0.5 * sin(0.01 * tth)"},
    ],
)
def test_formulas_that_are_no_rigid_motion_are_refused(formulas, tmp_path):
    with pytest.raises(ModelError, match="its formulas are no straight stage and no rotation about a fixed axis"):
        read(foreign(tmp_path, **formulas), {"tth": (0.0, 40.0)}, "deg")


def test_stage_that_is_not_straight_and_broken_formulas_are_refused(tmp_path):
    with pytest.raises(ModelError, match="its formulas are no straight stage"):
        read(foreign(tmp_path, pos_names=["z"], dist="0.5 + 1e-6 * z * z"), {"z": (0.0, 100.0)}, "mm")
    with pytest.raises(ModelError, match="pyFAI cannot read it"):
        read(foreign(tmp_path, rot2="0.017 *"), {"tth": (0.0, 40.0)}, "deg")
    path = foreign(tmp_path)
    path.write_text(path.read_text().replace("trans_function", "formulas"))
    with pytest.raises(ModelError, match="pyFAI cannot read it"):
        read(path, {"tth": (0.0, 40.0)}, "deg")


def test_what_the_file_does_not_say_must_be_given(tmp_path):
    path = foreign(tmp_path, rot2="0.017 * tth")
    with pytest.raises(ConfigError, match=r"give --range tth=low,high and --units deg or mm"):
        read(path, {}, "deg")
    with pytest.raises(ModelError, match="it has the positions a, b: only one"):
        read(foreign(tmp_path, pos_names=["a", "b"]), {}, "deg")


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "this is not JSON"), ("{}", 'expected "content"'), ("[]", "no goniometer")]
)
def test_file_that_is_no_goniometer_is_refused(text, problem, tmp_path):
    path = tmp_path / "gonio.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=problem):
        read(path, {}, None)
    with pytest.raises(ModelError, match="No such file"):
        read(tmp_path / "none.json", {}, None)
