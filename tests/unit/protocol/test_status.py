"""The statuses: each has a severity and a place in the precedence; which of them permit the use of a geometry."""

import pytest

from ponikeeper.protocol import applies
from ponikeeper.protocol.status import PRECEDENCE, SEVERITIES, Status, reaches


def test_every_status_has_a_severity_and_one_place_in_the_precedence():
    assert set(SEVERITIES) == set(Status)
    assert sorted(PRECEDENCE) == sorted(Status)


@pytest.mark.parametrize("form", [Status, str])
def test_statuses_that_permit_the_use_of_a_geometry(form):
    permitting = {status.name for status in Status if applies(status if form is Status else status.name)}
    assert permitting == {"VALID", "UNWATCHED", "UNCERTAIN"}


@pytest.mark.parametrize("name", ["CONDEMNED", "", "valid", "a status of a newer IOC"])
def test_status_that_is_not_known_does_not_permit_it(name):
    assert not applies(name)


def test_waiting_for_valid_ends_where_no_link_is_watched():
    assert reaches("VALID", "VALID")
    assert reaches("UNWATCHED", "VALID")
    assert not reaches("MOVED", "VALID")
    assert reaches("MOVED", "MOVED")
    assert not reaches("VALID", "UNWATCHED")
