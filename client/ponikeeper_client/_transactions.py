"""How a transaction is asked for and how it ended: one request, its verdict found by its id."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from ophyd import EpicsSignal

from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.geometry import value_problem
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Commit, Request, Result, Snapshot, parse_results, request_text
from ponikeeper.text import strictjson
from ponikeeper_client._fresh_gets import raise_silent, wait_for
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
        self._parsed: tuple[str, list[Result]] = ("", [])

    def run(self, request: Request, timeout: float) -> Result:
        """Run one transaction to its verdict.

        A put that was acknowledged is no verdict, so that is looked for by the request's id. While
        there is none the request is put again: the IOC runs one id only once.

        Parameters
        ----------
        timeout
            How long to wait for the verdict (s).

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            No verdict came in time.
        """
        request = request if request.request else replace(request, request=uuid4().hex)
        text = checked_text(request)
        deadline = time.monotonic() + timeout
        result = None
        while result is None and time.monotonic() < deadline:
            self._put(text, deadline)
            patience = min(deadline, time.monotonic() + self._timeout)
            if wait_for(lambda: self._found(request) is not None, patience):
                wait_for(lambda: self._outcome(request) != "undetermined", deadline)
            result = self._found(request)
        if result is None or result.outcome == "undetermined":
            raise NotConnectedError(
                f"{self._results.pvname} shows no verdict within {timeout:g} s: whether the transaction was stored is "
                f"not known; look at the history, or send it again with the same id, {request.request}"
            )
        if result.outcome == "refused":
            raise RefusedError(result.errors)
        return result

    def _put(self, text: str, deadline: float) -> None:
        if not wait_for(lambda: self._pv.connected, min(deadline, time.monotonic() + self._timeout)):
            raise_silent(self._pv.pvname, self._timeout)
        if not self._pv.write_access:
            raise RefusedError(f"{self._pv.pvname} may not be written from here: the IOC's access rules forbid it")
        with self._put_lock:
            self._pv.put(text, use_complete=True)  # without it libca would print each refusal

    def _found(self, request: Request) -> Result | None:
        text = self._results.newest(time.monotonic() + _LOOK)
        if text != self._parsed[0]:
            self._parsed = (text, parse_results(text))
        return next((result for result in self._parsed[1] if result.request == request.request), None)

    def _outcome(self, request: Request) -> str:
        result = self._found(request)
        return "undetermined" if result is None else result.outcome


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
