"""Integration settings: which are allowed, and how a mistake is answered."""

import pytest

from ponikeeper.errors import MessageError
from ponikeeper.protocol import Commit, parse_request, request_text
from ponikeeper.protocol.integration import EXAMPLE, SETTINGS, integration_problems, integration_text, parse_integration
from ponikeeper.text import strictjson

LEAST = {"npt": 100, "unit": "2th_deg"}
EVERY = {
    **strictjson.plain(EXAMPLE),
    "correctSolidAngle": False,
    "error_model": "poisson",
    "radial_range": [0, 40.5],
    "azimuth_range": [-180, 180],
}


@pytest.mark.parametrize("settings", [LEAST, EVERY])
def test_allowed_settings_are_read_back_from_a_request(settings):
    commit = Commit({}, {"integration": settings}, edit=True, request="1")
    assert parse_request(request_text(commit)).provenance == {"integration": settings}
    assert parse_integration(strictjson.dumps(settings)) == settings


def test_every_setting_has_an_example():
    assert EVERY.keys() == SETTINGS.keys()


def test_null_removes_settings():
    commit = Commit({}, {"integration": None}, edit=True, request="1")
    assert parse_request(request_text(commit)).provenance == {"integration": None}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"npt": 0}, '"npt": 0 is not allowed: expected the number of points of the pattern, 2 to 100000'),
        ({"npt": 10**6}, "2 to 100000"),
        ({"npt": 100.0}, '"npt": 100.0 is not allowed'),
        ({"unit": "q"}, "expected the radial unit: 2th_deg, 2th_rad, q_nm^-1"),
        ({"method": "csr"}, "expected [split, algorithm, implementation], of no, bbox, full; histogram"),
        ({"method": ["csr", "bbox", "cython"]}, "expected [split, algorithm, implementation]"),
        ({"method": [["bbox"], {}, None]}, "expected [split, algorithm, implementation]"),
        ({"polarization_factor": 1.01}, "expected a number, -1 to 1"),
        ({"polarization_factor": True}, "expected a number, -1 to 1"),
        ({"radial_range": [3, 3]}, "two increasing numbers"),
        ({"azimuth_range": [0, 10**400]}, "two increasing numbers"),
        ({"polarisation_factor": 0.9}, 'unknown key "polarisation_factor" (did you mean polarization_factor?)'),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(change, problem):
    (found,) = integration_problems({**LEAST, **change})
    assert problem in found


def test_a_request_names_where_the_mistake_is():
    with pytest.raises(MessageError) as caught:
        parse_request(request_text(Commit({}, {"integration": {"npt": 10}}, edit=True, request="1")))
    assert caught.value.problems == (f'"provenance.integration.unit" is missing: expected {SETTINGS["unit"].expected}',)


@pytest.mark.parametrize("text", ["", "3000", '["npt"]', '{"npt": NaN}', '{"npt": 1, "npt": 2}', "{'npt': 1}"])
def test_a_text_that_is_no_object_is_answered_with_an_example(text):
    with pytest.raises(MessageError, match=r'expected \{"npt": 3000'):
        parse_integration(text)


def test_settings_are_one_line_for_a_person():
    assert integration_text({**EXAMPLE, "correctSolidAngle": False}) == (
        "npt 3000, unit q_nm^-1, method bbox csr cython, polarization_factor 0.99, correctSolidAngle false"
    )
