"""One revision: its JSON object, and the errors that name what is wrong with it."""

from dataclasses import replace

import pytest

from ponikeeper.errors import HistoryError
from ponikeeper.history import Revision
from ponikeeper.history.record_form import checksum
from stores import GEOMETRY, PREFIXES


@pytest.fixture
def revision():
    bare = Revision(3, "uid", "2026-11-22T09:30:00.000000Z", "near", GEOMETRY, None, {"method": "fit"}, "")
    return replace(bare, checksum=checksum(PREFIXES[0], "revision", bare.row()))


def test_it_is_read_as_it_was_written(revision):
    assert Revision.parse(PREFIXES[0], revision.as_dict()) == revision


def test_change_and_invalid_geometry_are_named(revision):
    with pytest.raises(HistoryError, match=r"the checksum of revision 3 of .* does not match"):
        Revision.parse(PREFIXES[0], {**revision.as_dict(), "label": "far"})
    with pytest.raises(HistoryError, match=r"revision 3: dist"):
        Revision.parse(PREFIXES[0], {**revision.as_dict(), "geometry": {**GEOMETRY.as_stored(), "dist": 0}})
