"""The snapshot as one JSON text."""

import json
import math

import pytest

from ponikeeper.errors import MessageError
from ponikeeper.protocol import (
    Snapshot,
)
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.text import strictjson


def test_newer_snapshot_may_say_more():
    values = json.loads(EXAMPLES["snapshot"])
    assert Snapshot.from_json(json.dumps({**values, "colour": "red"})) == Snapshot.from_json(EXAMPLES["snapshot"])


@pytest.mark.parametrize("change", [{"v": 2}, {"geometry": {"dist": 1}}, {"geometry": 7}], ids=str)
def test_text_that_is_not_a_snapshot_is_refused(change):
    with pytest.raises(MessageError):
        Snapshot.from_json(json.dumps(json.loads(EXAMPLES["snapshot"]) | change))


def test_snapshot_floats_survive_bit_by_bit():
    values = json.loads(EXAMPLES["snapshot"])
    values["geometry"]["dist"] = math.nextafter(0.3, 1)
    again = strictjson.loads(Snapshot.from_json(json.dumps(values)).as_json())
    assert again["geometry"]["dist"].hex() == values["geometry"]["dist"].hex()
