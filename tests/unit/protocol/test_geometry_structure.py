"""The structure has what the snapshot has, to the bit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import MessageError
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.geometry_structure import fields_of, snapshot_of, spec
from ponikeeper.text import strictjson

TEXT = next(text for name, text in EXAMPLES.items() if "snapshot" in name.lower())


def test_fields_are_those_of_the_type():
    names = [name for name, _ in spec()]
    assert [*names[:-2]] == [name for name in names if name in fields_of(TEXT)]
    assert set(names) - set(fields_of(TEXT)) == {"alarm", "timeStamp"}


def test_snapshot_is_the_same_after_a_round_trip():
    snapshot = Snapshot.from_json(TEXT)
    assert snapshot_of(snapshot.prefix, fields_of(TEXT)) == snapshot
    assert snapshot.geometry is not None


def test_sigma_and_accuracy_are_those_of_the_provenance():
    values = strictjson.loads(TEXT) | {"provenance": {"method": "fit", "sigma": {"dist": 1e-5}, "accuracy_deg": 0.001}}
    fields = fields_of(strictjson.dumps(values))
    assert fields["accuracy"] == 0.001
    assert fields["sigma"]["dist"] == 1e-5
    assert math.isnan(fields["sigma"]["rot1"])


def test_detector_without_a_geometry_has_no_numbers_and_no_texts():
    unset = Snapshot("P:", "UNSET", "nothing was committed")
    fields = fields_of(unset.as_json())
    assert math.isnan(fields["dist"])
    assert (fields["detector"], fields["detector_config"], fields["label"], fields["revision"]) == ("", "", "", 0)
    assert snapshot_of("P:", fields) == unset


@given(st.floats(min_value=1e-3, max_value=100.0), st.floats(min_value=-3, max_value=3))
def test_numbers_keep_every_bit(dist, rot1):
    values = strictjson.loads(TEXT)
    values["geometry"] |= {"dist": dist, "rot1": rot1}
    text = strictjson.dumps(values)
    assert snapshot_of(values["prefix"], fields_of(text)) == Snapshot.from_json(text)


@pytest.mark.parametrize("fields", [{}, {"revision": 1}, {**fields_of(TEXT), "links": "no JSON"}])
def test_other_structure_says_so(fields):
    with pytest.raises(MessageError, match=r"P:Geometry is not a structure ponikeeper:Geometry:1\.0"):
        snapshot_of("P:", fields)
