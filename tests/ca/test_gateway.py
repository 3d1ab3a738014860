"""Behind a CA gateway that answers from its cache, an IOC that hangs is noticed."""

import json
import signal
import time

import pytest

from live import wait_for
from ponikeeper.geometry import poni
from speak import commit_text, forget, get, monitoring, request, snapshot


@pytest.fixture
def behind(make_ioc, gateway_to):
    """An IOC with a geometry, and the prefix of its detector behind a gateway."""
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    assert request(ioc.prefix, commit_text("one", label="near"))["revision"] == 1
    gateway = gateway_to(ioc)
    forget()
    return ioc, gateway.prefix


def test_gateway_answers_for_an_ioc_that_hangs(behind):
    ioc, prefix = behind
    status = snapshot(prefix)["status"]
    ioc.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: time.time() - get(f"{prefix}Alive_RBV") > 2, what="a sign of life that is old")
        assert snapshot(prefix)["status"] == status  # what makes the proof necessary
    finally:
        ioc.signal(signal.SIGCONT)


def test_commands_work_behind_a_gateway(call, behind):
    ioc, prefix = behind
    shown = call("show", prefix, "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == snapshot(ioc.prefix)
    got = call("get", prefix)
    assert (got.returncode, got.stderr) == (0, "")
    assert poni.read(got.stdout).as_dict() == snapshot(ioc.prefix)["geometry"]
    assert call("set", prefix, "dist=0.3").returncode == 0
    assert snapshot(ioc.prefix)["geometry"]["dist"] == 0.3


@pytest.mark.parametrize(
    "words",
    [("show",), ("get",), ("status", "--timeout", "3"), ("status", "--wait", "UNWATCHED", "--timeout", "3")],
    ids=" ".join,
)
def test_ioc_that_hangs_behind_a_gateway_does_not_answer(call, behind, words):
    ioc, prefix = behind
    with monitoring(
        f"{prefix}Snapshot_RBV", f"{prefix}Alive_RBV"
    ):  # as a screen does: then the gateway keeps the values
        assert call(words[0], prefix, *words[1:]).returncode == 0
        ioc.signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            done = call(words[0], prefix, *words[1:])
        finally:
            ioc.signal(signal.SIGCONT)
        assert done.returncode == 3, done.stdout + done.stderr
        assert f"{prefix}Alive_RBV stays at " in done.stdout + done.stderr
        assert time.monotonic() - began < 10
        assert call(words[0], prefix, *words[1:]).returncode == 0
