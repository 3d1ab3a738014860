"""The results of requests."""

import pytest

from ponikeeper.detector.results import accepted, refused, repeated, undetermined
from ponikeeper.history import Activation
from ponikeeper.protocol import Activate, Follow, Label, OutOfService, Retract, Supersede
from ponikeeper.store import Answer, StoredState
from stores import time_of

STORED = StoredState(activation=Activation(7, 3, time_of(1), "commit", "a"), count=5)


@pytest.mark.parametrize(
    ("request_", "revision"),
    [
        (Activate("near"), 3),
        (Follow(False), 3),
        (OutOfService("z", "why"), 3),
        (Label("near"), 3),
        (Label("near", 2), 2),
        (Supersede(1, 2, "why"), 1),
        (Retract(4, "why"), 4),
    ],
)
def test_accepted_result_names_the_revision_that_was_meant(request_, revision):
    result = accepted(request_, STORED, time_of(9))
    assert (result.op, result.outcome, result.revision, result.serial, result.time) == (
        request_.op,
        "accepted",
        revision,
        7,
        time_of(9),
    )


def test_repetition_gets_the_numbers_and_the_time_of_its_first_answer():
    request = Activate(2, request="r", digest="d")
    assert repeated(request, Answer("r", "d", "activate", 2, 6, time_of(4))) == accepted(
        request, StoredState(activation=Activation(6, 2, time_of(4), "activate", "a")), time_of(4)
    )


def test_result_that_is_not_accepted_has_no_numbers():
    for result in (refused("r", "undo", ("why",), time_of(9)), undetermined(Activate(2), "why", time_of(9))):
        assert (result.revision, result.serial, result.errors) == (None, None, ("why",))
