"""A geometry is always complete and valid; messages repeat invalid values as they were typed."""

import copy
import dataclasses
import math
import pickle
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ponikeeper.errors import GeometryError
from ponikeeper.geometry import MAX_DETECTOR_BYTES, Geometry
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from strategies import VALUES, geometries

KNOWN = " ".join([*NAMES, "detector_config"])


def problems_of(**changes):
    """Return why a geometry with these changes is refused; both ways to build one must give the same reasons."""
    with pytest.raises(GeometryError) as parsing:
        Geometry.parse(VALUES | changes)
    with pytest.raises(GeometryError) as making:
        Geometry(**(VALUES | changes))
    assert parsing.value.problems == making.value.problems
    assert str(parsing.value) == "; ".join(parsing.value.problems)
    assert str(parsing.value).isascii()
    return list(parsing.value.problems)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "wavelength",
            1.5,
            "wavelength 1.5 m looks like angstrom: write 1.5e-10, or keV: write 8.26561322888e-10, "
            "or nm: write 1.5e-09",
        ),
        ("wavelength", 0.1663, "wavelength 0.1663 m looks like angstrom: write 1.663e-11, or nm: write 1.663e-10"),
        ("wavelength", 17, "wavelength 17.0 m looks like keV: write 7.29318814313e-11, or angstrom: write 1.7e-09"),
        ("wavelength", 0.0729, "wavelength 0.0729 m looks like nm: write 7.29e-11, or angstrom: write 7.29e-12"),
        ("wavelength", 8047.8, "wavelength 8047.8 m looks like eV: write 1.54059741088e-10"),
        ("wavelength", -17, "wavelength -17.0 m is out of range: expected 1e-13 <= wavelength <= 1e-08 m"),
        ("wavelength", 1e9, "wavelength 1000000000.0 m is out of range: expected 1e-13 <= wavelength <= 1e-08 m"),
        ("wavelength", 0.0, "wavelength 0.0 m is out of range: expected 1e-13 <= wavelength <= 1e-08 m"),
        ("dist", 234.5, "dist 234.5 m looks like millimetre: write 0.2345, or centimetre: write 2.345"),
        ("dist", 1000, "dist 1000.0 m looks like millimetre: write 1, or centimetre: write 10"),
        ("dist", -0.2, "dist -0.2 m is out of range: expected 0 < dist <= 100 m"),
        ("dist", 0, "dist 0.0 m is out of range: expected 0 < dist <= 100 m"),
        ("dist", -0.0, "dist -0.0 m is out of range: expected 0 < dist <= 100 m"),
        ("dist", 1e5, "dist 100000.0 m looks like micrometre: write 0.1"),
        ("dist", 1e8, "dist 100000000.0 m is out of range: expected 0 < dist <= 100 m"),
        (
            "poni1",
            201.1,
            "poni1 201.1 m looks like millimetre: write 0.2011, or pixel: write 0.04022",
        ),
        (
            "poni2",
            1011,
            "poni2 1011.0 m looks like pixel: write 0.2022, or millimetre: write 1.011, or micrometre: write 0.001011",
        ),
        (
            "poni2",
            -150,
            "poni2 -150.0 m looks like millimetre: write -0.15, or pixel: write -0.03, or centimetre: write -1.5",
        ),
        ("rot1", 90, "rot1 90.0 rad looks like degree: write 1.57079632679, or milliradian: write 0.09"),
        ("rot2", -180, "rot2 -180.0 rad looks like degree: write -3.141592653589793, or milliradian: write -0.18"),
        ("rot3", 181, "rot3 181.0 rad looks like milliradian: write 0.181"),
        ("pixel1", 200, "pixel1 200.0 m looks like micrometre: write 0.0002"),
        ("pixel2", 0.2, "pixel2 0.2 m looks like millimetre: write 0.0002"),
        ("pixel1", -2e-4, "pixel1 -0.0002 m is out of range: expected 1e-06 <= pixel1 <= 0.01 m"),
        ("pixel2", 0, "pixel2 0.0 m is out of range: expected 1e-06 <= pixel2 <= 0.01 m"),
        ("dist", math.nan, "dist nan is not finite: expected 0 < dist <= 100 m"),
        ("rot1", -math.inf, "rot1 -inf is not finite: expected -3.14159 <= rot1 <= 3.14159 rad"),
        ("poni1", 10**400, "poni1 inf is not finite: expected -100 <= poni1 <= 100 m"),
        ("dist", True, "dist true is not a number: expected 0 < dist <= 100 m"),
        ("dist", None, "dist null is not a number: expected 0 < dist <= 100 m"),
        ("dist", "0.2", 'dist "0.2" is not a number: expected 0 < dist <= 100 m'),
        ("dist", [0.2], "dist [0.2] is not a number: expected 0 < dist <= 100 m"),
        ("dist", 0.2 + 0j, "dist (0.2+0j) is not a number: expected 0 < dist <= 100 m"),
        ("dist", "å" * 99, 'dist "' + "\\u00e5" * 12 + "\\u00... is not a number: expected 0 < dist <= 100 m"),
    ],
)
def test_bad_number_is_refused_and_the_likely_unit_named(name, value, problem):
    assert problems_of(**{name: value}) == [problem]


SLIPS = [
    (parameter, unit, convert)
    for parameter in PARAMETERS.values()
    for unit, convert in (
        *((unit, lambda value, factor=factor: value / factor) for unit, factor in parameter.likely_units),
        *((unit, lambda value, factor=factor: factor / value) for unit, factor in parameter.energy_units),
    )
]


@given(st.data())
def test_usual_value_typed_in_another_unit_is_among_the_suggestions_and_each_of_them_is_accepted(data):
    parameter, unit, convert = data.draw(st.sampled_from(SLIPS))
    lowest, _, highest = parameter.usual
    meant = data.draw(st.floats(max(lowest, 1e-12) * 1.01, highest * 0.99))
    problem = parameter.problem(convert(meant))
    assume(problem is not None)
    suggestions = dict(each.split(": write ") for each in problem.partition(" looks like ")[2].split(", or "))
    assert float(suggestions[unit]) == pytest.approx(meant, rel=1e-11)
    assert [parameter.problem(float(each)) for each in suggestions.values()] == [None] * len(suggestions)


@pytest.mark.parametrize("name", PARAMETERS)
def test_limits_of_the_parameter_are_inclusive_but_for_no_distance(name):
    parameter = PARAMETERS[name]
    low = 5e-324 if parameter.above_zero else parameter.lower
    for value in (low, parameter.upper):
        assert getattr(Geometry(**(VALUES | {name: value})), name) == value
    for value in (math.nextafter(low, -math.inf), math.nextafter(parameter.upper, math.inf)):
        assert len(problems_of(**{name: value})) == 1


def test_tighter_limits_of_one_detector_are_named_in_the_message():
    limits = {"dist": (0.1, 3.0)}
    assert Geometry.parse(VALUES | {"dist": 3.0}, limits).dist == 3.0
    with pytest.raises(GeometryError) as refusal:
        Geometry.parse(VALUES | {"dist": 3.5}, limits)
    expected = "dist 3.5 m is outside the limits of this detector: expected 0.1 <= dist <= 3.0 m"
    assert refusal.value.problems == (expected,)
    with pytest.raises(GeometryError, match=r"looks like millimetre: write 0\.2345"):
        Geometry.parse(VALUES | {"dist": 234.5}, limits)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("P" * 39, "has 39 bytes, at most 38 fit (a name that fills its PV was probably cut by its client)"),
        ("P" * 41, "has 41 bytes, at most 38 fit"),
        ("Pilatus\u00b9M", 'detector "Pilatus\\u00b9M" is empty, padded or not printable ASCII'),
        ("Å" * 60, "not printable ASCII"),
        ("Perkin\n", "not printable ASCII"),
        ("Per\0kin", "not printable ASCII"),
        (" Perkin", "padded"),
        ("", 'detector "" is empty'),
        (None, "detector null is not a string"),
        (1, "detector 1 is not a string"),
        (b"Perkin", "detector b'Perkin' is not a string"),
    ],
)
def test_bad_detector_name_is_refused(name, part):
    (problem,) = problems_of(detector=name)
    assert part in problem
    assert problem.endswith("expected pyFAI's name of the detector, such as Perkin or Pilatus1M")


def test_detector_name_of_38_bytes_is_taken():
    assert Geometry(**(VALUES | {"detector": "P" * MAX_DETECTOR_BYTES})).detector == "P" * 38


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"pixel1": 2e-4}, "detector_config holds pixel1: give it as the value pixel1 of the geometry"),
        ({"Pixel2": 2e-4}, "detector_config holds Pixel2: give it as the value pixel2 of the geometry"),
        ({"Orientation": 3}, "detector_config holds Orientation: write it as orientation"),
        *(
            ({"orientation": bad}, f"detector_config.orientation {shown} is not allowed: expected 1, 2, 3 or 4")
            for bad, shown in [(0, "0"), (5, "5"), (3.0, "3.0"), ("3", '"3"'), (True, "true"), (None, "null")]
        ),
        ({"parallax": 1}, "detector_config.parallax 1 is not allowed: expected true or false"),
        ({"parallax": None}, "detector_config.parallax null is not allowed: expected true or false"),
        ({"a": [math.nan]}, "detector_config is not valid JSON: Out of range float values are not JSON compliant: nan"),
        ({"a": {1: 2}}, "detector_config is not valid JSON: the key 1 is not a text"),
        ({"a": {1, 2}}, "detector_config is not valid JSON: Object of type set is not JSON serializable"),
        (None, 'detector_config null is not a JSON object: expected such as {"orientation": 3}'),
        ([3], 'detector_config [3] is not a JSON object: expected such as {"orientation": 3}'),
        ("{}", 'detector_config "{}" is not a JSON object: expected such as {"orientation": 3}'),
    ],
)
def test_bad_detector_config_is_refused(config, problem):
    (message,) = problems_of(detector_config=config)
    assert message.startswith(problem.removesuffix(": nan"))  # which number it is, newer Pythons say


@pytest.mark.parametrize("name", ["detector_config", "detector", "dist"])
def test_value_that_is_nested_without_end_is_refused_like_any_other(name):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    (problem,) = problems_of(**{name: {"a": deep}})
    assert len(problem) < 300


def test_unknown_name_is_refused_with_a_suggestion():
    typed = {"distance": "dist", "Dist": "dist", "wavelenght": "wavelength", "poni3": "poni2", "PIXEL1": "pixel1"}
    for name, meant in typed.items():
        with pytest.raises(GeometryError) as refusal:
            Geometry.parse(VALUES | {name: 1})
        assert refusal.value.problems == (f'unknown value "{name}" (did you mean {meant}?): expected {KNOWN}',)
    for name in ("zzz", "", "å" * 500, 7):
        with pytest.raises(GeometryError, match=r"^unknown value [^(]*: expected dist poni1") as refusal:
            Geometry.parse(VALUES | {name: 1})
        assert str(refusal.value).isascii()
        assert len(str(refusal.value)) < 300


def test_missing_values_are_all_named():
    with pytest.raises(GeometryError) as refusal:
        Geometry.parse({"dist": 0.2, "detector": "Perkin"})
    missing = "poni1, poni2, rot1, rot2, rot3, pixel1, pixel2, wavelength"
    assert refusal.value.problems == (f"incomplete: {missing} missing, expected all of {' '.join(NAMES)}",)


def test_all_problems_are_reported_in_one_error():
    bad = dict.fromkeys(PARAMETERS, math.nan) | {"detector": "", "detector_config": {"pixel1": 1, "orientation": 9}}
    assert len(problems_of(**bad)) == 9 + 1 + 2
    bad |= {"typo": 1, "other": 2}
    del bad["rot3"]
    with pytest.raises(GeometryError) as refusal:
        Geometry.parse(bad, {"dist": (0, 1)})
    words = [problem.split()[0].rstrip(":") for problem in refusal.value.problems]
    numbers_left = [name for name in PARAMETERS if name != "rot3"]
    assert words == ["unknown", "unknown", "incomplete", *numbers_left, "detector", "detector_config", *words[-1:]]
    assert words[-1] == "detector_config.orientation"


def test_geometry_cannot_be_changed_nor_can_anything_in_it():
    given_config = {"max_shape": [1, 2], "sensor": {"material": "Si"}}
    geometry = Geometry(**(VALUES | {"detector_config": given_config}))
    before = geometry.as_dict()
    for name in (*NAMES, "detector_config", "energy", "new"):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
            setattr(geometry, name, 1)
    with pytest.raises(TypeError):
        geometry.detector_config["orientation"] = 1
    with pytest.raises(TypeError):
        geometry.detector_config["sensor"]["material"] = "Ge"
    with pytest.raises(AttributeError):
        geometry.detector_config["max_shape"].append(3)
    given_config["sensor"]["material"] = "Ge"  # what it was made from is not it
    given_config["max_shape"].append(3)
    geometry.as_dict()["detector_config"]["max_shape"].append(3)  # nor is a copy
    assert geometry.as_dict() == before


def test_geometries_of_equal_values_are_equal_and_hash_alike():
    one, other = Geometry(**VALUES), Geometry.parse(copy.deepcopy(VALUES))
    assert one == other
    assert len({one, other}) == 1
    for name in PARAMETERS:
        assert one != dataclasses.replace(one, **{name: getattr(one, name) * 1.5 + 1e-12})
    assert one != dataclasses.replace(one, detector="Perkins")
    assert one != dataclasses.replace(one, detector_config={})
    assert one != VALUES


def test_number_of_any_type_is_stored_as_a_double():
    geometry = Geometry(**(VALUES | {"dist": 1, "poni1": np.float64(0.25)}))
    assert [type(getattr(geometry, name)) for name in PARAMETERS] == [float] * 9
    for single in (np.float32(0.2), np.int64(1), np.bool_(True), np.array(0.2)):  # a rounded or doubtful number
        assert "is not a number" in problems_of(dist=single)[0]


def test_parallax_false_is_the_default_written_or_not():
    silent = Geometry(**(VALUES | {"detector_config": {}}))
    assert Geometry(**(VALUES | {"detector_config": {"parallax": False}})) == silent
    assert Geometry(**(VALUES | {"detector_config": {"parallax": True}})) != silent


@given(geometries())
def test_any_geometry_survives_dict_copy_and_pickle(geometry):
    assert list(geometry.as_dict()) == [*NAMES, "detector_config"]
    assert Geometry.parse(geometry.as_dict()) == geometry
    assert (
        Geometry.parse(geometry.as_dict() | {"detector_config": MappingProxyType(geometry.detector_config)}) == geometry
    )
    assert copy.deepcopy(geometry) == copy.copy(geometry) == geometry
    assert pickle.loads(pickle.dumps(geometry)) == geometry


@pytest.mark.parametrize("orientation", [1, 2, 4])
def test_fit2d_view_exists_for_orientation_3_only(orientation):
    assert Geometry(**(VALUES | {"detector_config": {}})).orientation == 3
    assert Geometry(**(VALUES | {"detector_config": {}})).fit2d is not None
    other = Geometry(**(VALUES | {"detector_config": {"orientation": orientation}}))
    assert (other.orientation, other.fit2d) == (orientation, None)


@pytest.mark.parametrize(("rot1", "rot2"), [(math.pi / 2, 0.0), (0.0, -math.pi / 2), (2.0, 0.1), (math.pi, 0.0)])
def test_fit2d_view_does_not_exist_where_the_beam_never_meets_the_detector(rot1, rot2):
    assert Geometry(**(VALUES | {"rot1": rot1, "rot2": rot2})).fit2d is None
