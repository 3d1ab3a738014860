"""Which service changes are added, and which requests are refused."""

import pytest

from ponikeeper.detector.service_rules import decide_service_change
from ponikeeper.errors import RefusedError
from ponikeeper.history import ServiceChange
from ponikeeper.protocol import InService, OutOfService
from ponikeeper.store import StoredState
from stores import time_of

OUT = ServiceChange(1, "out_of_service", "mono", "shutdown", time_of(1), "a")
BACK = ServiceChange(2, "in_service", "mono", "", time_of(2), "a")


def decide(request, *changes, links=("z", "mono")):
    return decide_service_change(request, StoredState(service=changes), links, time_of(9), "b")


def test_link_is_taken_out_of_service_again_with_another_reason():
    change = decide(OutOfService("mono", "still shut down"), OUT)
    assert change == ServiceChange(0, "out_of_service", "mono", "still shut down", time_of(9), "b")


def test_link_that_is_out_of_service_returns():
    assert decide(InService("mono", "checked"), OUT).kind == "in_service"


@pytest.mark.parametrize("changes", [(), (OUT, BACK)])
def test_return_of_a_link_in_service_is_refused(changes):
    with pytest.raises(RefusedError, match=r"^link mono is in service: nothing to change$"):
        decide(InService("mono"), *changes)


@pytest.mark.parametrize("request_", [OutOfService("y", "why"), InService("y")])
def test_unknown_link_is_refused_with_those_of_the_configuration(request_):
    with pytest.raises(RefusedError, match=r'^there is no link "y": expected one of z mono$'):
        decide(request_)
    with pytest.raises(RefusedError, match=r'^there is no link "y": the configuration has no links$'):
        decide(request_, links=())
