"""Each put passes the gate: it is allowed, run and recorded, whatever becomes of it."""

import asyncio

import pytest

from ponikeeper.access.gate import Attempt, Gate, Verdict
from ponikeeper.access.identity import ClientIdentity
from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Result

EVE = ClientIdentity("eve", "ws3", "10.0.0.9")
DONE = Result(None, "commit", "accepted", 3, 4, (), "2026-09-21T14:13:20Z")


class Target:
    def __init__(self, read_only=None):
        self.value, self.read_only = 1.0, read_only

    def present(self):
        return self.value

    def read_only_because(self, name):  # noqa: ARG002
        return self.read_only


def execute(run, *, is_allowed=True, read_only=None):
    """Run one put; return the verdict, what was denied and what was recorded."""
    denied, recorded, target = [], [], Target(read_only)

    async def record(put):
        recorded.append(put)

    async def work():
        async def begin():
            target.value = 2.0
            return run()

        gate = Gate(lambda name, identity: denied.append((name, identity)), record)
        return await gate.execute(target, Attempt("P:Dist", 0.3, EVE, is_allowed), begin)

    verdict = asyncio.run(work())
    (put,) = recorded
    assert (put.user, put.host, put.address, put.pv, put.new, put.old) == ("eve", "ws3", "10.0.0.9", "P:Dist", 0.3, 1.0)
    assert (put.outcome, put.reason, put.result) == (verdict.outcome, verdict.reason, verdict.result)
    return verdict, denied


def fail(error):
    raise error


def test_put_that_is_allowed_runs():
    assert execute(lambda: DONE) == (Verdict("accepted", result=DONE), [])


def test_put_that_is_refused_has_the_reasons():
    assert execute(lambda: fail(RefusedError(("a", "b")))) == (Verdict("refused", "a; b"), [])


def test_defect_is_a_refusal_and_logged(caplog):
    assert execute(lambda: fail(KeyError("x"))) == (Verdict("refused", "'x'"), [])
    assert "put to P:Dist failed" in caplog.text


def test_put_that_is_not_allowed_does_not_run_and_is_counted():
    verdict, denied = execute(pytest.fail, is_allowed=False)
    assert verdict == Verdict("denied", "P:Dist may not be written from here: the access rules forbid it")
    assert denied == [("P:Dist", EVE)]


def test_put_to_a_readback_is_refused_and_not_counted_as_denied():
    assert execute(pytest.fail, is_allowed=False, read_only="put P:Dist") == (Verdict("refused", "put P:Dist"), [])


def test_without_a_put_log_puts_run():
    async def work():
        async def run():
            return DONE

        return await Gate().execute(Target(), Attempt("P:Dist", 0.3, EVE, True), run)

    assert asyncio.run(work()) == Verdict("accepted", result=DONE)
