"""Refused requests over Channel Access: nothing changes, the refusal is counted, and the reason can be read."""

import json
import math

import pytest

import speak
from bad_requests import BAD_REQUESTS, WITHOUT_ID, by_request, changed
from ponikeeper.geometry import Geometry, poni
from ponikeeper.protocol import MAX_BYTES
from refusing import refused, said
from speak import GEOMETRY, commit_text, put

PONI = poni.write(Geometry.parse(GEOMETRY))
LONG_NAME = "D" * 41


@pytest.fixture(scope="module")
def calibrated(fresh_prefix):
    """Prefix of a detector with an active geometry; every test leaves it active."""
    prefix = fresh_prefix()
    assert put(f"{prefix}Request", commit_text("begin", label="near")) is None
    return prefix


@pytest.mark.parametrize("way", ["Request", "single PV", "Stage", "Poni"])
def test_value_out_of_range_is_refused_by_every_way(calibrated, way):
    """Each value and its message: tests/unit/geometry/test_geometry.py."""
    suffix = {"single PV": "Dist", "Stage": "Stage:Dist"}.get(way, way)
    text = PONI.replace("Distance: 0.2345", "Distance: 234.5")
    given = {"Request": changed(dist=234.5), "Poni": text}.get(way, 234.5)
    result = refused(calibrated, suffix, lambda: put(calibrated + suffix, given))
    assert "dist 234.5 m looks like millimetre: write 0.2345" in said(result)
    assert result["request"] == ("bad" if way == "Request" else None)


@pytest.mark.parametrize(("suffix", "value"), [("Dist", math.nan), ("Stage:Dist", -math.inf)])
def test_number_that_is_not_finite_is_refused_by_single_pvs(calibrated, suffix, value):
    assert "is not finite" in said(refused(calibrated, suffix, lambda: put(calibrated + suffix, value)))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_number_that_is_not_finite_is_refused_by_request_under_its_id(calibrated, token):
    text = changed(dist=0.5).replace("0.5", token)
    result = refused(calibrated, "Request", lambda: put(f"{calibrated}Request", text))
    assert "finite" in said(result)
    assert result["request"] == "bad"


@pytest.mark.parametrize("token", ["nan", "inf", "1e999"])
def test_number_that_is_not_finite_is_refused_by_poni(calibrated, token):
    text = PONI.replace("Distance: 0.2345", f"Distance: {token}")
    assert "dist" in said(refused(calibrated, "Poni", lambda: put(f"{calibrated}Poni", text)))


TYPES = {
    "text": ('"0.3"', 'dist "0.3" is not a number'),
    "true": ("true", "dist true is not a number"),
    "null": ("null", "dist null is not a number"),
    "list": ("[0.3]", "dist [0.3] is not a number"),
    "object": ("{}", "dist {} is not a number"),
}


@pytest.mark.parametrize(("token", "reason"), TYPES.values(), ids=TYPES)
def test_value_of_another_type_is_refused(calibrated, token, reason):
    result = refused(
        calibrated, "Request", lambda: put(f"{calibrated}Request", changed(dist=0.5).replace("0.5", token))
    )
    assert reason in said(result)
    assert result["request"] == "bad"


REQUESTS = {
    "outdated": (by_request(expect_revision=7), "expect_revision 7 is outdated: revision 1 is active"),
    "expects nothing": (by_request(expect_revision=0), "expect_revision 0 is outdated: revision 1 is active"),
    "unknown detector": (changed(detector="Nonesuch"), 'detector "Nonesuch" is not in the table'),
    "long detector": (changed(detector=LONG_NAME, pixel1=1e-4, pixel2=1e-4), "has 41 bytes, at most 38 fit"),
    "detector of 39 bytes": (changed(detector="D" * 39, pixel1=1e-4, pixel2=1e-4), "has 39 bytes, at most 38 fit"),
    "non-ASCII detector": (changed(detector="P\u00e9rkin", pixel1=1e-4, pixel2=1e-4), "printable ASCII"),
    "pixels in the configuration": (changed(detector_config={"pixel1": 1e-4}), "detector_config holds pixel1"),
    "unknown link": (by_request(position={"z": 1.0}), 'position names "z", which is not a link'),
    "unknown revision": (json.dumps({"v": 1, "request": "bad", "op": "activate", "revision": 2}), "no revision 2"),
    "huge revision": (json.dumps({"v": 1, "request": "bad", "op": "activate", "revision": 2**52}), "no revision"),
    "too large": (changed(detector_config={"a": "x" * 15_800}), "the snapshot could have"),
    **{name: BAD_REQUESTS[name] for name in ("misspelt key", "value twice", "cut by its client", "not UTF-8")},
}
"""What only the active geometry and the history can refuse, and one text for each check of the parser."""


@pytest.mark.parametrize(("text", "reason"), REQUESTS.values(), ids=REQUESTS)
def test_bad_request_is_refused_under_its_id(calibrated, text, reason):
    result = refused(calibrated, "Request", lambda: put(f"{calibrated}Request", text))
    assert reason in said(result)
    assert result["request"] == "bad"


@pytest.mark.parametrize("name", ["no JSON", "no id"])
def test_text_without_a_readable_id_is_refused_without_one(calibrated, name):
    text, reason = WITHOUT_ID[name]
    result = refused(calibrated, "Request", lambda: put(f"{calibrated}Request", text.encode()))
    assert reason in said(result)
    assert result["request"] is None


PONIS = {
    "no wavelength": (PONI.replace("Wavelength: 1.66e-11\n", ""), "Wavelength missing"),
    "cut": (PONI[:-6], "has no line end"),
    "cut after a line": ("".join(PONI.splitlines(keepends=True)[:-1]), "Wavelength missing"),
    "long detector": (PONI.replace("Perkin", LONG_NAME), "has 41 bytes, at most 38 fit"),
    "detector of 39 bytes": (PONI.replace("Perkin", "D" * 39), "has 39 bytes, at most 38 fit"),
    "unknown detector without pixels": (
        PONI.replace("Perkin", "Nonesuch").replace('{"pixel1": 0.0002, "pixel2": 0.0002}', "{}"),
        "Nonesuch is not in the table",
    ),
    "fills its PV": (PONI + "#" * (MAX_BYTES - len(PONI) - 1) + "\n", "fills its PV"),
    "not UTF-8": (PONI.encode() + b"\xff: 1\n", "is not UTF-8"),
    "nothing": (b"", "missing"),
    "a request": (by_request(), "no line end"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), PONIS.values(), ids=PONIS)
def test_bad_poni_is_refused(calibrated, text, reason):
    assert reason in said(refused(calibrated, "Poni", lambda: put(f"{calibrated}Poni", text)))


INCOMPLETE = {
    "single PV": ("Dist", 0.3, None),
    "detector": ("Detector", "Perkin", None),
    "request": ("Request", commit_text("bad", geometry={"dist": 0.3, "detector": "Perkin"}), "bad"),
}


@pytest.mark.parametrize(("suffix", "value", "request_id"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_incomplete_first_commit_is_refused_with_what_is_missing_and_where_to_put_it(prefix, suffix, value, request_id):
    result = refused(prefix, suffix, lambda: put(prefix + suffix, value))
    assert result["request"] == request_id
    expected = said(result)
    assert expected.startswith("no revision is active yet, ")
    missing = expected.removeprefix("no revision is active yet, ").partition(" missing")[0].split(", ")
    given = set(json.loads(value)["geometry"]) if suffix == "Request" else {suffix.lower()}
    assert {"poni1", "wavelength"} <= set(missing) <= set(GEOMETRY) - given
    for way in ("ponikeeper put", "Poni", "Request", "Stage"):
        assert way in expected
    assert speak.snapshot(prefix)["status"] == "UNSET"


def test_all_problems_are_reported_together(calibrated):
    text = by_request(geometry={"dist": -1}, label="9", expect_revision=-5, position="there")
    result = refused(calibrated, "Request", lambda: put(f"{calibrated}Request", text))
    assert len(result["errors"]) == 3  # problems of the request itself are reported before its values are checked
    text = by_request(geometry={"dist": -1, "rot1": 90, "wavelength": 1.6}, expect_revision=5, position={"z": 1})
    result = refused(calibrated, "Request", lambda: put(f"{calibrated}Request", text))
    assert len(result["errors"]) == 5


def test_refused_id_can_be_used_again(calibrated):
    assert put(f"{calibrated}Request", commit_text("again", expect_revision=9, geometry={"dist": 0.3}))
    before = speak.snapshot(calibrated)["revision"]
    text = commit_text("again", geometry={"dist": GEOMETRY["dist"]}, label="near")
    assert put(f"{calibrated}Request", text) is None
    assert speak.snapshot(calibrated)["revision"] in (before, before + 1)


def nested(depth):
    return json.loads('{"a": ' * depth + "1" + "}" * depth)


@pytest.mark.parametrize("depth", [17, 31, 32, 40])
def test_configuration_that_could_not_be_read_again_is_refused_before_it_is_stored(calibrated, depth):
    text = json.dumps(nested(depth))
    result = refused(calibrated, "DetectorConfig", lambda: put(f"{calibrated}DetectorConfig", text))
    assert "nested too deeply" in said(result)


@pytest.mark.parametrize("provenance", [{"residual_px": 10**400}, {"sigma": {"dist": 10**400}}])
def test_number_that_no_double_holds_is_refused_under_its_id(calibrated, provenance):
    text = by_request(provenance=provenance)
    result = refused(calibrated, "Request", lambda: put(f"{calibrated}Request", text))
    assert result["request"] == "bad"
    assert "is not allowed" in said(result)
