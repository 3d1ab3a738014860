"""How a transaction is asked for and how it ended: one request, its verdict found by its id."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from ophyd import EpicsSignal

from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.geometry import value_problem
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Commit, Request, Result, Snapshot, request_text
from ponikeeper.protocol.exchange import Exchange, Read, Wait
from ponikeeper.text import strictjson
from ponikeeper_client._fresh_gets import POLL, silent_text, wait_for
from ponikeeper_client._signals import TextSignal

_LOOK = 0.1
"""How long to wait for a first value of the monitor when a verdict is looked for (s)."""


def manual(values: Mapping[str, Any], in_force: Snapshot, expect_revision: int | None) -> Commit:
    """Make a commit by hand: where the links stand now; an edit keeps the label of what is in force.

    Parameters
    ----------
    values
        By name (m, rad); numpy's numbers too, and `detector_config` as it is recorded.

    Raises
    ------
    RefusedError
        A value can be no part of a request.
    """
    provenance: dict[str, object] = {"method": "manual"}
    if in_force.revision:
        provenance["derived_from"] = in_force.revision
    asked = {name: _plain(name, value) for name, value in values.items()}
    label = None if asked.keys() >= set(NAMES) else in_force.label  # a whole geometry is another one
    return Commit(asked, provenance, label, "now", expect_revision)


class Transactor:
    """Puts requests to one IOC and finds their verdicts; any thread may ask it.

    Parameters
    ----------
    request, results
        The PVs of the same names.
    timeout
        How long an IOC may be silent (s).
    """

    def __init__(self, request: EpicsSignal, results: TextSignal, timeout: float) -> None:
        self._pv: Any = request._write_pv
        self._results, self._timeout = results, timeout
        self._put_lock = threading.Lock()

    def run(self, request: Request, timeout: float) -> Result:
        """Run one transaction and return its result, an accepted one.

        Parameters
        ----------
        timeout
            How long to wait for the result (s).

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            No result came in time.
        """
        request = identified(request)
        text, clock = checked_text(request), time.monotonic
        exchange = Exchange(
            str(request.request),
            self._pv.pvname,
            self._results.pvname,
            now=clock(),
            timeout=timeout,
            answer_timeout=self._timeout,
            pause=POLL,
        )
        while not isinstance(step := exchange.step(clock()), Result):
            if isinstance(step, Wait):
                time.sleep(max(0.0, step.until - clock()))
            elif isinstance(step, Read):
                with suppress(NotConnectedError):
                    exchange.read(self._results.newest(min(step.until, clock() + _LOOK)), clock())
            else:
                self._put(exchange, text, step.until)
        return step

    def _put(self, exchange: Exchange, text: str, until: float) -> None:
        """Put a request, and report to the exchange what came of it."""
        if not wait_for(lambda: self._pv.connected, until):
            exchange.not_connected(silent_text(self._pv.pvname, self._timeout), time.monotonic())
        elif not self._pv.write_access:
            exchange.denied()
        else:
            with self._put_lock:
                self._pv.put(text, use_complete=True)  # without it libca would print each refusal
            exchange.sent(time.monotonic())


def identified(request: Request) -> Request:
    """Return a request with an id: its own, or a new one."""
    return request if request.request else replace(request, request=uuid4().hex)


def _plain(name: str, value: Any) -> Any:
    if name == "detector_config" and isinstance(value, str):
        try:
            return strictjson.loads(value)
        except ValueError as error:
            raise RefusedError(f"detector_config is no JSON: {error}") from None
    return value.item() if hasattr(value, "item") else value


def checked_text(request: Request) -> str:
    """Write a request as JSON; raises `RefusedError` where it holds what JSON does not have."""
    try:
        return request_text(request)
    except (TypeError, ValueError) as error:  # NaN, say, which JSON does not have
        values = request.geometry if isinstance(request, Commit) else {}
        problems = [problem for name, value in values.items() if (problem := value_problem(name, value))]
        raise RefusedError(problems or str(error)) from None
